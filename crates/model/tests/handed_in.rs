//! Checkpoints as people hand them in: below prefixes, in other containers, with more or less in them than the model.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Tensor, TensorData};
use headspan_model::{
    Checkpoint, CheckpointLayout, ClipConfig, ClipError, ForeignFile, LoadedModel, ModelConfig, ModelOptions, Notice,
    OpenDevice,
};
use safetensors::{Dtype, SafeTensors};

type Outcome = Result<(), Box<dyn Error>>;

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/model/quick-gelu")
}

fn config() -> Result<ClipConfig, ClipError> {
    ClipConfig::read(&data().join("open_clip_config.json"))
}

/// A tensor as it is put into a file.
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The tensors of a file of the case.
fn stored(file: &str) -> Result<Vec<Stored>, Box<dyn Error>> {
    let bytes = fs_err::read(data().join(file))?;
    let tensors = SafeTensors::deserialize(&bytes)?.tensors().into_iter().map(|(name, view)| Stored {
        name,
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    });
    Ok(tensors.collect())
}

fn write(path: &Path, tensors: &[Stored]) -> Outcome {
    let views = tensors.iter().map(|tensor| {
        let view = safetensors::tensor::TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)?;
        Ok((tensor.name.clone(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, safetensors::SafeTensorError>>()?;
    Ok(fs_err::write(path, safetensors::serialize(views, None)?)?)
}

/// Image and text features with the weights of a file.
fn features(path: &Path) -> Result<(Vec<f32>, Vec<Notice>), Box<dyn Error>> {
    let config = config()?;
    let checkpoint = Checkpoint::open(path)?;
    let model = checkpoint.load(&config, &Device::flex())?;
    let side = config.vision.image_size;
    let pixels: Vec<f32> = (0..2 * 3 * side * side).map(|index| (index as f32 * 0.37).sin()).collect();
    let images: Tensor<4> = Tensor::from_data(TensorData::new(pixels, [2, 3, side, side]), &Device::flex());
    let mut found = model.visual.encode(images).into_data().try_into_vec::<f32>().map_err(|e| format!("{e:?}"))?;
    let last = config.text.vocab_size as u32 - 1;
    let tokens = headspan_model::TokenBatch::new(&[vec![last - 1, 3, 7, last]]);
    let texts = model.text.encode(&tokens, &Device::flex());
    found.extend(texts.into_data().try_into_vec::<f32>().map_err(|e| format!("{e:?}"))?);
    Ok((found, checkpoint.notices(&config)))
}

/// What opening and loading says; nothing if all is well.
fn told(path: &Path) -> String {
    let load = || Checkpoint::open(path)?.load(&config()?, &Device::flex());
    load().err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn the_model_is_found_below_any_prefix_with_anything_beside_it() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    for (file, layout) in [
        ("open_clip_model.safetensors", CheckpointLayout::OpenClip),
        ("huggingface.safetensors", CheckpointLayout::HuggingFace),
    ] {
        let (expected, none) = features(&data().join(file))?;
        assert!(none.is_empty(), "{file}: {none:?}");
        for prefix in ["", "module.", "model.", "state_dict.model.", "model_state_dict.", "base_model.model.", "a.b.c."]
        {
            let mut tensors = stored(file)?;
            for tensor in &mut tensors {
                tensor.name = format!("{prefix}{}", tensor.name);
            }
            for name in ["optimizer.state.0.exp_avg", "classifier.weight"] {
                tensors.push(Stored { name: name.to_owned(), dtype: Dtype::F32, shape: vec![1], bytes: vec![0; 4] });
            }
            write(&path, &tensors)?;
            let (found, notices) = features(&path).map_err(|error| format!("{file} {prefix}: {error}"))?;
            assert_eq!(found, expected, "{file} {prefix}");
            assert_eq!(Checkpoint::open(&path)?.layout(), layout);
            let [notice] = &notices[..] else { return Err(format!("{notices:?}").into()) };
            assert!(notice.text.contains("ignored 2 tensors") && !notice.is_warning, "{notice:?}");
        }
    }
    Ok(())
}

#[test]
fn a_custom_text_layout_is_read_with_and_without_its_flag() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let mut tensors = stored("open_clip_model.safetensors")?;
    for tensor in &mut tensors {
        if !tensor.name.starts_with("visual.") && tensor.name != "logit_scale" {
            tensor.name = format!("text.{}", tensor.name);
        }
        tensor.name = format!("state_dict.module.{}", tensor.name);
    }
    write(&path, &tensors)?;
    assert_eq!(features(&path)?, features(&data().join("open_clip_model.safetensors"))?);
    let written = fs_err::read_to_string(data().join("open_clip_config.json"))?;
    let custom =
        written.replacen("\"embed_dim\"", "\"custom_text\": true, \"nonscalar_logit_scale\": true, \"embed_dim\"", 1);
    let place = folder.path().join("open_clip_config.json");
    fs_err::write(&place, custom)?;
    assert_eq!(ClipConfig::read(&place)?, config()?);
    Ok(())
}

#[test]
fn the_temperature_may_have_any_shape_or_be_missing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let (expected, _) = features(&data().join("open_clip_model.safetensors"))?;
    for shape in [Some(vec![]), Some(vec![1]), Some(vec![1, 1]), None] {
        let mut tensors = stored("open_clip_model.safetensors")?;
        match &shape {
            Some(shape) => {
                for tensor in tensors.iter_mut().filter(|tensor| tensor.name == "logit_scale") {
                    tensor.shape.clone_from(shape);
                }
            }
            None => tensors.retain(|tensor| tensor.name != "logit_scale"),
        }
        tensors.push(Stored { name: "logit_bias".to_owned(), dtype: Dtype::F32, shape: vec![], bytes: vec![0; 4] });
        write(&path, &tensors)?;
        let (found, notices) = features(&path)?;
        assert_eq!(found, expected, "{shape:?}");
        let missing = notices.iter().any(|notice| notice.text.contains("has no `logit_scale`"));
        assert_eq!(missing, shape.is_none(), "{notices:?}");
        assert!(notices.iter().any(|notice| notice.text.contains("`logit_bias`")), "{notices:?}");
    }
    Ok(())
}

#[test]
fn float64_and_mixed_types_hold_the_same_model() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let (expected, _) = features(&data().join("open_clip_model.safetensors"))?;
    for every in [1, 2, 3] {
        let mut tensors = stored("open_clip_model.safetensors")?;
        for tensor in tensors.iter_mut().step_by(every) {
            let values = tensor.bytes.as_chunks::<4>().0.iter().map(|value| f64::from(f32::from_le_bytes(*value)));
            (tensor.dtype, tensor.bytes) = (Dtype::F64, values.flat_map(f64::to_le_bytes).collect());
        }
        write(&path, &tensors)?;
        assert_eq!(features(&path)?.0, expected, "every {every}th");
    }
    Ok(())
}

/// `tools/reference/checkpoint_cases.py` wrote the weights of `half.safetensors` with PyTorch: the same numbers, so the same features.
#[test]
fn torchscript_archives_and_whole_modules_are_read() -> Outcome {
    let (expected, _) = features(&data().join("half.safetensors"))?;
    for file in ["torchscript.pt", "module.pt"] {
        let (found, notices) = features(&data().join(file)).map_err(|error| format!("{file}: {error}"))?;
        assert_eq!(found, expected, "{file}");
        assert!(notices.iter().all(|notice| !notice.is_warning), "{notices:?}");
    }
    Ok(())
}

#[test]
fn the_content_says_the_format_and_not_the_name() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (file, name) in [("open_clip_model.safetensors", "model.pt"), ("weights.bin", "model.safetensors")] {
        let path = folder.path().join(name);
        fs_err::copy(data().join(file), &path)?;
        assert_eq!(features(&path)?.0, features(&data().join(file))?.0, "{file}");
    }
    Ok(())
}

