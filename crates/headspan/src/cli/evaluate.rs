//! What a model is tried on.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};
use headspan_extract::LayerSelection;
use headspan_model::DeviceChoice;

/// Flags of `evaluate`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct EvaluateArgs {
    #[command(subcommand)]
    pub(crate) of: Option<Evaluated>,

    /// Checkpoint folder
    #[arg(required = true)]
    pub(crate) checkpoint: Option<PathBuf>,

    /// Scenes per test, a multiple of 100
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) scenes: usize,

    /// Seed of the world; different from the training seed
    #[arg(long, default_value_t = 77)]
    pub(crate) seed: u64,

    /// Share of plain scenes: one large object, photo-like, by day, in clear weather, without pattern or sign
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) ease: f32,

    /// Share of scenes with a bystander, a smaller object of another kind, where there is room for one
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) bystanders: f32,

    /// cpu, wgpu, cuda or auto
    #[arg(long)]
    pub(crate) device: Option<DeviceChoice>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Other trials.
#[derive(Debug, Subcommand)]
pub(crate) enum Evaluated {
    /// Segmentation by the decomposition (arXiv 2310.05916, section 5), compared with raw attention and rollout
    #[command(after_help = SEGMENTATION_HELP)]
    Segmentation(SegmentationArgs),
}

const SEGMENTATION_HELP: &str = "\
Of each image the class is predicted by zero-shot; a patch's score is that of this class less the mean over all classes,
summed over the heads. Of rendered scenes there is a second table: scenes with two things in them, each asked for by its
text, such as `a green tree`. Maps go bilinearly to the pixels that the model sees, are clipped at zero and scaled to 0..1;
foreground is what lies above the mean. Masks get the crop that images get.

Examples:
  headspan evaluate segmentation data/demo/scenes-4
  headspan evaluate segmentation my-clip --images voc/images --masks voc/masks --classes voc/classes.txt";

/// Flags of `evaluate segmentation`.
#[derive(Debug, Args)]
pub(crate) struct SegmentationArgs {
    /// Checkpoint folder
    pub(crate) checkpoint: PathBuf,

    /// Folder of images; default: rendered scenes
    #[arg(long, value_name = "DIR", requires = "masks", requires = "classes")]
    pub(crate) images: Option<PathBuf>,

    /// Folder of masks with the same names (PNG; anything but black is foreground)
    #[arg(long, value_name = "DIR", requires = "images")]
    pub(crate) masks: Option<PathBuf>,

    /// File with one class name per line
    #[arg(long, value_name = "FILE", requires = "images")]
    pub(crate) classes: Option<PathBuf>,

    /// Text for a class; {} stands for its name
    #[arg(long, value_name = "TEXT", default_value = "a photo of a {}")]
    pub(crate) template: String,

    /// Layers whose heads are summed: all, last:4, or a list such as 8,9
    #[arg(long, value_name = "LAYERS", default_value = "all")]
    pub(crate) layers: LayerSelection,

    /// Number of rendered scenes, or maximum number of images
    #[arg(long, value_name = "N", default_value = "500")]
    pub(crate) limit: NonZeroUsize,

    /// Seed of the world; different from the training seed
    #[arg(long, default_value_t = 77)]
    pub(crate) seed: u64,

    /// cpu, wgpu, cuda or auto
    #[arg(long)]
    pub(crate) device: Option<DeviceChoice>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
