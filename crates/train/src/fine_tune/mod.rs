//! Training a model further on images of the user's own.

mod held_out;
mod interpolate;
mod labelled;
mod pictures;
mod settings;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use burn::{module::Module, optim::ModuleOptimizer, tensor::Device};
use headspan_artifacts::{hash_file, write_atomic};
use headspan_model::{
    Checkpoint, ClipConfig, LoadedModel, OpenDevice, SavedPrecision, TextStyle, Tokenizer, VisionShape, burn::Clip,
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::{Progress, Saved, difference, path_in},
    curve::{self, CurvePoint},
    error::{Result, TrainError},
    finished::finite,
    loss::{accuracy, contrast},
    optimizer::{Schedule, optimizer},
    trainer::{CURVE_STEPS, scalar},
};

pub use held_out::{HeldOut, held_out};
pub use labelled::Labelled;
pub use settings::{FineTuning, TrainedBlocks};

use pictures::{Order, Pictures};

/// Most held-out images of a measurement while it trains.
const MEASURED: usize = 1000;

/// What a training continues from: the same settings, images and model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Recorded {
    #[serde(flatten)]
    settings: FineTuning,
    /// Fingerprint of the images.
    images: String,
    /// Hash of the weights that it began with.
    weights: String,
}

/// The model that a training begins with.
pub struct Beginning<'a> {
    /// Its weights.
    pub weights: &'a Path,
    /// Its configuration.
    pub config: ClipConfig,
    /// Its tokenizer's file.
    pub tokenizer: &'a Path,
}

/// A fine-tuning that goes on step by step and continues from its last checkpoint.
pub struct FineTuner {
    recorded: Recorded,
    folder: PathBuf,
    device: OpenDevice,
    autodiff: Device,
    config: ClipConfig,
    tokenizer: Tokenizer,
    tokenizer_json: String,
    weights: PathBuf,
    labelled: Labelled,
    /// Images to learn from, and images to measure on, of `labelled` or of `tested`.
    learned: Vec<u32>,
    measured: Vec<u32>,
    tested: Option<Labelled>,
    order: Order,
    model: Clip,
    optimizer: ModuleOptimizer,
    step: u64,
    curve: Vec<CurvePoint>,
    before: f64,
    started: Instant,
}

