//! Flags of the commands around the rendered world.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use headspan_model::DeviceChoice;
use headspan_scenes::{Combinations, DatasetFormat};

use super::{IgnoredDevice, PipelineArgs, PlaceArgs, local_folder};

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

/// Flags of `train`.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Recipe (configs/train/); default: the recipe of the demo model
    pub(crate) recipe: Option<PathBuf>,

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
