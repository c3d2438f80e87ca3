//! Every layout and type in which weights are stored gives the same features, and a checkpoint that does not fit says how.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Tensor, TensorData};
use headspan_model::{Checkpoint, CheckpointFiles, CheckpointLayout, ClipConfig, FoundFiles, TokenBatch};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/model/quick-gelu")
}

/// Image features of the case's images, with the weights of one file.
fn features(config: &ClipConfig, weights: &Path) -> Result<(Vec<f32>, CheckpointLayout), Box<dyn Error>> {
    let checkpoint = Checkpoint::open(weights)?;
    let layout = checkpoint.layout();
    let model = checkpoint.load(config, &Device::flex())?;
    let bytes = fs_err::read(data().join("case.safetensors"))?;
    let case = SafeTensors::deserialize(&bytes)?;
    let view = case.tensor("images")?;
    let pixels: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let shape: [usize; 4] = view.shape().try_into()?;
    let images: Tensor<4> = Tensor::from_data(TensorData::new(pixels, shape), &Device::flex());
    let features = model.visual.encode(images).into_data().try_into_vec::<f32>().map_err(|e| format!("{e:?}"))?;
    Ok((features, layout))
}

fn relative(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    found.iter().zip(expected).fold(0.0_f32, |most, (x, y)| most.max((x - y).abs())) / largest
}

#[test]
fn every_format_holds_the_same_model() -> Outcome {
    let config = ClipConfig::read(&data().join("open_clip_config.json"))?;
    let (expected, _) = features(&config, &data().join("open_clip_model.safetensors"))?;
    // float16 keeps 11 bits and bfloat16 8: through three blocks their rounding of the weights grows to a few of their
    // units, 2^-11 and 2^-8. The other files hold the same float32 numbers.
    for (file, tolerance) in
        [("half.safetensors", 4e-3), ("bfloat16.safetensors", 3e-2), ("weights.bin", 0.0), ("training.pt", 0.0)]
    {
        let (found, layout) = features(&config, &data().join(file)).map_err(|error| format!("{file}: {error}"))?;
        assert_eq!(layout, CheckpointLayout::OpenClip);
        let error = relative(&found, &expected);
        assert!(error <= tolerance, "{file} is off by {error}");
    }
    Ok(())
}

/// Rows read from the file are those that would have been loaded, so the bits are the same.
#[test]
fn texts_are_the_same_with_the_token_embedding_left_in_the_file() -> Outcome {
    let config = ClipConfig::read(&data().join("open_clip_config.json"))?;
    let device = Device::flex();
    let last = config.text.vocab_size as u32 - 1;
    let tokens = TokenBatch::new(&[vec![last - 1, 3, 0, 7, last], vec![last - 1, 5, last]]);
    for (file, stored) in [
        ("open_clip_model.safetensors", true),
        ("half.safetensors", true),
        ("bfloat16.safetensors", true),
        ("huggingface.safetensors", true),
        ("weights.bin", false),
    ] {
        let checkpoint = Checkpoint::open(&data().join(file))?;
        let left = checkpoint.loaded_bytes() - checkpoint.towers_bytes();
        assert_eq!(left, if stored { config.text.vocab_size * config.text.width * 4 } else { 0 }, "{file}");
        let whole = checkpoint.load(&config, &device)?.text.encode(&tokens, &device);
        let (_visual, text) = checkpoint.load_towers(&config, &device)?;
        let apart = text.encode(&tokens, &device)?;
        assert_eq!(apart.into_data(), whole.into_data(), "{file}");
    }
    Ok(())
}

#[test]
fn hugging_face_checkpoints_are_fused_and_transposed() -> Outcome {
    let config = ClipConfig::read(&data().join("open_clip_config.json"))?;
    let (expected, _) = features(&config, &data().join("open_clip_model.safetensors"))?;
    let theirs = ClipConfig::read(&data().join("huggingface.json"))?;
    assert_eq!(theirs, config, "both configurations describe one architecture");
    let (found, layout) = features(&theirs, &data().join("huggingface.safetensors"))?;
    assert_eq!(layout, CheckpointLayout::HuggingFace);
    assert_eq!(found, expected);
    Ok(())
}

/// What reading a configuration says; nothing if it is read.
fn config_error(path: &Path) -> String {
    ClipConfig::read(path).err().map(|error| error.to_string()).unwrap_or_default()
}

/// The case's Hugging Face configuration with `key` of `section` set, or taken away with null.
fn hugging_face(path: &Path, section: &str, key: &str, value: Value) -> Outcome {
    let mut config: Value = serde_json::from_str(&fs_err::read_to_string(data().join("huggingface.json"))?)?;
    let section = config.pointer_mut(section).and_then(Value::as_object_mut).ok_or("no such section")?;
    section.remove(key);
    if !value.is_null() {
        section.insert(key.to_owned(), value);
    }
    Ok(fs_err::write(path, config.to_string())?)
}

