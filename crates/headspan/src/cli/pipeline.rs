//! The flags that are settings, in groups: each command has the groups that it reads.

use std::{ops::RangeBounds, path::PathBuf};

use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, RangedU64ValueParser, TypedValueParser},
};
use headspan_artifacts::is_remote;
use headspan_extract::{Keep, LayerSelection};
use headspan_label::{LABELLERS, LabellerName};
use headspan_model::DeviceChoice;
use headspan_pipeline::{
    DataOverrides, ImagesOverrides, LabelOverrides, ModelOverrides, Overrides, TextsOverrides, TextspanOverrides,
};

/// Folder of configuration layers, which need not be there.
pub(crate) const DEFAULT_CONFIGS: &str = "configs";

/// All of them, as `run-all` has them; a command that reads fewer leaves the others as they are by default.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PipelineArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) layers: LayersArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
    #[command(flatten)]
    pub(crate) textspan: TextspanArgs,
    #[command(flatten)]
    pub(crate) label: LabelArgs,
}

/// Where runs and settings are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PlaceArgs {
    /// Folder or address of all runs [setting: runs; default: runs]
    #[arg(long, value_name = "DIR", help_heading = "Where")]
    pub(crate) runs: Option<PathBuf>,
    /// Name of the data set, the folder below RUNS [setting: dataset; default: images]
    #[arg(long, value_name = "NAME", help_heading = "Where")]
    pub(crate) dataset: Option<String>,
    /// Folder of configuration files
    #[arg(long, value_name = "DIR", default_value = DEFAULT_CONFIGS, help_heading = "Where")]
    pub(crate) configs: PathBuf,
    /// Additional configuration file, such as a sweep; may be given several times
    #[arg(long, value_name = "FILE", help_heading = "Where")]
    pub(crate) config: Vec<PathBuf>,
    /// Any setting by its key, such as textspan.rank=60; may be given several times
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Where")]
    pub(crate) set: Vec<String>,
}

/// The model's files.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CheckpointArgs {
    /// Checkpoint: a folder with `open_clip_config.json`, weights and tokenizer.json, or its file of weights [setting: checkpoint]
    #[arg(long, value_name = "PATH", help_heading = "Model and data")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Architecture of weights without a configuration, such as ViT-B-32 [setting: model.architecture]
    #[arg(long, value_name = "NAME", help_heading = "Model and data")]
    pub(crate) architecture: Option<String>,
    /// Activation is QuickGELU, as in OpenAI's weights; `=false` for GELU [setting: `model.quick_gelu`]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Model and data")]
    pub(crate) quick_gelu: Option<bool>,
    /// Image size in pixels; position embeddings of other sizes are interpolated [setting: `model.image_size`]
    #[arg(long, value_name = "PIXELS", value_parser = count(1..=65_536), help_heading = "Model and data")]
    pub(crate) image_size: Option<usize>,
}

/// Where the images are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ImagesArgs {
    /// Images: a folder, a CSV or Parquet manifest, tar shards, or Parquet with image bytes; or the address of one, such as
    /// `s3://bucket/train-*.tar` [setting: data.path]
    #[arg(long, value_name = "PATH", help_heading = "Model and data")]
    pub(crate) images: Option<PathBuf>,
    /// File with one class per line; its order gives `class_index` [setting: data.classes]
    #[arg(long, value_name = "FILE", help_heading = "Model and data")]
    pub(crate) classes: Option<PathBuf>,
}

/// Which images, and which texts.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DataArgs {
    /// Maximum number of images [setting: data.limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Model and data")]
    pub(crate) limit: Option<u64>,
    /// Pool of descriptions: one per line, or columns text and category; `built-in` is the tagged pool [setting: texts.file]
    #[arg(long, value_name = "FILE", help_heading = "Model and data")]
    pub(crate) texts: Option<PathBuf>,
}

/// Where a model runs.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DeviceArgs {
    /// cpu, wgpu, cuda or auto [setting: device]
    #[arg(long, value_name = "DEVICE", help_heading = "Model and data")]
    pub(crate) device: Option<DeviceChoice>,
}

/// Which heads are extracted.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LayersArgs {
    /// Layers whose heads are kept: last:4, all, or a list such as 8,9 [setting: images.layers]
    #[arg(long, value_name = "LAYERS", help_heading = "Stages")]
    pub(crate) layers: Option<LayerSelection>,
}

