use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use burn::{
    module::Module,
    optim::ModuleOptimizer,
    tensor::{Device, Tensor, TensorData},
};
use headspan_artifacts::write_atomic;
use headspan_model::{Checkpoint, ClipConfig, OpenDevice, SavedPrecision, Tokenizer, burn::Clip};

use crate::{
    batch::Batch,
    checkpoint::{Progress, Saved, difference, path_in},
    curve::{self, CurvePoint},
    error::{Result, TrainError},
    finished::finite,
    first_model::same_architecture,
    loss::{accuracy, contrast},
    optimizer::optimizer,
    recipe::Recipe,
    vocabulary::tokenizer_json,
};

/// Steps between two points of the curve.
pub(crate) const CURVE_STEPS: u64 = 10;

/// A training that goes on step by step and continues from its last checkpoint.
pub struct Trainer {
    recipe: Recipe,
    folder: PathBuf,
    device: Device,
    config: ClipConfig,
    tokenizer: Tokenizer,
    tokenizer_json: String,
    model: Clip,
    optimizer: ModuleOptimizer,
    step: u64,
    curve: Vec<CurvePoint>,
    /// Seconds of earlier sittings.
    before: f64,
    started: Instant,
}

impl Trainer {
    /// Begins a training in `folder`, or continues the one that its checkpoint holds.
    pub fn open(recipe: Recipe, folder: &Path, device: &OpenDevice) -> Result<Self> {
        recipe.check()?;
        fs_err::create_dir_all(folder)?;
        let path = path_in(folder);
        let saved = Saved::read(&path)?;
        if let Some(key) = saved.as_ref().and_then(|saved| difference(&saved.progress.recipe, &recipe)) {
            return Err(TrainError::OtherRecipe { path, key });
        }
        let device = device.burn().clone().autodiff();
        let begin_with = recipe.begin_with.as_deref().filter(|_folder| saved.is_none());
        let (tokenizer_json, vocab_size) = match (&saved, begin_with) {
            (Some(saved), _) => (saved.tokenizer.clone(), vocabulary_size(&saved.tokenizer, &path)?),
            (None, Some(folder)) => {
                let path = folder.join("tokenizer.json");
                let json = fs_err::read_to_string(&path)?;
                let size = vocabulary_size(&json, &path)?;
                (json, size)
            }
            (None, None) => tokenizer_json(&recipe.world, recipe.vocabulary)?,
        };
        let config = recipe.config(vocab_size);
        if let Some(folder) = begin_with {
            same_architecture(folder, &config)?;
        }
        let tokenizer_path = folder.join("tokenizer.json");
        write_atomic(&tokenizer_path, tokenizer_json.as_bytes())?;
        let tokenizer = Tokenizer::read(&tokenizer_path, recipe.model.context_length, vocab_size)?;
        let mut model = drawn(&config, recipe.seed, &device);
        if let Some(folder) = begin_with {
            let trained = Checkpoint::open(&folder.join("open_clip_model.safetensors"))?;
            model = model.load_record(trained.load(&config, &device)?.into_record());
        }
        let mut optimizer = optimizer(recipe.beta_2, recipe.weight_decay, recipe.clip_norm);
        let (mut step, mut curve) = (0, Vec::new());
        if let Some(saved) = saved {
            model = model.load_record(saved.model);
            optimizer = optimizer.load_record(saved.optimizer);
            (step, curve) = (saved.progress.steps, saved.progress.curve);
        }
        let before = curve.last().map_or(0.0, |point: &CurvePoint| point.seconds);
        let folder = folder.to_owned();
        let started = Instant::now();
        Ok(Self {
            recipe,
            folder,
            device,
            config,
            tokenizer,
            tokenizer_json,
            model,
            optimizer,
            step,
            curve,
            before,
            started,
        })
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Parameters of both towers.
    pub fn parameters(&self) -> usize {
        self.model.num_params()
    }

    /// The curve so far.
    pub fn curve(&self) -> &[CurvePoint] {
        &self.curve
    }

    /// One step of the optimiser; nothing when all are done. Saves a checkpoint where the recipe wants one. Returns a point
    /// of the curve every few steps, since reading the loss makes a GPU wait.
    pub fn advance(&mut self) -> Result<Option<CurvePoint>> {
        if self.step >= self.recipe.steps {
            return Ok(None);
        }
        let (step, count) = (self.step, self.recipe.batch_size);
        let world = self.recipe.world_at(step);
        let first = step * count as u64;
        let rows = count / self.recipe.parts;
        let render = |part: usize| {
            let first = first + (part * rows) as u64;
            Batch::render(&self.recipe, &world, first, rows, &self.config, &self.tokenizer, &self.device)
        };
        let contrast = contrast(&self.model, self.recipe.parts, render, &self.device)?;
        let learning_rate = self.recipe.learning_rate(step);
        self.model = self.optimizer.step(learning_rate, self.model.clone(), contrast.gradients);
        self.step += 1;
        let mut shown = None;
        if step.is_multiple_of(CURVE_STEPS) || self.step == self.recipe.steps {
            let loss = scalar(contrast.loss, "the loss")?;
            if !loss.is_finite() {
                return Err(TrainError::Diverged { step, loss });
            }
            let point = CurvePoint {
                step,
                scenes: first + count as u64,
                loss,
                accuracy: accuracy(contrast.logits, None)?,
                learning_rate,
                scale: scalar(self.model.logit_scale.val().exp(), "the scale")?,
                seconds: self.before + self.started.elapsed().as_secs_f64(),
                held_out: None,
            };
            self.curve.push(point);
            shown = Some(point);
        }
        if self.step.is_multiple_of(self.recipe.checkpoint_steps) {
            self.save()?;
        }
        Ok(shown)
    }

    /// Writes the checkpoint and the curve.
    pub fn save(&self) -> Result<()> {
        let saved = Saved {
            progress: Progress { recipe: self.recipe.clone(), steps: self.step, curve: self.curve.clone() },
            model: self.model.clone().into_record(),
            optimizer: self.optimizer.to_record(),
            tokenizer: self.tokenizer_json.clone(),
        };
        saved.write(&path_in(&self.folder))?;
        curve::write(&self.folder.join("curve.parquet"), &self.curve)
    }

    /// Writes the model in OpenCLIP's layout (`open_clip_config.json`, `open_clip_model.safetensors` in float16 and
    /// `tokenizer.json`) and the last checkpoint. Nothing if a weight is not finite: no loss has yet been taken of the last
    /// step's weights, and float16 holds less than they do.
    pub fn finish(&self) -> Result<()> {
        let weights = self.model.valid().to_open_clip(SavedPrecision::Float16)?;
        finite(&weights)?;
        self.save()?;
        let config = format!("{:#}\n", self.config.to_open_clip());
        write_atomic(&self.folder.join("open_clip_config.json"), config.as_bytes())?;
        Ok(write_atomic(&self.folder.join("open_clip_model.safetensors"), &weights)?)
    }

    /// The weights in float32, for a comparison bit by bit.
    pub fn weights(&self) -> Result<Vec<u8>> {
        Ok(self.model.valid().to_open_clip(SavedPrecision::Float32)?)
    }
}

/// A model with weights drawn from a seed. Parameters are drawn at first use; reading them all at once, in the order of the
/// module, fixes which draw is whose, and the lock keeps others in the process from the one generator that there is.
fn drawn(config: &ClipConfig, seed: u64, device: &Device) -> Clip {
    static DRAWING: Mutex<()> = Mutex::new(());
    let _alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(seed);
    let mut model = config.init(device);
    let _values = model.clone().into_record();
    let positions = position_embedding(config.vision.grid(), config.vision.width);
    let shape = [config.vision.tokens(), config.vision.width];
    model.visual.positional_embedding = model
        .visual
        .positional_embedding
        .map(|_drawn| Tensor::from_data(TensorData::new(positions, shape), device).require_grad());
    model
}

/// Sines and cosines of row and column (arXiv 2205.01580), `[grid² + 1, width]`, zero for the class token. Training moves
/// them like all weights; beginning with them instead of noise, a small model finds shapes and places many steps earlier.
fn position_embedding(grid: usize, width: usize) -> Vec<f32> {
    const AMPLITUDE: f64 = 0.5;
    let quarter = width / 4;
    let mut rows = vec![0.0_f32; (grid * grid + 1) * width];
    for (place, row) in rows.chunks_exact_mut(width).skip(1).enumerate() {
        let (down, across) = ((place / grid) as f64, (place % grid) as f64);
        for index in 0..quarter {
            // Wavelengths from a few patches to many times the picture.
            let frequency = 100.0_f64.powf(-(index as f64) / quarter as f64);
            for (part, value) in [(0, down), (2, across)] {
                row[part * quarter + index] = (AMPLITUDE * (value * frequency).sin()) as f32;
                row[(part + 1) * quarter + index] = (AMPLITUDE * (value * frequency).cos()) as f32;
            }
        }
    }
    rows
}

fn vocabulary_size(json: &str, path: &Path) -> Result<usize> {
    json.parse::<tokenizers::Tokenizer>()
        .map(|tokenizer| tokenizer.get_vocab_size(true))
        .map_err(|source| TrainError::Checkpoint { path: path.to_owned(), source })
}

pub(crate) fn scalar(tensor: Tensor<1>, what: &'static str) -> Result<f32> {
    let values: Vec<f32> =
        tensor.into_data().try_into_vec().map_err(|error| TrainError::Device { what, source: error.into() })?;
    values.first().copied().ok_or_else(|| TrainError::Device { what, source: "it returned no value".into() })
}
