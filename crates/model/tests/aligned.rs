//! Towers without texts behind a map, against what PyTorch found of the towers alone (`tools/reference/families.py`): a map is linear, so
//! that the contributions in CLIP's space are those of the tower, mapped, times `|r|/|r'|`.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use headspan_headspace::{HeadVector, Scalars};
use headspan_model::{
    AlignedPart, Alignment, Checkpoint, CheckpointFiles, ClipError, FoundFiles, HostTrace, LinearMap, LoadedModel,
    MapFile, ModelConfig, ModelOptions, OpenDevice, Precision, TokenBatch, TraceRequest, VisionPass,
};
use safetensors::SafeTensors;

/// That of `families.rs`, times what a map of condition below ten may add.
const TOLERANCE: f64 = 1e-4;
/// Length of the CLIP's representation.
const D: usize = 12;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn families() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/families")
}

fn clip() -> PathBuf {
    families().join("openclip-mean")
}

/// The towers without texts.
fn towers() -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(families())? {
        let folder = entry?.path();
        let config = folder.join("config.json");
        if config.is_file() && ModelConfig::read(&config)?.text.is_none() {
            found.push(folder);
        }
    }
    found.sort();
    assert!(found.len() >= 10, "{found:?}");
    Ok(found)
}

/// A map of no symmetry.
fn map(rows: usize) -> LinearMap {
    let value = |at: usize| ((at * 37 + 11) % 101) as f32 / 101.0 - 0.4;
    LinearMap { rows, columns: D, values: (0..rows * D).map(value).collect() }
}

/// The folder of an aligned model of a tower.
fn write(folder: &Path, tower: &Path, map: &LinearMap) -> Outcome {
    fs_err::write(folder.join(LinearMap::FILE), map.to_safetensors()?)?;
    let part = |config: PathBuf, weights: PathBuf, tokenizer: Option<PathBuf>| AlignedPart {
        config,
        weights,
        tokenizer,
        hash: "not looked at here".to_owned(),
    };
    let alignment = Alignment {
        version: Alignment::VERSION,
        headspan: "0".to_owned(),
        fingerprint: "none".to_owned(),
        from: part(tower.join("config.json"), tower.join("model.safetensors"), None),
        to: part(
            clip().join("open_clip_config.json"),
            clip().join("open_clip_model.safetensors"),
            Some(families().join("../siglip-tokenizer/tokenizer.json")),
        ),
        map: MapFile { file: LinearMap::FILE.into(), hash: "none".to_owned() },
        fit: serde_json::Value::Null,
    };
    Ok(fs_err::write(folder.join(Alignment::FILE), serde_json::to_string(&alignment)?)?)
}

fn values(case: &Path, key: &str) -> Outcome<Vec<f64>> {
    let bytes = fs_err::read(case.join("case.safetensors"))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let view = tensors.tensor(key)?;
    Ok(view.data().as_chunks().0.iter().map(|value| f64::from(f32::from_le_bytes(*value))).collect())
}

/// Rows of vectors times the map.
fn mapped(rows: &[f64], map: &LinearMap) -> Vec<f64> {
    let of_row = |row: &[f64]| -> Vec<f64> {
        let column = |j: usize| (0..map.rows).map(|i| row[i] * f64::from(map.values[i * D + j])).sum();
        (0..D).map(column).collect()
    };
    rows.chunks_exact(map.rows).flat_map(of_row).collect()
}

fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what} has another size");
    let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let worst = found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
    assert!(largest > 0.0 && found.iter().all(|x| x.is_finite()), "{what} is zero or not finite");
    assert!(worst <= TOLERANCE * largest, "{what} is off by {:.1e} of {largest}", worst / largest);
}

struct Aligned {
    config: ModelConfig,
    model: LoadedModel,
    _folder: tempfile::TempDir,
}

fn aligned(tower: &Path) -> Outcome<(Aligned, LinearMap)> {
    let folder = tempfile::tempdir()?;
    let map = map(ModelConfig::read(&tower.join("config.json"))?.vision.d);
    write(folder.path(), tower, &map)?;
    let files = CheckpointFiles::find(folder.path())?;
    assert_eq!(FoundFiles::find(folder.path())?.weights, tower.join("model.safetensors"));
    let config = ModelConfig::read(&files.config)?;
    let model = LoadedModel::load(&files.weights, &config, OpenDevice::cpu())?;
    Ok((Aligned { config, model, _folder: folder }, map))
}

/// Contributions of all heads and of all components, `[images, …, d]`.
fn contributions(model: &LoadedModel, layers: &[usize], trace: &HostTrace) -> Outcome<[Vec<f64>; 2]> {
    let folder = model.readout_folder()?;
    let readouts = folder.readouts(layers)?;
    let (mut heads, mut components) = (Vec::new(), Vec::new());
    for (image, stored) in trace.scalars.iter().enumerate() {
        for (head, readout) in readouts.iter().enumerate() {
            let length = trace.heads[head].len() / trace.scalars.len();
            let u = HeadVector::new(&trace.heads[head][image * length..][..length], *stored);
            heads.extend(readout.contribution(u.as_slice()).into_iter().map(f64::from));
        }
        for component in &trace.residual_components {
            let width = component.len() / trace.scalars.len();
            let row = &component[image * width..][..width];
            components.extend(folder.component_contribution(row, Scalars::<f64>::from(*stored)));
        }
    }
    Ok([heads, components])
}