/// How images are extracted.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WorkArgs {
    /// Images per forward pass [setting: `images.batch_size`]
    #[arg(long, value_name = "N", value_parser = count(0..=65_536), help_heading = "Stages")]
    pub(crate) batch_size: Option<usize>,
    /// Images whose activations are stored: all, moments (none), or a sample such as sample:50000 [setting: images.keep]
    #[arg(long, value_name = "WHAT", help_heading = "Stages")]
    pub(crate) keep: Option<Keep>,
    /// Stop at the first bad image [setting: images.strict]
    #[arg(long, help_heading = "Stages")]
    pub(crate) strict: bool,
}

/// How heads are spanned by texts.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TextspanArgs {
    /// Texts per head [setting: textspan.texts]
    #[arg(long, value_name = "K", value_parser = count(1..), help_heading = "Stages")]
    pub(crate) k: Option<usize>,
    /// Number of principal directions kept per head [setting: textspan.rank]
    #[arg(long, value_name = "RANK", value_parser = count(1..), help_heading = "Stages")]
    pub(crate) rank: Option<usize>,
}

/// Who labels heads.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LabelArgs {
    /// Labeller [setting: label.labeller]
    #[arg(long, value_name = "LABELLER", value_parser = labeller(), ignore_case = true, help_heading = "Stages")]
    pub(crate) labeller: Option<LabellerName>,
}

/// What questions about a run need beside it: its model and its images, if they are elsewhere now.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SourceArgs {
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    images: ImagesArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

/// `--device` for commands that never ran a model and took it all the same: scripts give it to every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct IgnoredDevice {
    #[arg(long, hide = true)]
    device: Option<DeviceChoice>,
}

impl IgnoredDevice {
    /// Warns if it was given.
    pub(crate) fn warn(&self) {
        if let Some(device) = self.device {
            tracing::warn!("ignored `--device {device}`: this command runs no model");
        }
    }
}

/// A file that is written: a folder in its place is found out before the work, not after it.
pub(super) fn output_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if text.is_empty() {
        return Err("expected a file".to_owned());
    }
    if path.is_dir() { Err(format!("`{text}` is a folder, expected a file")) } else { Ok(path) }
}

/// A folder of this machine that is written. A store in its place is found out before the work, not after it.
pub(super) fn local_folder(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if is_remote(&path) { Err("is an address, expected a folder of this machine".to_owned()) } else { Ok(path) }
}

/// A whole number of a range.
pub(super) fn count(range: impl RangeBounds<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

/// Names of labellers, listed in help and in errors.
fn labeller() -> impl TypedValueParser<Value = LabellerName> {
    let known = LABELLERS.iter().map(|labeller| PossibleValue::new(labeller.name()).help(labeller.summary()));
    PossibleValuesParser::new(known).try_map(|name| name.to_ascii_lowercase().parse::<LabellerName>())
}

impl PlaceArgs {
    /// These flags alone.
    pub(crate) fn alone(&self) -> PipelineArgs {
        PipelineArgs { place: self.clone(), ..PipelineArgs::default() }
    }
}

impl SourceArgs {
    /// These flags with those of a place.
    pub(crate) fn at(&self, place: &PlaceArgs) -> PipelineArgs {
        let Self { checkpoint, images, device } = self.clone();
        PipelineArgs { checkpoint, images, device, ..place.alone() }
    }
}

impl PipelineArgs {
    /// The flags as settings.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            runs: self.place.runs.clone(),
            // A shell that completes a folder's name ends it so.
            dataset: self.place.dataset.as_ref().map(|name| name.trim_end_matches('/').to_owned()),
            checkpoint: self.checkpoint.checkpoint.clone(),
            device: self.device.device,
            model: Some(ModelOverrides {
                architecture: self.checkpoint.architecture.clone(),
                quick_gelu: self.checkpoint.quick_gelu,
                image_size: self.checkpoint.image_size,
            }),
            data: Some(DataOverrides {
                path: self.images.images.clone(),
                classes: self.images.classes.clone(),
                limit: self.data.limit,
            }),
            images: Some(ImagesOverrides {
                layers: self.layers.layers.clone(),
                batch_size: self.work.batch_size,
                keep: self.work.keep,
                strict: self.work.strict.then_some(true),
            }),
            texts: Some(TextsOverrides { file: self.data.texts.clone() }),
            textspan: Some(TextspanOverrides { texts: self.textspan.k, rank: self.textspan.rank }),
            label: Some(LabelOverrides { labeller: self.label.labeller }),
        }
    }
}
