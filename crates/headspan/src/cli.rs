//! The command line: what can be typed, and how flags become layers of the configuration.

mod evaluate;
mod explore;
mod query;

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use headspan_extract::{LayerSelection, Shard};
use headspan_label::{LABELLERS, LabellerName};
use headspan_model::DeviceChoice;
use headspan_scenes::{Combinations, DatasetFormat};

pub(crate) use evaluate::{EvaluateArgs, Evaluated, SegmentationArgs};
pub(crate) use explore::ExploreArgs;
pub(crate) use query::{ExtremesArgs, ImageArgs, NeighboursArgs, OutputArgs, Question, RunArgs, SegmentArgs, WhyArgs};

use headspan_pipeline::{
    DataOverrides, ImagesOverrides, LabelOverrides, ModelOverrides, Overrides, TextsOverrides, TextspanOverrides,
};

const AFTER_HELP: &str = "\
Typical use:
  headspan run-all ViT-L-14 --images imagenet/val          both ViT-L/14 models, all stages
  headspan run-all --checkpoint my-clip --images photos    a checkpoint folder of your own
  headspan status                                          what is done, stale or missing
  headspan compare                                         scores of all models side by side

A stage is skipped when its artifacts already fit the settings. So the same command continues
a run that was interrupted. Data goes to stdout, progress and logs to stderr.
Exit codes: 0 done (skipped images are counted in the summary), 1 failed, 2 wrong usage.";