impl FineTuner {
    /// Begins a training in `folder`, or continues the one that its checkpoint holds. Accuracy is measured on `tested`, or else on a share of the
    /// images that is held out.
    pub fn open(
        settings: FineTuning,
        beginning: Beginning<'_>,
        mut labelled: Labelled,
        tested: Option<Labelled>,
        folder: &Path,
        device: OpenDevice,
    ) -> Result<Self> {
        settings.check()?;
        let Beginning { weights, config, tokenizer: tokenizer_path } = beginning;
        if config.vision.shape != VisionShape::default() || config.text.style != TextStyle::default() {
            return Err(TrainError::Family);
        }
        fs_err::create_dir_all(folder)?;
        let images = labelled.dataset().fingerprint();
        let recorded = Recorded { settings, images, weights: hash_of(weights)? };
        let path = path_in(folder);
        let saved = Saved::read(&path)?;
        if let Some(key) = saved.as_ref().and_then(|saved| difference(&saved.progress.recipe, &recorded)) {
            return Err(TrainError::OtherRecipe { path, key });
        }
        let mut tested = tested.map(|tested| tested.with_classes_of(&labelled)).transpose()?;
        labelled.hold();
        if let Some(tested) = &mut tested {
            tested.hold();
        }
        let autodiff = device.burn().clone().autodiff();
        let tokenizer_json = fs_err::read_to_string(tokenizer_path)?;
        let tokenizer = Tokenizer::read(tokenizer_path, config.text.context_length, config.text.vocab_size)?;
        let mut model: Clip = Checkpoint::open(weights)?.load(&config, &autodiff)?;
        let settings = &recorded.settings;
        let mut optimizer = optimizer(settings.beta_2, settings.weight_decay, settings.clip_norm);
        let (mut step, mut curve) = (0, Vec::new());
        if let Some(saved) = saved {
            model = model.load_record(saved.model);
            optimizer = optimizer.load_record(saved.optimizer);
            (step, curve) = (saved.progress.steps, saved.progress.curve);
        }
        let model = frozen(model, settings);
        let (learned, measured) = parted(settings, labelled.len(), tested.as_ref().map(Labelled::len));
        if learned.len() < 2 {
            return Err(TrainError::TooFewImages { images: learned.len() });
        }
        let before = curve.last().map_or(0.0, |point: &CurvePoint| point.seconds);
        Ok(Self {
            folder: folder.to_owned(),
            device,
            autodiff,
            config,
            tokenizer,
            tokenizer_json,
            weights: weights.to_owned(),
            labelled,
            learned,
            measured,
            tested,
            order: Order::default(),
            model,
            optimizer,
            step,
            curve,
            before,
            started: Instant::now(),
            recorded,
        })
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Steps of the whole training.
    pub fn steps(&self) -> u64 {
        self.recorded.settings.steps(self.learned.len())
    }

    /// How it is trained.
    pub fn settings(&self) -> &FineTuning {
        &self.recorded.settings
    }

    /// Images that it learns from, and images that accuracy is measured on.
    pub fn images(&self) -> (usize, usize) {
        (self.learned.len(), self.measured.len())
    }

    /// The curve so far.
    pub fn curve(&self) -> &[CurvePoint] {
        &self.curve
    }

    /// One step of the optimiser; nothing when all are done. Saves a checkpoint, with a measurement, where the settings want one.
    pub fn advance(&mut self) -> Result<Option<CurvePoint>> {
        let steps = self.steps();
        if self.step >= steps {
            return Ok(None);
        }
        let settings = &self.recorded.settings;
        let (step, count, parts) = (self.step, settings.batch_size, settings.parts);
        let pictures = Pictures {
            settings,
            labelled: &self.labelled,
            images: &self.learned,
            config: &self.config,
            tokenizer: &self.tokenizer,
            order: &self.order,
        };
        let (first, rows) = (step * count as u64, count / parts);
        let batch = |part: usize| pictures.batch(first + (part * rows) as u64, rows, &self.autodiff);
        let contrast = contrast(&self.model, parts, batch, &self.autodiff)?;
        let schedule = Schedule { peak: settings.learning_rate, warmup: settings.warmup_steps(steps), steps };
        let learning_rate = schedule.rate(step);
        self.model = self.optimizer.step(learning_rate, self.model.clone(), contrast.gradients);
        self.step += 1;
        let saves = self.step.is_multiple_of(settings.checkpoint_steps) || self.step == steps;
        let mut shown = None;
        if step.is_multiple_of(CURVE_STEPS) || saves {
            let loss = scalar(contrast.loss, "the loss")?;
            if !loss.is_finite() {
                return Err(TrainError::Diverged { step, loss });
            }
            let held_out = if saves { self.measure(MEASURED)?.accuracy() } else { None };
            let point = CurvePoint {
                step,
                scenes: first + count as u64,
                loss,
                accuracy: accuracy(contrast.logits, contrast.labels.as_deref())?,
                learning_rate,
                scale: scalar(self.model.logit_scale.val().exp(), "the scale")?,
                seconds: self.before + self.started.elapsed().as_secs_f64(),
                held_out: held_out.map(|share| share as f32),
            };
            self.curve.push(point);
            shown = Some(point);
        }
        if saves {
            self.save()?;
        }
        Ok(shown)
    }

    /// Accuracy of the model as it is, on at most so many held-out images.
    pub fn measure(&self, most: usize) -> Result<HeldOut> {
        let (labelled, images) = (self.tested.as_ref().unwrap_or(&self.labelled), &self.measured);
        let every = images.len().div_ceil(most.max(1)).max(1);
        let some: Vec<u32> = images.iter().step_by(every).copied().collect();
        let model = LoadedModel::of_modules(self.model.valid(), &self.config, self.device.clone());
        held_out(&model, &self.tokenizer, labelled, &self.settings().templates, &some)
    }

    fn save(&self) -> Result<()> {
        let progress = Progress { recipe: self.recorded.clone(), steps: self.step, curve: self.curve.clone() };
        let saved = Saved {
            progress,
            model: self.model.clone().into_record(),
            optimizer: self.optimizer.to_record(),
            tokenizer: self.tokenizer_json.clone(),
        };
        saved.write(&path_in(&self.folder))?;
        curve::write(&self.folder.join("curve.parquet"), &self.curve)
    }

    /// Writes the model in OpenCLIP's layout, its weights in float32, interpolated where the settings want it. Nothing if a weight is not
    /// finite. Its accuracy on all held-out images is returned.
    pub fn finish(&mut self) -> Result<HeldOut> {
        let share = self.settings().interpolate;
        if share < 1.0 {
            let before: Clip = Checkpoint::open(&self.weights)?.load(&self.config, self.device.burn())?;
            let between = interpolate::between(&bytes(&before)?, &bytes(&self.model.valid())?, share)?;
            return self.write(&between);
        }
        self.write(&bytes(&self.model.valid())?)
    }

    fn write(&mut self, weights: &[u8]) -> Result<HeldOut> {
        finite(weights)?;
        let place = self.folder.join("open_clip_model.safetensors");
        write_atomic(&self.folder.join("tokenizer.json"), self.tokenizer_json.as_bytes())?;
        let config = format!("{:#}\n", self.config.to_open_clip());
        write_atomic(&self.folder.join("open_clip_config.json"), config.as_bytes())?;
        write_atomic(&place, weights)?;
        self.model = Checkpoint::open(&place)?.load(&self.config, &self.autodiff)?;
        self.measure(usize::MAX)
    }
}

fn bytes(model: &Clip) -> Result<Vec<u8>> {
    Ok(model.to_open_clip(SavedPrecision::Float32)?)
}

/// Hash of all files of the weights.
fn hash_of(weights: &Path) -> Result<String> {
    let hashes = Checkpoint::files(weights)?.iter().map(|file| Ok(hash_file(file)?)).collect::<Result<Vec<_>>>()?;
    Ok(hashes.join(" "))
}

/// Images to learn from and images to measure on. Those of a data set for tests are all measured on.
fn parted(settings: &FineTuning, images: usize, tested: Option<usize>) -> (Vec<u32>, Vec<u32>) {
    let all: Vec<u32> = (0..images as u32).collect();
    if let Some(tested) = tested {
        return (all, (0..tested as u32).collect());
    }
    let mut order = all;
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(settings.seed));
    let mut learned = order.split_off((settings.held_out * images as f64).round() as usize);
    learned.sort_unstable();
    order.sort_unstable();
    (learned, order)
}

/// The model with what is not to be trained left out of the gradient.
fn frozen(mut model: Clip, settings: &FineTuning) -> Clip {
    if !settings.text_tower {
        model.text = model.text.no_grad();
    }
    let visual = &mut model.visual;
    let first = match settings.blocks {
        TrainedBlocks::All => return model,
        TrainedBlocks::Last(count) => visual.transformer.resblocks.len().saturating_sub(count),
        TrainedBlocks::None => visual.transformer.resblocks.len(),
    };
    visual.conv1 = visual.conv1.clone().no_grad();
    visual.class_embedding = visual.class_embedding.clone().no_grad();
    visual.positional_embedding = visual.positional_embedding.clone().no_grad();
    visual.ln_pre = visual.ln_pre.clone().no_grad();
    for block in &mut visual.transformer.resblocks[..first] {
        *block = block.clone().no_grad();
    }
    if settings.blocks == TrainedBlocks::None {
        visual.ln_post = visual.ln_post.clone().no_grad();
        visual.proj = visual.proj.clone().no_grad();
    }
    model
}
