//! What a checkpoint is, before anything runs.

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

fn inspected(
    world: &World,
    place: &str,
    flags: &[&str],
    code: i32,
) -> Result<(Value, String), Box<dyn std::error::Error>> {
    let output = world.bare().args(["inspect", "--json"]).arg(world.path(place)).args(flags).output()?;
    let log = stderr_of(&output, code);
    let answer = if output.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&output.stdout)? };
    Ok((answer, log))
}

fn fact<'a>(answer: &'a Value, name: &str) -> Option<(&'a str, &'a str)> {
    let facts = answer["facts"].as_array()?;
    let fact = facts.iter().find(|fact| fact["name"] == name)?;
    Some((fact["value"].as_str()?, fact["known_from"].as_str()?))
}

#[test]
fn a_checkpoint_is_described_with_what_is_certain() -> Outcome {
    let world = World::new(0)?;
    let (answer, _) = inspected(&world, "tiny", &[], 0)?;
    assert_eq!((answer["family"].as_str(), answer["usable"].as_bool()), (Some("CLIP"), Some(true)));
    let (tower, from) = fact(&answer, "image tower").ok_or("no tower")?;
    assert!(tower.starts_with("3 blocks of 2 heads") && from.ends_with("the weights agree"), "{tower}, {from}");
    assert_eq!(fact(&answer, "activation"), Some(("QuickGELU", "open_clip_config.json")));
    let printed = world.bare().arg("inspect").arg(world.path("tiny")).output()?;
    stderr_of(&printed, 0);
    assert!(String::from_utf8(printed.stdout)?.contains("known from"));
    let (answer, _) = inspected(&world, "tiny", &["--quick-gelu=false"], 0)?;
    assert_eq!(fact(&answer, "activation").map(|fact| fact.0), Some("GELU"));
    Ok(())
}

#[test]
fn weights_alone_are_described_and_not_usable() -> Outcome {
    let world = World::new(0)?;
    let alone = world.path("alone");
    fs::create_dir_all(&alone)?;
    fs::copy(world.path("tiny").join("open_clip_model.safetensors"), alone.join("mine.safetensors"))?;
    let (answer, log) = inspected(&world, "alone", &[], 1)?;
    assert!(log.contains("neither a configuration file nor the name of an architecture"), "{log}");
    assert_eq!(answer["usable"].as_bool(), Some(false));
    assert_eq!(answer["tensors"]["layers"].as_u64(), Some(3));
    assert_eq!(fact(&answer, "heads").map(|fact| fact.0), Some("unknown: no shape depends on it"));
    let (answer, log) = inspected(&world, "alone", &["--architecture", "ViT-B-32"], 1)?;
    assert!(log.contains("the configuration expects"), "{log}");
    assert_eq!(fact(&answer, "activation").map(|fact| fact.1), Some("assumed: no configuration names it"));
    let (answer, log) = inspected(&world, "nowhere", &[], 1)?;
    assert!(answer.is_null() && log.contains("nowhere"), "{log}");
    Ok(())
}

#[test]
fn the_id_of_a_model_that_is_not_fetched_says_how_to_fetch_it() -> Outcome {
    let world = World::new(0)?;
    let output = world.bare().args(["inspect", "ViT-B-32_openai"]).output()?;
    let log = stderr_of(&output, 1);
    assert!(log.contains("headspan fetch ViT-B-32_openai"), "{log}");
    let output = world.bare().args(["inspect", "ViT-B-32"]).output()?;
    let log = stderr_of(&output, 2);
    assert!(log.contains("stands for several models"), "{log}");
    Ok(())
}