#[test]
fn contributions_are_those_of_the_tower_mapped_and_they_sum_to_the_representation() -> Outcome {
    for tower in towers()? {
        let (Aligned { config, model, _folder }, map) = aligned(&tower)?;
        let layers: Vec<usize> = (0..config.vision.layers).collect();
        let request = TraceRequest { layers: layers.clone(), residual_components: true, ..TraceRequest::default() };
        let pixels: Vec<f32> = values(&tower, "images")?.into_iter().map(|value| value as f32).collect();
        let representation = mapped(&values(&tower, "repr")?, &map);
        let lengths = values(&tower, "norm")?;
        let factors: Vec<f64> = representation
            .chunks_exact(D)
            .zip(&lengths)
            .map(|(r, own)| own / r.iter().map(|x| x * x).sum::<f64>().sqrt())
            .collect();
        // Of each image, the tower's contributions mapped, and scaled to the length of what is in CLIP's space.
        let expected = |key: &str| -> Outcome<Vec<f64>> {
            let all = mapped(&values(&tower, key)?, &map);
            let each = all.len() / factors.len();
            Ok(all.chunks_exact(each).zip(&factors).flat_map(|(c, by)| c.iter().map(move |c| c * by)).collect())
        };
        let (heads, components) = (expected("attn")?, expected("mlp")?);
        let own: VisionPass = model.vision_pass(Precision::Float32)?;
        let traces =
            [("Burn", model.vision().trace(pixels.clone(), &request)?), ("our pass", own.trace(pixels, &request)?)];
        for (pass, trace) in traces {
            let name = |what: &str| format!("{} by {pass}: {what}", tower.display());
            let found: Vec<f64> = trace.representation.iter().map(|value| f64::from(*value)).collect();
            assert_close(&name("representation"), &found, &representation);
            let [found_heads, found_components] = contributions(&model, &layers, &trace)?;
            assert_close(&name("heads"), &found_heads, &heads);
            assert_close(&name("components"), &found_components, &components);
            let images = trace.scalars.len();
            for (image, r) in representation.chunks_exact(D).enumerate() {
                let parts = [&found_heads, &found_components]
                    .map(|all| &all[image * all.len() / images..][..all.len() / images]);
                let sum = |at: usize| parts.iter().flat_map(|part| part.iter().skip(at).step_by(D)).sum::<f64>();
                let norm = r.iter().map(|x| x * x).sum::<f64>().sqrt();
                let unit: Vec<f64> = r.iter().map(|x| x / norm).collect();
                assert_close(&name("sum of all"), &(0..D).map(sum).collect::<Vec<_>>(), &unit);
            }
        }
    }
    Ok(())
}

#[test]
fn texts_are_those_of_the_clip() -> Outcome {
    let (Aligned { config, model, _folder }, _) = aligned(&families().join("timm-vit"))?;
    let theirs = ModelConfig::read(&clip().join("open_clip_config.json"))?;
    let clip = LoadedModel::load(&clip().join("open_clip_model.safetensors"), &theirs, OpenDevice::cpu())?;
    let batch = TokenBatch::new(&[vec![62, 5, 7, 63], vec![62, 9, 63]]);
    assert_eq!(model.encode_texts(&batch)?, clip.encode_texts(&batch)?);
    assert_eq!(config.texts()?, theirs.texts()?);
    let checkpoint = Checkpoint::open(&families().join("timm-vit/model.safetensors"))?;
    let queries = LoadedModel::for_queries(&checkpoint, &config, OpenDevice::cpu())?;
    assert_eq!(queries.encode_texts(&batch)?, clip.encode_texts(&batch)?);
    assert!(config.bytes_beside()? > 0 && theirs.bytes_beside()? == 0);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_by_name() -> Outcome {
    let tower = families().join("timm-vit");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join(Alignment::FILE);
    let told = || ModelConfig::read(&file).err().map(|error| error.to_string()).unwrap_or_default();
    write(folder.path(), &tower, &map(15))?;
    assert!(told().contains("the map has shape [15, 12]") && told().contains("[16, 12]"), "{}", told());
    write(folder.path(), &tower, &LinearMap { rows: 16, columns: D, values: vec![f32::NAN; 16 * D] })?;
    assert!(told().contains("not finite"), "{}", told());
    write(folder.path(), &tower, &map(16))?;
    let config = ModelConfig::read(&file)?;
    let options = ModelOptions { image_size: Some(32), ..ModelOptions::default() };
    assert!(matches!(ModelConfig::with_options(Some(&file), &options), Err(ClipError::FixedByAlignment)));
    assert_eq!(config.vision.d, D);
    let text = fs_err::read_to_string(&file)?;
    fs_err::write(&file, text.replace("\"headspan_alignment\":1", "\"headspan_alignment\":2"))?;
    assert!(told().contains("headspan_alignment = 2"), "{}", told());
    fs_err::write(&file, text.replace("timm-vit/model.safetensors", "timm-vit/gone.safetensors"))?;
    assert!(told().contains("gone.safetensors` (weights of the tower), which does not exist"), "{}", told());
    assert!(FoundFiles::find(folder.path()).is_err());
    fs_err::write(&file, text)?;
    fs_err::write(folder.path().join(LinearMap::FILE), "no map")?;
    assert!(told().contains("is not a map in safetensors"), "{}", told());
    Ok(())
}