#[test]
fn halves_of_files_are_told_from_other_files() -> Outcome {
    let folder = tempfile::tempdir()?;
    for file in ["open_clip_model.safetensors", "weights.bin", "torchscript.pt", "training.pt"] {
        let bytes = fs_err::read(data().join(file))?;
        for share in [30, 50, 99] {
            let path = folder.path().join(file);
            fs_err::write(&path, &bytes[..bytes.len() * share / 100])?;
            let message = told(&path);
            assert!(message.contains(file) && message.contains("is cut off"), "{file} at {share} %: {message}");
        }
    }
    let path = folder.path().join("model.pt");
    for (bytes, kind) in [
        (&b""[..], ForeignFile::Empty),
        (b"<html><body>404</body></html>", ForeignFile::WebPage),
        (b"version https://git-lfs.github.com/spec/v1\n", ForeignFile::LfsPointer),
        (b"{\"error\":\"not found\"}", ForeignFile::Json),
        (b"could not resolve host", ForeignFile::Text),
    ] {
        fs_err::write(&path, bytes)?;
        assert!(
            matches!(Checkpoint::open(&path), Err(ClipError::NotWeights { kind: found, .. }) if found == kind),
            "{kind}: {}",
            told(&path)
        );
    }
    Ok(())
}

#[test]
fn a_safetensors_header_that_is_none_says_so() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let header = br#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    fs_err::write(&path, &file)?;
    assert!(told(&path).contains("no valid safetensors header"), "{}", told(&path));
    let huge = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    fs_err::write(&path, huge)?;
    assert!(told(&path).contains("has no header of that format"), "{}", told(&path));
    Ok(())
}