/// What each attention head of a CLIP model looks at, and how cleanly.
#[derive(Debug, Parser)]
#[command(name = "headspan", version, about, long_about = None, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log more to stderr; give it twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    /// Log only warnings and errors to stderr
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every stage for one or more models: extract, textspan, label, metrics
    #[command(after_help = RUN_ALL_HELP)]
    RunAll {
        /// Model ids or architectures (`headspan models`); none with --checkpoint takes the folder's name
        models: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Stage 1: images and texts to head activations, moments and text embeddings
    Extract {
        /// Model ids or architectures
        models: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Extract every N-th part, starting with part I (for job arrays)
        #[arg(long, value_name = "I/N")]
        shard: Option<Shard>,
        /// Write the tables from the parts that the shards of a job array extracted
        #[arg(long, conflicts_with = "shard")]
        merge: bool,
    },
    /// Stage 2: the texts that span each head's output (TEXTSPAN)
    Textspan {
        /// Model ids or architectures
        models: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Stage 3: a property label for every head
    Label {
        /// Model ids or architectures
        models: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Print the prompts and the estimated number of tokens, and send nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Stage 4: entanglement, association and concept consistency
    Metrics {
        /// Model ids or architectures
        models: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Score the labels in this file instead; needs no activations (columns: model, layer, head, property)
        #[arg(long, value_name = "FILE")]
        labels: Option<PathBuf>,
    },
    /// State of each stage of every run: done, stale, partial or missing
    Status {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what run-all would do, and how many bytes it would write
    Plan {
        /// Model ids or architectures
        models: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Compare the scores of all models on a data set: a table, comparison.parquet and an HTML report
    Compare {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// File for the report; default: RUNS/DATASET/comparison.html
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Download weights, configuration and tokenizer of models, or the published description pool
    Fetch {
        /// Model ids or architectures, `descriptions` for the published pool, or `tokenizer` for CLIP's
        #[arg(required = true)]
        names: Vec<String>,
        /// Folder of configuration, with more models in `models/`
        #[arg(long, value_name = "DIR", default_value = DEFAULT_CONFIGS)]
        configs: PathBuf,
    },
    /// List the models that are known by id
    Models {
        /// Folder of configuration, with more models in `models/`
        #[arg(long, value_name = "DIR", default_value = DEFAULT_CONFIGS)]
        configs: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Explore finished runs in the browser
    Explore(ExploreArgs),
    /// Query a finished run: nearest neighbours, segmentation by text, extremes of a head, why two images are near
    Query {
        #[command(subcommand)]
        question: Question,
    },
    /// Write dense contributions of chosen heads to Parquet or .npy
    Export(ExportArgs),
    /// Render scenes of the built-in world: images, captions, masks and their true attributes
    Scenes(ScenesArgs),
    /// Train a small CLIP on the rendered world, or continue a training
    Train(TrainArgs),
    /// Evaluate a model: zero-shot accuracy and retrieval on held-out rendered scenes, or segmentation
    Evaluate(EvaluateArgs),
    /// Evaluate head labels against ground truth: ablation by property, explained variance by head
    Truth(TruthArgs),
    /// Show devices, versions, memory, and which models are fetched
    Doctor {
        /// Folder of configuration, with more models in `models/`
        #[arg(long, value_name = "DIR", default_value = DEFAULT_CONFIGS)]
        configs: PathBuf,
    },
    /// Check the settings and print them after all layers
    Config {
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
}

const RUN_ALL_HELP: &str = "\
Examples:
  headspan run-all ViT-B-32_openai --images imagenet/val --dataset imagenet-val
  headspan run-all --checkpoint runs/my-clip --images photos --texts my-pool.txt --limit 5000
  headspan run-all --config configs/sweeps/six-models.toml

Settings, weakest first: built-in defaults, configs/default.toml, configs/models/<id>.settings.toml,
--config FILE, the environment (HEADSPAN__TEXTSPAN__RANK=60), flags.
Changing a setting reruns exactly the stages that read it.
Artifacts go to RUNS/DATASET/MODEL/ as Parquet; read them with Polars, pandas or DuckDB.";

/// Folder of configuration layers, which need not be there.
pub(crate) const DEFAULT_CONFIGS: &str = "configs";

/// Flags of every pipeline command; each overrides one setting.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PipelineArgs {
    /// Folder of all runs [setting: runs; default: runs]
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
    #[arg(long, value_name = "PIXELS", help_heading = "Model and data")]
    pub(crate) image_size: Option<usize>,
    /// Images: a folder, a CSV or Parquet manifest, tar shards, or Parquet with image bytes [setting: data.path]
    #[arg(long, value_name = "PATH", help_heading = "Model and data")]
    pub(crate) images: Option<PathBuf>,
    /// File with one class per line; its order gives `class_index` [setting: data.classes]
    #[arg(long, value_name = "FILE", help_heading = "Model and data")]
    pub(crate) classes: Option<PathBuf>,
    /// Maximum number of images [setting: data.limit]
    #[arg(long, value_name = "N", help_heading = "Model and data")]
    pub(crate) limit: Option<u64>,
    /// Pool of descriptions: one per line, or columns text and category; `built-in` is the tagged pool [setting: texts.file]
    #[arg(long, value_name = "FILE", help_heading = "Model and data")]
    pub(crate) texts: Option<PathBuf>,
    /// cpu, wgpu, cuda or auto [setting: device]
    #[arg(long, value_name = "DEVICE", help_heading = "Model and data")]
    pub(crate) device: Option<DeviceChoice>,

    /// Layers whose heads are kept: last:4, all, or a list such as 8,9 [setting: images.layers]
    #[arg(long, value_name = "LAYERS", help_heading = "Stages")]
    pub(crate) layers: Option<LayerSelection>,
    /// Images per forward pass [setting: `images.batch_size`]
    #[arg(long, value_name = "N", help_heading = "Stages")]
    pub(crate) batch_size: Option<usize>,
    /// Stop at the first bad image [setting: images.strict]
    #[arg(long, help_heading = "Stages")]
    pub(crate) strict: bool,
    /// Texts per head [setting: textspan.texts]
    #[arg(long, value_name = "K", help_heading = "Stages")]
    pub(crate) k: Option<usize>,
    /// Number of principal directions kept per head [setting: textspan.rank]
    #[arg(long, value_name = "RANK", help_heading = "Stages")]
    pub(crate) rank: Option<usize>,
    /// Labeller [setting: label.labeller]
    #[arg(long, value_name = "LABELLER", value_parser = labeller(), help_heading = "Stages")]
    pub(crate) labeller: Option<LabellerName>,
}

/// Names of labellers, listed in help and in errors.
fn labeller() -> impl TypedValueParser<Value = LabellerName> {
    let known = LABELLERS.iter().map(|labeller| PossibleValue::new(labeller.name()).help(labeller.summary()));
    PossibleValuesParser::new(known).try_map(|name| name.parse::<LabellerName>())
}

impl PipelineArgs {
    /// The flags as settings.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            runs: self.runs.clone(),
            dataset: self.dataset.clone(),
            checkpoint: self.checkpoint.clone(),
            device: self.device,
            model: Some(ModelOverrides {
                architecture: self.architecture.clone(),
                quick_gelu: self.quick_gelu,
                image_size: self.image_size,
            }),
            data: Some(DataOverrides { path: self.images.clone(), classes: self.classes.clone(), limit: self.limit }),
            images: Some(ImagesOverrides {
                layers: self.layers.clone(),
                batch_size: self.batch_size,
                strict: self.strict.then_some(true),
            }),
            texts: Some(TextsOverrides { file: self.texts.clone() }),
            textspan: Some(TextspanOverrides { texts: self.k, rank: self.rank }),
            label: Some(LabelOverrides { labeller: self.labeller }),
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    /// Model id
    #[arg(long)]
    pub(crate) model: String,
    /// Block of the head, from 0; may be given several times, once per --head
    #[arg(long, required = true)]
    pub(crate) layer: Vec<u32>,
    /// Head in the block, from 0
    #[arg(long, required = true)]
    pub(crate) head: Vec<u32>,
    /// Output file; the ending .parquet or .npy chooses the format
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Format, if the ending does not choose it
    #[arg(long)]
    pub(crate) format: Option<ExportFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    Parquet,
    Npy,
}

/// Flags of `scenes`.
#[derive(Debug, Args)]
pub(crate) struct ScenesArgs {
    /// Folder of the data set
    #[arg(long, value_name = "DIR", conflicts_with = "sheet")]
    pub(crate) out: Option<PathBuf>,

    /// Number of scenes
    #[arg(long, value_name = "N", default_value_t = 2000)]
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
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// cpu, wgpu, cuda or auto
    #[arg(long)]
    pub(crate) device: Option<DeviceChoice>,

    /// Number of steps, instead of the recipe's
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
}

/// Flags of `truth`.
#[derive(Debug, Args)]
pub(crate) struct TruthArgs {
    /// Model of the run
    pub(crate) model: String,

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
    pub(crate) pipeline: PipelineArgs,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Command, CommandFactory};

    use super::*;

    /// Of two flags of one name the one that comes last takes the value, and the other never sees it.
    #[test]
    fn no_command_has_a_flag_twice() {
        fn look(command: &Command, twice: &mut Vec<String>) {
            let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
            for argument in command.get_arguments() {
                let name = argument.get_long().unwrap_or(argument.get_id().as_str());
                if !ids.insert(argument.get_id()) || !names.insert(name) {
                    twice.push(format!("{} --{name}", command.get_name()));
                }
            }
            command.get_subcommands().for_each(|own| look(own, twice));
        }
        let mut twice = Vec::new();
        look(&Cli::command(), &mut twice);
        assert!(twice.is_empty(), "{twice:?}");
    }
}
