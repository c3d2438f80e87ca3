//! Models as the other crates see them: configurations by family, and passes without Burn's types.

use std::{error::Error, path::PathBuf};

use headspan_model::{
    Checkpoint, ClipConfig, CpuVision, DeviceChoice, FAMILIES, LoadedModel, ModelConfig, OpenDevice, Precision,
    TokenBatch, TraceRequest, VisionTower,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/model/quick-gelu")
}

fn config() -> Outcome<ModelConfig> {
    Ok(ModelConfig::read(&data().join("open_clip_config.json"))?)
}

fn loaded() -> Outcome<LoadedModel> {
    Ok(LoadedModel::load(&data().join("open_clip_model.safetensors"), &config()?, OpenDevice::cpu())?)
}

fn pixels(vision: &dyn VisionTower, images: usize) -> Vec<f32> {
    let side = vision.geometry().image_size;
    (0..images * 3 * side * side).map(|at| (at as f32 * 0.013 + (at / side) as f32 * 0.21).sin()).collect()
}

#[test]
fn a_configuration_is_read_by_its_family() -> Outcome {
    let (config, own) = (config()?, ClipConfig::read(&data().join("open_clip_config.json"))?);
    let (vision, text) = (&config.vision, config.texts()?);
    assert_eq!((vision.layers, vision.width, vision.d), (own.vision.layers, own.vision.width, own.embed_dim));
    assert_eq!((vision.heads, vision.head_dim), (own.vision.heads(), own.vision.head_width));
    assert_eq!((vision.grid, vision.tokens()), (own.vision.grid(), own.vision.tokens()));
    assert_eq!((text.context_length, text.vocab_size), (own.text.context_length, own.text.vocab_size));
    assert_eq!(config.preprocess, own.preprocessing());
    for name in ["open_clip_config.json", "huggingface.json"] {
        let value: serde_json::Value = serde_json::from_str(&fs_err::read_to_string(data().join(name))?)?;
        let found: Vec<&str> = FAMILIES.iter().filter(|family| (family.recognises)(&value)).map(|f| f.name).collect();
        assert_eq!(found, ["CLIP"], "{name}");
    }
    Ok(())
}

#[test]
fn what_is_refused_is_refused_by_name() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("open_clip_config.json");
    for (key, why) in FAMILIES.iter().flat_map(|family| family.refuses) {
        let mut value: serde_json::Value =
            serde_json::from_str(&fs_err::read_to_string(data().join("open_clip_config.json"))?)?;
        value["model_cfg"]["vision_cfg"][key] = "something".into();
        fs_err::write(&path, value.to_string())?;
        let message = ModelConfig::read(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(key) && message.contains(why), "{key}: {message}");
    }
    fs_err::write(&path, "{}")?;
    assert!(ModelConfig::read(&path).is_err_and(|error| error.to_string().contains("open_clip_config.json")));
    Ok(())
}

/// The pass of a CPU is [`CpuVision`] itself, so the bits are the same; Burn's differs by rounding through three blocks.
#[test]
fn a_model_on_the_cpu_has_our_pass_and_burns() -> Outcome {
    let model = loaded()?;
    assert_eq!((model.device(), model.on_cpu(), model.free_memory()), (DeviceChoice::Cpu, true, None));
    let vision = model.vision();
    let (pixels, layers) = (pixels(vision, 5), (0..vision.geometry().layers).collect());
    let request = TraceRequest { layers, residual_components: true, ..TraceRequest::default() };
    let pass = model.vision_pass(Precision::Float32)?;
    let own = pass.own().map(|own| own.trace(&pixels, &request)).transpose()?.ok_or("no pass of our own")?;
    let reference = model.reference_pass().ok_or("no reference")?.trace(pixels.clone(), &request)?;
    assert_eq!(pass.with_images_per_pass(2).trace(pixels.clone(), &request)?, own);
    assert_eq!(vision.encode(pixels.clone())?, reference.representation);
    let largest = reference.representation.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for (own, burn) in own.representation.iter().zip(&reference.representation) {
        assert!((own - burn).abs() <= 2e-5 * largest, "{own} {burn}");
    }
    assert!(vision.trace(pixels[1..].to_vec(), &request).is_err(), "not a whole number of images");
    assert!(model.vision_pass(Precision::Float16).is_err(), "no CPU pass computes with it");
    Ok(())
}