#[test]
fn hugging_face_preprocessing_is_read_beside_the_configuration() -> Outcome {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.json");
    fs_err::copy(data().join("huggingface.json"), &config)?;
    let beside = folder.path().join("preprocessor_config.json");
    let written = json!({
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "resample": 3, "size": {"shortest_edge": 24},
        "crop_size": {"height": 24, "width": 24}, "rescale_factor": 0.003_921_568_627, "do_resize": true,
        "do_center_crop": true, "do_rescale": true, "do_normalize": true,
    });
    for text in [written.to_string(), written.to_string().replace(r#"{"height":24,"width":24}"#, "24")] {
        fs_err::write(&beside, text)?;
        let read = ClipConfig::read(&config)?.preprocess;
        assert_eq!((read.mean, read.std), ([0.5; 3], [0.25; 3]));
    }
    for (key, value) in [
        ("size", json!({"shortest_edge": 32})),
        ("size", json!({"height": 24, "width": 24})),
        ("resample", json!(2)),
        ("crop_size", json!(16)),
        ("crop_size", json!({"height": 24, "width": 16})),
        ("crop_size", json!({"height": 24})),
        ("rescale_factor", json!(0.003_922)),
        ("do_resize", json!(false)),
        ("do_center_crop", json!(false)),
        ("do_rescale", json!(false)),
        ("do_normalize", json!(false)),
        ("image_std", json!([0.25, 0.0, 0.25])),
    ] {
        let mut other = written.clone();
        other[key] = value;
        fs_err::write(&beside, other.to_string())?;
        let message = config_error(&config);
        assert!(message.contains("preprocessor_config.json") && message.contains(&format!(": {key} ")), "{message}");
    }
    Ok(())
}

#[test]
fn hugging_face_heads_must_divide_the_width() -> Outcome {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.json");
    for tower in ["vision_config", "text_config"] {
        for heads in [0, 5, 12, 32] {
            hugging_face(&config, &format!("/{tower}"), "num_attention_heads", json!(heads))?;
            let expected = format!("{tower}.num_attention_heads {heads} does not divide {tower}.hidden_size 16");
            let message = config_error(&config);
            assert!(message.contains("config.json") && message.contains(&expected), "{message}");
        }
    }
    hugging_face(&config, "/vision_config", "num_attention_heads", json!(4))?;
    assert_eq!(ClipConfig::read(&config)?.vision.heads(), 4);
    Ok(())
}

#[test]
fn a_missing_projection_dim_is_transformers_default() -> Outcome {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.json");
    hugging_face(&config, "", "projection_dim", Value::Null)?;
    assert_eq!(ClipConfig::read(&config)?.embed_dim, 512);
    Ok(())
}

#[test]
fn hugging_face_end_token_must_have_the_highest_id() -> Outcome {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.json");
    let tokenizer = |end: u32, other: u32| {
        let added = json!([{"id": end, "content": "<|endoftext|>"}, {"id": other, "content": "<cat-toy>"}]);
        let text = json!({"added_tokens": added, "model": {"vocab": {"a": 0, "b": 1}}}).to_string();
        fs_err::write(folder.path().join("tokenizer.json"), text)
    };
    for (named, end, other, expected) in [
        (json!(62), 62, 61, ""),
        (json!(62), 62, 63, "above the end token's 62 (63 `<cat-toy>`)"),
        (Value::Null, 62, 63, "above the end token's 62 (63 `<cat-toy>`)"),
        // Without an embedding, a text that has it is refused.
        (json!(62), 62, 64, ""),
        (json!(60), 62, 61, "text_config.eos_token_id 60 is not the end token's id in `tokenizer.json`, 62"),
        // The legacy value: the highest id, whatever the tokens.
        (json!(2), 62, 63, ""),
    ] {
        hugging_face(&config, "/text_config", "eos_token_id", named.clone())?;
        tokenizer(end, other)?;
        let message = config_error(&config);
        assert!(message.contains(expected) && message.is_empty() == expected.is_empty(), "{named}: {message}");
    }
    Ok(())
}

#[test]
fn a_training_checkpoint_is_read_without_its_wrappers_and_optimizer() -> Outcome {
    let config = ClipConfig::read(&data().join("open_clip_config.json"))?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    for (source, prefix) in [
        ("open_clip_model.safetensors", "state_dict._orig_mod.module."),
        ("huggingface.safetensors", "state_dict.clip."),
    ] {
        let bytes = fs_err::read(data().join(source))?;
        let stored = SafeTensors::deserialize(&bytes)?;
        let mut tensors: Vec<(String, TensorView<'_>)> =
            stored.tensors().into_iter().map(|(name, view)| (format!("{prefix}{name}"), view)).collect();
        tensors.push(("optimizer.state.0.exp_avg".to_owned(), TensorView::new(Dtype::F32, vec![1], &[0; 4])?));
        fs_err::write(&path, safetensors::serialize(tensors, None)?)?;
        let (found, _) = features(&config, &path)?;
        assert_eq!(found, features(&config, &data().join(source))?.0, "{prefix}");
    }
    Ok(())
}

/// Splits a safetensors file in two, with the index that transformers writes.
fn split(from: &Path, folder: &Path) -> Outcome<[PathBuf; 3]> {
    let bytes = fs_err::read(from)?;
    let stored = SafeTensors::deserialize(&bytes)?;
    let paths =
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
            .map(|name| folder.join(name));
    let mut map = serde_json::Map::new();
    for (number, path) in paths[..2].iter().enumerate() {
        // Every other tensor: a block's are in both.
        let some: Vec<(String, TensorView<'_>)> = stored.tensors().into_iter().skip(number).step_by(2).collect();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
        map.extend(some.iter().map(|(tensor, _)| (tensor.clone(), json!(name))));
        fs_err::write(path, safetensors::serialize(some, None)?)?;
    }
    fs_err::write(&paths[2], json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string())?;
    Ok(paths)
}

#[test]
fn weights_in_several_files_are_those_of_one() -> Outcome {
    let folder = tempfile::tempdir()?;
    fs_err::copy(data().join("huggingface.json"), folder.path().join("config.json"))?;
    let config = ClipConfig::read(&folder.path().join("config.json"))?;
    let whole = features(&config, &data().join("huggingface.safetensors"))?.0;
    let [first, second, index] = split(&data().join("huggingface.safetensors"), folder.path())?;
    assert_eq!(FoundFiles::find(folder.path())?.weights, index, "the index comes before its files");
    for path in [&index, &first, &second] {
        assert_eq!(features(&config, path)?.0, whole, "{}", path.display());
        assert_eq!(Checkpoint::files(path)?, [first.clone(), second.clone()]);
    }

    let told = |path: &Path| Checkpoint::open(path).err().map(|error| error.to_string()).unwrap_or_default();
    let written: Value = serde_json::from_str(&fs_err::read_to_string(&index)?)?;
    let mut other = written.clone();
    other["weight_map"]["vision_model.nowhere"] = json!("model-00002-of-00002.safetensors");
    fs_err::write(&index, other.to_string())?;
    assert!(told(&index).contains("holds `vision_model.nowhere`, which it does not"), "{}", told(&index));
    // A name with folders is looked for beside the index: it is somebody else's text.
    other = written;
    other["weight_map"]["logit_scale"] = json!("../../elsewhere.safetensors");
    fs_err::write(&index, other.to_string())?;
    let beside = folder.path().join("elsewhere.safetensors");
    assert!(told(&index).contains(&format!("`{}` is missing", beside.display())), "{}", told(&index));
    fs_err::write(&index, "[]")?;
    assert!(told(&index).contains("not an index"), "{}", told(&index));

    fs_err::remove_file(&index)?;
    assert_eq!(FoundFiles::find(folder.path())?.weights, first);
    assert_eq!(features(&config, &second)?.0, whole, "without an index");
    fs_err::remove_file(&first)?;
    assert!(told(&second).contains("model-00001-of-00002.safetensors` is missing"), "{}", told(&second));
    Ok(())
}

#[test]
fn image_sizes_that_are_not_square_and_deviations_of_zero_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("open_clip_config.json");
    let written: Value = serde_json::from_str(&fs_err::read_to_string(data().join("open_clip_config.json"))?)?;
    for (place, value, expected) in [
        ("/model_cfg/vision_cfg/image_size", json!([24, 24]), ""),
        ("/model_cfg/vision_cfg/image_size", json!([24, 16]), "vision_cfg.image_size"),
        ("/model_cfg/vision_cfg/image_size", json!([24, "24"]), "vision_cfg.image_size"),
        ("/model_cfg/vision_cfg/image_size", json!([24, 24, null]), "vision_cfg.image_size"),
        ("/model_cfg/vision_cfg/image_size", json!([24.0, 24.0]), "vision_cfg.image_size"),
        ("/model_cfg/vision_cfg/image_size", json!([]), "vision_cfg.image_size"),
        ("/model_cfg/vision_cfg/image_size", json!(0), "image_size, layers and embed_dim must be at least 1"),
        ("/preprocess_cfg/std", json!([0.25, 0.25, 0.0]), "preprocess_cfg.std"),
        ("/preprocess_cfg/std", json!([-0.25, 0.25, 0.25]), "preprocess_cfg.std"),
    ] {
        let mut config = written.clone();
        *config.pointer_mut(place).ok_or("no such key")? = value.clone();
        fs_err::write(&path, config.to_string())?;
        let message = config_error(&path);
        assert!(message.contains(expected) && message.is_empty() == expected.is_empty(), "{value}: {message}");
    }
    Ok(())
}

fn load_error(config: &ClipConfig, weights: &Path) -> String {
    match Checkpoint::open(weights).and_then(|checkpoint| checkpoint.load(config, &Device::flex())) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_names_tensor_and_shapes() -> Outcome {
    let mut config = ClipConfig::read(&data().join("open_clip_config.json"))?;
    let weights = data().join("open_clip_model.safetensors");
    config.vision.mlp_width = 32;
    let message = load_error(&config, &weights);
    let line =
        "`visual.transformer.resblocks.0.mlp.c_fc.weight` has shape [64, 16], the configuration expects [32, 16]";
    assert!(message.contains(line), "{message}");
    config.vision.mlp_width = 64;
    config.vision.layers = 4;
    assert!(load_error(&config, &weights).contains("`visual.transformer.resblocks.3.ln_1.weight` is missing"));
    config.vision.layers = 2;
    let message = load_error(&config, &weights);
    assert!(message.contains("`visual.transformer.resblocks.2.ln_1.bias` of shape [16] has no place"), "{message}");
    Ok(())
}

#[test]
fn weights_that_are_no_floats_are_named() -> Outcome {
    let config = ClipConfig::read(&data().join("open_clip_config.json"))?;
    let bytes = fs_err::read(data().join("open_clip_model.safetensors"))?;
    let stored = SafeTensors::deserialize(&bytes)?;
    let tensors = stored.tensors().into_iter().map(|(name, view)| {
        let dtype = if name.ends_with("resblocks.1.mlp.c_fc.weight") { Dtype::I32 } else { view.dtype() };
        Ok((name, TensorView::new(dtype, view.shape().to_vec(), view.data())?))
    });
    let tensors: Vec<(String, TensorView<'_>)> = tensors.collect::<Result<_, safetensors::SafeTensorError>>()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    fs_err::write(&path, safetensors::serialize(tensors, None)?)?;
    let message = load_error(&config, &path);
    let line = "`visual.transformer.resblocks.1.mlp.c_fc.weight` holds I32, the configuration expects floats";
    assert!(message.contains(line), "{message}");
    Ok(())
}

#[test]
fn a_truncated_file_says_so() -> Outcome {
    let config = ClipConfig::read(&data().join("open_clip_config.json"))?;
    let folder = tempfile::tempdir()?;
    for name in ["open_clip_model.safetensors", "weights.bin"] {
        let bytes = fs_err::read(data().join(name))?;
        for share in [0, 10, 50, 99] {
            let path = folder.path().join(name);
            fs_err::write(&path, &bytes[..bytes.len() * share / 100])?;
            let message = load_error(&config, &path);
            assert!(message.contains(name), "{name} cut to {share} %: {message:?}");
        }
    }
    Ok(())
}

#[test]
fn a_folder_without_a_file_says_which() -> Outcome {
    let folder = tempfile::tempdir()?;
    let message = CheckpointFiles::find(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("no configuration") && message.contains("open_clip_config.json"), "{message}");
    Ok(())
}

#[test]
fn architectures_that_are_not_supported_are_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("open_clip_config.json");
    for (vision, expected) in [
        (r#""layers": [3, 4, 6, 3], "width": 64, "image_size": 224, "patch_size": 32"#, "a ResNet"),
        (r#""timm_model_name": "vit_base", "layers": 2, "width": 64, "image_size": 32, "patch_size": 8"#, "timm"),
        (
            r#""attentional_pool": "cascade", "layers": 2, "width": 64, "image_size": 32, "patch_size": 8"#,
            "attentional_pool",
        ),
        (r#""layers": 2, "width": 64, "image_size": 7, "patch_size": 8"#, "less than patch_size"),
    ] {
        let text =
            format!(r#"{{"model_cfg": {{"embed_dim": 8, "vision_cfg": {{{vision}}}, "text_cfg": {{"heads": 8}}}}}}"#);
        fs_err::write(&path, text)?;
        let message = ClipConfig::read(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(expected), "{message}");
    }
    Ok(())
}
