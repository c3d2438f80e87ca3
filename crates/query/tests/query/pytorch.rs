//! The analyses against PyTorch: random OpenCLIP models whose dense contributions, whole and by token, were computed there.
//!
//! Tolerance: 1e-5 of the largest score, as for the contributions themselves (crates/model/tests/golden.rs); the sums here add
//! some hundred of them.

use std::path::{Path, PathBuf};

use headspan_artifacts::{RunDirectory, RunId};
use headspan_headspace::HeadId;
use headspan_model::{Checkpoint, LoadedModel, ModelConfig, OpenDevice, Tokenizer};
use headspan_query::{
    ColumnStore, ExploreModel, ExploreRun, HeadSelection, NeighboursRequest, Query, Similarity, StoreBounds, contrast,
    segment,
};
use safetensors::SafeTensors;

use crate::support::{Failure, Outcome, demo, length, product, write};

const TOLERANCE: f64 = 1e-5;

#[expect(clippy::print_stderr, reason = "a test that skips a part says so")]
/// The models of crates/model's own tests, and the shared ones where there are any.
fn fixtures() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data/model");
    let mut folders = vec![own.join("gelu"), own.join("quick-gelu")];
    if let Some(shared) = std::env::var_os("HEADSPAN_SHARED").map(PathBuf::from) {
        folders.extend(["random-gelu", "random-quick-gelu"].map(|name| shared.join("fixtures").join(name)));
    } else {
        eprintln!("skipped the shared fixtures: HEADSPAN_SHARED is not set");
    }
    folders
}

/// Tensors of a fixture, with what the analyses make of them.
struct Expected {
    bytes: Vec<u8>,
    images: usize,
    layers: usize,
    heads: usize,
    tokens: usize,
    d: usize,
}

impl Expected {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let bytes = fs_err::read(folder.join("case.safetensors"))?;
        let shape = SafeTensors::deserialize(&bytes)?.tensor("attn_tokens")?.shape().to_vec();
        let [images, layers, tokens, heads, d] = shape[..] else { return Err("attn_tokens has another shape".into()) };
        Ok(Self { bytes, images, layers, heads, tokens, d })
    }

    fn values(&self, key: &str) -> Result<Vec<f32>, Failure> {
        let tensors = SafeTensors::deserialize(&self.bytes)?;
        let floats = tensors.tensor(key)?.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok(floats.collect())
    }

    /// Text features to unit norm.
    fn texts(&self) -> Result<Vec<Vec<f32>>, Failure> {
        let unit = |row: &[f32]| {
            let norm = length(&row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
            row.iter().map(|x| (f64::from(*x) / norm) as f32).collect()
        };
        Ok(self.values("text_features")?.chunks_exact(self.d).map(unit).collect())
    }

    /// Mean contribution of heads of an image, `[d]`.
    fn mean(&self, attn: &[f32], image: usize, heads: &[HeadId]) -> Vec<f64> {
        let mut mean = vec![0.0; self.d];
        for head in heads {
            let at = ((image * self.layers + head.layer as usize) * self.heads + head.head as usize) * self.d;
            mean.iter_mut().zip(&attn[at..]).for_each(|(sum, x)| *sum += f64::from(*x) / heads.len() as f64);
        }
        mean
    }

    /// Scores of all tokens of an image for a direction, summed over heads.
    fn token_scores(&self, tokens: &[f32], image: usize, heads: &[HeadId], direction: &[f64]) -> Vec<f64> {
        let score = |token: usize| {
            let one = |head: &HeadId| {
                let row = ((image * self.layers + head.layer as usize) * self.tokens + token) * self.heads;
                let at = (row + head.head as usize) * self.d;
                tokens[at..at + self.d].iter().zip(direction).map(|(x, t)| f64::from(*x) * t).sum::<f64>()
            };
            heads.iter().map(one).sum()
        };
        (0..self.tokens).map(score).collect()
    }
}

