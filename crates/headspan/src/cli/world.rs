//! Flags of the commands around the rendered world.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use headspan_model::DeviceChoice;
use headspan_scenes::{Combinations, DatasetFormat};

use headspan_train::TrainedBlocks;

use super::{CheckpointArgs, IgnoredDevice, ImagesArgs, PipelineArgs, PlaceArgs, local_folder};

/// Flags of `scenes`.
#[derive(Debug, Args)]
pub(crate) struct ScenesArgs {
    /// Folder of the data set
    #[arg(long, value_name = "DIR", value_parser = local_folder, conflicts_with = "sheet")]
    pub(crate) out: Option<PathBuf>,

    /// Number of scenes
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) scenes: u64,

    /// How the images are stored
    #[arg(long, value_enum, default_value_t = SceneFormat::Parquet)]
    pub(crate) format: SceneFormat,

    /// Seed of the world
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,

    /// Height and width of a picture in pixels
    #[arg(long, default_value_t = 64)]
    pub(crate) pixels: u32,

    /// Pairs of kind and colour that are drawn
    #[arg(long, value_enum, default_value_t = ScenePairs::Seen)]
    pub(crate) combinations: ScenePairs,

    /// Share of scenes whose background is correlated with the kind, as in Waterbirds
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) correlation: f32,

    /// Share of plain scenes: one large object, photo-like, by day, in clear weather, without pattern or sign
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) ease: f32,

    /// Share of scenes with a bystander, a smaller object of another kind, where there is room for one
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) bystanders: f32,

    /// Captions per scene, in addition to the full one
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) captions: u32,

    /// Draw only the first 72 scenes, on one picture
    #[arg(long, value_name = "FILE")]
    pub(crate) sheet: Option<PathBuf>,
}

/// Formats of rendered scenes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SceneFormat {
    /// A folder per kind
    Folder,
    /// `WebDataset` tar shards
    Webdataset,
    /// Parquet shards with image bytes
    Parquet,
}

impl From<SceneFormat> for DatasetFormat {
    fn from(format: SceneFormat) -> Self {
        match format {
            SceneFormat::Folder => Self::Folder,
            SceneFormat::Webdataset => Self::Webdataset,
            SceneFormat::Parquet => Self::Parquet,
        }
    }
}

/// Pairs of kind and colour.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ScenePairs {
    /// All
    All,
    /// The pairs in training
    Seen,
    /// The held-out pairs
    Unseen,
}

impl From<ScenePairs> for Combinations {
    fn from(pairs: ScenePairs) -> Self {
        match pairs {
            ScenePairs::All => Self::All,
            ScenePairs::Seen => Self::Seen,
            ScenePairs::Unseen => Self::Unseen,
        }
    }
}

/// After the help of `train`.
pub(crate) const TRAIN_HELP: &str = "\
Without --images a small CLIP is trained on rendered scenes. With --images and --checkpoint a trained CLIP is trained further on those images,
whose captions are made of the names of their classes (a folder for each class, a class column, or --classes).

Examples:
  headspan train --out models/scenes-6
  headspan train --checkpoint my-clip --images photos --out my-clip-photos --epochs 3
  headspan train --checkpoint my-clip --images train.csv --test-images test.csv --blocks last:4 --interpolate 0.5 --out tuned

The same command continues a training that was interrupted.";

/// How a model is trained further.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FineTuneArgs {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
    /// Images to measure accuracy on; default: a share of the images, which is held out
    #[arg(long, value_name = "PATH", help_heading = "Model and data")]
    pub(crate) test_images: Option<PathBuf>,
    /// A setting of the images by its key, such as `data.class_column=label`; may be given several times
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Model and data")]
    pub(crate) set: Vec<String>,
    /// How often each image is seen [recipe: epochs; default: 1]
    #[arg(long, value_name = "N", help_heading = "Fine-tuning")]
    pub(crate) epochs: Option<f64>,
    /// Images of one step [recipe: `batch_size`; default: 64]
    #[arg(long, value_name = "N", help_heading = "Fine-tuning")]
    pub(crate) batch_size: Option<usize>,
    /// Highest learning rate [recipe: `learning_rate`; default: 1e-5]
    #[arg(long, value_name = "RATE", help_heading = "Fine-tuning")]
    pub(crate) learning_rate: Option<f64>,
    /// Captions, one a line, with `{}` for the name of the class [recipe: templates]
    #[arg(long, value_name = "FILE", help_heading = "Fine-tuning")]
    pub(crate) templates: Option<PathBuf>,
    /// What of the image tower is trained: all, last:N or none [recipe: blocks; default: all]
    #[arg(long, value_name = "BLOCKS", help_heading = "Fine-tuning")]
    pub(crate) blocks: Option<TrainedBlocks>,
    /// Leave the text tower as it is [recipe: `text_tower`]
    #[arg(long, help_heading = "Fine-tuning")]
    pub(crate) freeze_texts: bool,
    /// Share of the trained weights in the model that is written, the rest being the weights before (WiSE-FT) [recipe: interpolate; default: 1]
    #[arg(long, value_name = "SHARE", help_heading = "Fine-tuning")]
    pub(crate) interpolate: Option<f64>,
}

/// Flags of `train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Recipe (configs/train/); default: the recipe of the demo model, or with --images the default of fine-tuning
    pub(crate) recipe: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) fine: FineTuneArgs,

    /// Folder of the checkpoint and of the finished model
    #[arg(long, value_name = "DIR", value_parser = local_folder)]
    pub(crate) out: PathBuf,

    /// cpu, wgpu or auto
    #[arg(long)]
    pub(crate) device: Option<DeviceChoice>,

    /// Number of steps, instead of the recipe's
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
}

/// Flags of `truth`.
#[derive(Debug, Args)]
pub(crate) struct TruthArgs {
    /// Model of the run; may be left out if the data set has one run
    pub(crate) model: Option<String>,

    /// Table of true attributes: `scenes.parquet` of the data set
    #[arg(long, value_name = "FILE")]
    pub(crate) attributes: PathBuf,

    /// Number of random sets of heads in the permutation test
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) permutations: usize,

    /// Share of images whose background agrees with the object, in the spurious-correlation experiment
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    pub(crate) correlation: f64,

    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    device: IgnoredDevice,
}

impl TruthArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        self.device.warn();
        self.place.alone()
    }
}