#[test]
fn what_is_no_clip_or_half_of_one_is_told() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let mut tensors = stored("open_clip_model.safetensors")?;
    tensors.retain(|tensor| tensor.name.starts_with("visual."));
    write(&path, &tensors)?;
    assert!(told(&path).contains("an image tower and no text tower"), "{}", told(&path));
    for tensor in &mut tensors {
        tensor.name = tensor.name.replace("visual.", "backbone.");
    }
    write(&path, &tensors)?;
    assert!(told(&path).contains("no image tower of CLIP") && told(&path).contains("`backbone."), "{}", told(&path));
    Ok(())
}

#[test]
fn of_two_models_one_is_used_and_the_other_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let mut tensors = stored("open_clip_model.safetensors")?;
    let copies = stored("open_clip_model.safetensors")?.into_iter().map(|mut tensor| {
        tensor.name = format!("ema.{}", tensor.name);
        tensor.bytes.fill(0);
        tensor
    });
    for tensor in &mut tensors {
        tensor.name = format!("model.{}", tensor.name);
    }
    tensors.extend(copies);
    write(&path, &tensors)?;
    let (found, notices) = features(&path)?;
    assert_eq!(found, features(&data().join("open_clip_model.safetensors"))?.0);
    let [notice] = &notices[..] else { return Err(format!("{notices:?}").into()) };
    assert!(notice.is_warning && notice.text.contains("`model.` is used, not that with `ema.`"), "{notice:?}");
    Ok(())
}

#[test]
fn another_resolution_is_an_error_until_it_is_asked_for() -> Outcome {
    let weights = data().join("open_clip_model.safetensors");
    let config = data().join("open_clip_config.json");
    let with = |options: &ModelOptions| ModelConfig::with_options(Some(&config), options);
    let asked = with(&ModelOptions { image_size: Some(40), ..ModelOptions::default() })?;
    assert_eq!((asked.vision.image_size, asked.vision.grid, asked.preprocess.size), (40, 5, 40));
    let notices = asked.notices(&Checkpoint::open(&weights)?);
    assert!(
        notices.iter().any(|notice| notice.is_warning && notice.text.contains("from 3 × 3 patches")),
        "{notices:?}"
    );
    let model = LoadedModel::load(&weights, &asked, OpenDevice::cpu())?;
    let features = model.vision().encode(vec![0.25; 3 * 40 * 40])?;
    assert!(features.iter().all(|value| value.is_finite()));
    // The configuration itself says another size.
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("open_clip_config.json");
    fs_err::write(&place, fs_err::read_to_string(&config)?.replace("\"image_size\": 24", "\"image_size\": 40"))?;
    let error = LoadedModel::load(&weights, &ModelConfig::read(&place)?, OpenDevice::cpu()).err();
    assert!(matches!(error, Some(ClipError::Resolution { stored: 24, expected: 40, .. })), "{error:?}");
    let error = with(&ModelOptions { image_size: Some(41), ..ModelOptions::default() }).err();
    assert!(matches!(error, Some(ClipError::ImageSize { size: 41, patch: 8 })), "{error:?}");
    Ok(())
}

#[test]
fn an_architecture_by_name_stands_for_a_configuration() -> Outcome {
    let named = |name: &str, quick_gelu| {
        ModelConfig::with_options(
            None,
            &ModelOptions { architecture: Some(name.to_owned()), quick_gelu, image_size: None },
        )
    };
    let plain = named("ViT-B-32", None)?;
    assert_eq!((plain.vision.layers, plain.vision.heads, plain.texts()?.vocab_size), (12, 12, 49_408));
    assert!(!plain.activation().quick_gelu && !plain.activation().is_stated);
    assert!(named("ViT-B-32", Some(true))?.activation().quick_gelu);
    assert!(named("ViT-B-32", Some(false))?.activation().is_stated);
    assert!(named("ViT-L-14-quickgelu", None)?.activation().is_stated);
    assert!(matches!(named("RN50", None), Err(ClipError::UnknownArchitecture { .. })));
    assert!(matches!(ModelConfig::with_options(None, &ModelOptions::default()), Err(ClipError::NoConfiguration)));
    Ok(())
}