#[test]
fn tokens_and_attention_are_read_back_when_they_are_asked_for() -> Outcome {
    let model = loaded()?;
    let vision = model.vision();
    let geometry = *vision.geometry();
    let (images, tokens, heads) = (2, geometry.tokens(), geometry.heads);
    let plain = vision.trace(pixels(vision, images), &TraceRequest::default())?;
    assert!(plain.tokens.is_empty() && plain.mean_attention.is_empty() && plain.heads.is_empty());
    let request = TraceRequest { token_layers: vec![2, 0], mean_attention: true, ..TraceRequest::default() };
    let trace = vision.trace(pixels(vision, images), &request)?;
    assert_eq!(trace.representation, plain.representation);
    assert_eq!(trace.tokens.iter().map(|layer| layer.layer).collect::<Vec<_>>(), [0, 2], "in layer order");
    for layer in &trace.tokens {
        assert_eq!((layer.tokens, layer.head_dim), (tokens, geometry.head_dim));
        assert_eq!(layer.values.len(), images * heads * tokens * geometry.head_dim);
        assert_eq!(layer.attention.len(), images * heads * tokens);
        assert!(layer.attention.chunks_exact(tokens).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
    }
    let lengths: Vec<usize> = trace.mean_attention.iter().map(Vec::len).collect();
    let (whole, row) = (images * tokens * tokens, images * tokens);
    assert_eq!(lengths, [whole, whole, row]);
    Ok(())
}

#[test]
fn a_model_for_queries_gives_the_same_by_our_passes_alone() -> Outcome {
    let (model, config) = (loaded()?, config()?);
    let checkpoint = Checkpoint::open(&data().join("open_clip_model.safetensors"))?;
    let queries = LoadedModel::for_queries(&checkpoint, &config, OpenDevice::cpu())?;
    assert!(queries.reference_pass().is_none(), "there is no pass of Burn's");
    let last = config.texts()?.vocab_size as u32 - 1;
    let tokens = TokenBatch::new(&[vec![last - 1, 3, 0, 7, last], vec![last - 1, 5, last]]);
    let features = model.encode_texts(&tokens)?;
    assert_eq!(features.len(), 2 * config.vision.d);
    assert_eq!(queries.encode_texts(&tokens)?, features, "rows of the token embedding come from the file");

    let layers: Vec<usize> = (0..config.vision.layers).collect();
    assert_eq!(queries.readout_folder()?.readouts(&layers)?, model.readout_folder()?.readouts(&layers)?);
    let request =
        TraceRequest { token_layers: layers.clone(), layers, residual_components: true, mean_attention: true };
    let pixels = pixels(queries.vision(), 3);
    let found = queries.vision().trace(pixels.clone(), &request)?;
    assert_eq!(model.vision_pass(Precision::Float32)?.trace(pixels.clone(), &request)?, found);
    assert_eq!(queries.vision_pass(Precision::Float32)?.trace(pixels.clone(), &request)?, found);
    assert_eq!(queries.vision().for_passes(Precision::Float32)?.trace(pixels, &request)?, found);
    for result in
        [queries.vision_pass(Precision::Bfloat16).err(), queries.vision().for_passes(Precision::Bfloat16).err()]
    {
        assert!(result.is_some_and(|error| error.to_string().contains("single images")));
    }
    Ok(())
}

#[test]
fn readouts_and_our_pass_come_from_the_same_weights() -> Outcome {
    let model = loaded()?;
    let own = ClipConfig::read(&data().join("open_clip_config.json"))?;
    let modules =
        Checkpoint::open(&data().join("open_clip_model.safetensors"))?.load(&own, OpenDevice::cpu().burn())?;
    let vision = CpuVision::new(&modules.visual, Precision::Float32)?;
    let changed = LoadedModel::of_modules(modules, &own, OpenDevice::cpu());
    let layers: Vec<usize> = (0..own.vision.layers).collect();
    assert_eq!(changed.readout_folder()?.readouts(&layers)?, model.readout_folder()?.readouts(&layers)?);
    let (pixels, request) = (pixels(model.vision(), 2), TraceRequest { layers, ..TraceRequest::default() });
    assert_eq!(
        model.vision_pass(Precision::Float32)?.trace(pixels.clone(), &request)?,
        vision.trace(&pixels, &request)?
    );
    Ok(())
}
