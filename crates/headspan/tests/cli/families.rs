//! Towers of other families through the whole program: random models of the libraries that define them.

use std::{error::Error, path::Path};

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

/// A world with a model of another family under the same name.
fn world_of(family: &str) -> Result<World, Box<dyn Error>> {
    let world = World::new(8)?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data");
    let tiny = world.path("tiny");
    fs::remove_file(tiny.join("open_clip_config.json"))?;
    fs::remove_file(tiny.join("open_clip_model.safetensors"))?;
    for entry in fs::read_dir(data.join("families").join(family))? {
        let from = entry?.path();
        let name = from.file_name().unwrap_or_default();
        if name != "case.safetensors" {
            fs::copy(&from, tiny.join(name))?;
        }
    }
    if family.contains("siglip") {
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            fs::copy(data.join("siglip-tokenizer").join(name), tiny.join(name))?;
        }
    }
    Ok(world)
}

fn ask(world: &World, arguments: &[&str]) -> Result<Value, Box<dyn Error>> {
    let mut command = world.bare();
    command
        .args(["query", arguments[0], "tiny", "--dataset", "toy", "--device", "cpu", "--json"])
        .args(&arguments[1..]);
    let output = command.output()?;
    stderr_of(&output, 0);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Labels, scores, and a map of patches, whether there is a class token or not.
#[test]
fn towers_with_texts_run_to_their_maps() -> Outcome {
    for family in ["openclip-coca", "openclip-normed-mean", "transformers-siglip"] {
        let world = world_of(family)?;
        stderr_of(&world.run_all("runs").output()?, 0);
        assert!(world.run_folder("runs").join("metrics.parquet").is_file(), "{family}");
        let found = ask(&world, &["segment", "--image", "#3", "--text", "a red cat"])?;
        let scores = found["maps"][0]["scores"].as_array().ok_or("no scores")?;
        let scores: Vec<f64> = scores.iter().filter_map(Value::as_f64).collect();
        assert_eq!((found["grid"].as_u64(), scores.len()), (Some(3), 9), "{family}");
        assert!(scores.iter().any(|score| (score - scores[0]).abs() > 1e-6), "{family}: a flat map");
    }
    Ok(())
}

#[test]
fn towers_without_texts_are_extracted_and_asked_by_images() -> Outcome {
    for family in
        ["timm-dinov3", "timm-eva02", "transformers-dinov3-gated", "transformers-chinese-clip", "transformers-blip"]
    {
        let world = world_of(family)?;
        let mut extract = world.command("extract", "runs");
        extract.arg("--checkpoint").arg(world.path("tiny")).arg("--images").arg(world.path("images"));
        stderr_of(&extract.args(["--device", "cpu"]).output()?, 0);
        let near = ask(&world, &["neighbours", "--heads", "L2.H1", "--image", "#3", "--count", "2", "--cosine"])?;
        assert_eq!(near["found"]["images"].as_array().map(Vec::len), Some(2), "{family}");
        let neighbour = near["found"]["images"][0]["image_id"].as_str().unwrap_or_default().to_owned();
        ask(&world, &["why", "--image", "#3", "--neighbour", &neighbour, "--heads", "L2"])?;
    }
    Ok(())
}

#[test]
fn towers_that_are_near_are_refused_by_name_and_reason() -> Outcome {
    let world = World::new(2)?;
    let path = world.path("tiny/open_clip_config.json");
    let whole: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("timm_model_name", "eva02_enormous_patch14_clip_224"), ("timm_pool", "token")], "EVA-02-E normalises"),
        (&[("timm_model_name", "naflexvit_base_patch16_siglip")], "NaFlex"),
        (&[("timm_model_name", "vit_base_patch16_rope_mixed_224")], "learned for every block"),
        (&[("attentional_pool", "cascade")], "CoCa's representation is the first query's output"),
    ];
    for (keys, said) in cases {
        let mut config = whole.clone();
        for (key, value) in keys {
            config["model_cfg"]["vision_cfg"][*key] = Value::from(*value);
        }
        fs::write(&path, config.to_string())?;
        let message = stderr_of(&world.run_all("runs").output()?, 1);
        assert!(message.contains(said) && message.contains(keys[0].1), "{message}");
    }
    Ok(())
}