/// A run over the fixture's images, and the model.
fn opened(folder: &Path, expected: &Expected, runs: &Path) -> Result<(ExploreRun, ExploreModel, Vec<f32>), Failure> {
    let config = ModelConfig::read(&folder.join("open_clip_config.json"))?;
    let loaded = LoadedModel::for_queries(
        &Checkpoint::open(&folder.join("open_clip_model.safetensors"))?,
        &config,
        OpenDevice::cpu(),
    )?;
    let layers: Vec<usize> = (0..expected.layers).collect();
    let readouts = loaded.readout_folder()?.readouts(&layers)?;
    // The fixtures have token numbers instead of texts: the tokenizer is any.
    let model = ExploreModel::new(loaded, Tokenizer::read(&demo().join("tokenizer.json"), 48, 49_408)?);
    let pixels = expected.values("images")?;
    let mut u = Vec::new();
    for image in pixels.chunks_exact(pixels.len() / expected.images) {
        let trace = model.trace_pixels(image.to_vec(), &(0..expected.layers as u32).collect::<Vec<_>>())?;
        u.push(readouts.iter().map(|readout| trace.u(readout.head)).collect::<Result<Vec<_>, _>>()?);
    }
    let id = RunId::new("fixture", "random")?;
    let directory = RunDirectory::create(runs, &id)?;
    let rows: Vec<u64> = (0..expected.images as u64).collect();
    write(&directory, &id, &readouts, &rows, &u, &vec!["one".to_owned(); expected.images])?;
    Ok((ExploreRun::open(directory, &ColumnStore::new(StoreBounds::of_columns(1 << 20)))?, model, pixels))
}

fn assert_close(what: &str, found: &[f32], expected: &[f64]) {
    let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let error = (f64::from(*found) - expected).abs();
        assert!(error <= TOLERANCE * largest, "{what}: {found} instead of {expected}, of {largest}");
    }
}

#[test]
fn the_analyses_agree_with_pytorch() -> Outcome {
    for folder in fixtures() {
        let name = folder.display();
        let expected = Expected::read(&folder)?;
        let runs = tempfile::tempdir()?;
        let (run, model, pixels) = opened(&folder, &expected, runs.path())?;
        let (attn, tokens, texts) = (expected.values("attn")?, expected.values("attn_tokens")?, expected.texts()?);
        for selection in ["all", "L1", "L2.H1", "shapes"] {
            let selection: HeadSelection = selection.parse()?;
            let heads = run.resolve(&selection)?;
            let means: Vec<Vec<f64>> = (0..expected.images).map(|image| expected.mean(&attn, image, &heads)).collect();
            for similarity in [Similarity::Dot, Similarity::Cosine] {
                let request = NeighboursRequest { similarity, ..NeighboursRequest::new(selection.clone(), 4) };
                let score = |query: &[f64], image: usize| match similarity {
                    Similarity::Dot => product(query, &means[image]),
                    Similarity::Cosine => product(query, &means[image]) / length(query) / length(&means[image]),
                };
                let what = format!("{name} {selection} {similarity:?}");
                let text: Vec<f64> = texts[1].iter().map(|x| f64::from(*x)).collect();
                for (query, asked) in [(&text, Query::Text(&texts[1])), (&means[0], Query::Image(0))] {
                    let found = run.neighbours(asked, &request)?.images;
                    let ranked: Vec<f32> = found.iter().map(|one| one.score).collect();
                    let theirs: Vec<f64> = found.iter().map(|one| score(query, one.image_index as usize)).collect();
                    assert_close(&what, &ranked, &theirs);
                }
            }
            let last = expected.images - 1;
            let image = &pixels[last * (pixels.len() / expected.images)..];
            let trace = model.trace_pixels(image.to_vec(), &run.layers())?;
            let text = |index: usize| texts[index].iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
            let theirs = [0, 1].map(|index| expected.token_scores(&tokens, last, &heads, &text(index)));
            let found = segment(&run, &trace, &selection, &texts[0])?;
            let whole: Vec<f32> = std::iter::once(found.class_token).chain(found.patches).collect();
            assert_close(&format!("{name} {selection} segmentation"), &whole, &theirs[0]);
            let found = contrast(&run, &trace, &selection, &[&texts[0], &texts[1]])?;
            let lead: Vec<f64> = theirs[0][1..].iter().zip(&theirs[1][1..]).map(|(one, other)| one - other).collect();
            assert_close(&format!("{name} {selection} contrast"), &found.differences[0], &lead);
        }
    }
    Ok(())
}
