//! The command line: what can be typed, and how flags become layers of the configuration.

mod align;
mod classification;
mod diff;
mod evaluate;
mod explore;
mod inspect;
mod pipeline;
mod prune;
mod query;
mod ray;
mod repair;
mod replicate;
mod report;
mod review;
mod stability;
mod submit;
mod weights;
mod world;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use headspan_extract::Shard;

pub(crate) use align::AlignArgs;
pub(crate) use classification::{AblateArgs, ZeroshotArgs};
pub(crate) use diff::DiffArgs;
pub(crate) use evaluate::{EvaluateArgs, Evaluated, SegmentationArgs};
pub(crate) use explore::{ExploreArgs, ServerArgs};
pub(crate) use inspect::InspectArgs;
use pipeline::{
    CheckpointArgs, DataArgs, DeviceArgs, IgnoredDevice, ImagesArgs, LabelArgs, LayersArgs, SourceArgs, TextspanArgs,
    WorkArgs, local_folder, output_file,
};
pub(crate) use pipeline::{DEFAULT_CONFIGS, PipelineArgs, PlaceArgs};
pub(crate) use prune::PruneArgs;
pub(crate) use query::{
    ExtremesArgs, ImageArgs, NeighboursArgs, OutputArgs, Question, RunArgs, SearchArgs, SegmentArgs, WhyArgs,
};
pub(crate) use ray::RayArgs;
pub(crate) use repair::RepairArgs;
pub(crate) use replicate::ReplicateArgs;
pub(crate) use report::ReportArgs;
pub(crate) use review::{NotesArgs, ReviewArgs};
pub(crate) use stability::StabilityArgs;
pub(crate) use submit::{Again, SlurmArgs, SubmitEngine};
pub(crate) use weights::WeightsArgs;
pub(crate) use world::{ScenesArgs, TrainArgs, TruthArgs};

const AFTER_HELP: &str = "\
Typical use:
  headspan run-all ViT-L-14 --images imagenet/val          both ViT-L/14 models, all stages
  headspan run-all --checkpoint my-clip --images photos    a checkpoint folder of your own
  headspan status                                          what is done, stale or missing
  headspan compare                                         scores of all models side by side
  headspan diff before after                               what changed, head by head

A stage is skipped when its artifacts already fit the settings. So the same command continues
a run that was interrupted. Data goes to stdout, progress and logs to stderr.
Exit codes: 0 done (skipped images are counted in the summary), 1 failed, 2 wrong usage,
75 stopped by SIGTERM before the end: what is committed stays, and the same command continues.";

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
        #[arg(value_delimiter = ',')]
        models: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Print JSON: each run with its stages
        #[arg(long)]
        json: bool,
    },
    /// Stage 1: images and texts to head activations, moments and text embeddings
    Extract(ExtractArgs),
    /// Stage 2: the texts that span each head's output (TEXTSPAN)
    Textspan(TextspanStageArgs),
    /// Stage 3: a property label for every head
    Label(LabelStageArgs),
    /// Stage 4: entanglement, association and concept consistency
    Metrics(MetricsStageArgs),
    /// State of each stage of every run: done, stale, partial or missing
    Status(StatusArgs),
    /// Run on machines that something else schedules: Slurm or Ray
    Submit {
        #[command(subcommand)]
        engine: SubmitEngine,
    },
    /// Show what run-all would do, and how many bytes it would write
    Plan {
        /// Model ids or architectures
        #[arg(value_delimiter = ',')]
        models: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare the scores of all models on a data set: a table, comparison.parquet and an HTML report
    #[command(after_help = COMPARE_HELP)]
    Compare {
        #[command(flatten)]
        place: PlaceArgs,
        /// File for the report; default: RUNS/DATASET/comparison.html
        #[arg(long, value_name = "FILE", value_parser = output_file)]
        html: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a report of runs: a page for each with tables and figures, their data as CSV, and LaTeX for a paper
    #[command(after_help = report::HELP)]
    Report(ReportArgs),
    /// Compare two runs over the same images head by head: what fine-tuning, a seed or another training changed
    #[command(after_help = diff::HELP)]
    Diff(DiffArgs),
    /// Measure zero-shot accuracy with heads scaled in the forward pass, and save checkpoints with heads scaled
    #[command(after_help = prune::HELP)]
    Prune(PruneArgs),
    /// Measure how stable texts and labels are: over halves of the images, against another run, between labellers
    #[command(after_help = stability::HELP)]
    Stability(StabilityArgs),
    /// Judge texts against labels, or name heads blind, in the browser; print how far people and labellers agree
    #[command(after_help = review::REVIEW_HELP)]
    Review(ReviewArgs),
    /// List what people said of a run's heads: labels, names, comments, tags, lists, saved views
    #[command(after_help = review::NOTES_HELP)]
    Notes(NotesArgs),
    /// Name the directions in which each head can write, from weights alone
    #[command(after_help = weights::HELP)]
    Weights(WeightsArgs),
    /// Classify the images of a run by the names of their classes, without training: accuracy with intervals, by class and by group
    #[command(after_help = classification::ZEROSHOT_HELP)]
    Zeroshot(ZeroshotArgs),
    /// Measure zero-shot accuracy without some heads, and where heads may only say what their texts say
    #[command(after_help = classification::ABLATE_HELP)]
    Ablate(AblateArgs),
    /// Measure the accuracy of the worst group before and after heads are removed that bring a spurious cue in
    #[command(after_help = repair::HELP)]
    Repair(RepairArgs),
    /// Measure the figures that a paper published, and print both side by side
    #[command(after_help = replicate::HELP)]
    Replicate(ReplicateArgs),
    /// Download weights, configuration and tokenizer of models, or the published description pool
    Fetch {
        /// Model ids or architectures, `descriptions` for the published pool, or `tokenizer` for CLIP's
        #[arg(required = true, value_delimiter = ',')]
        names: Vec<String>,
        /// Folder of configuration, with more models in `models/`
        #[arg(long, value_name = "DIR", default_value = DEFAULT_CONFIGS)]
        configs: PathBuf,
    },
    /// Say what a checkpoint is: family, sizes, activation, and what of that is certain or assumed
    #[command(after_help = inspect::HELP)]
    Inspect(InspectArgs),
    /// List the models that are known by id, and the families that are read
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
    /// Give an image tower the texts of a CLIP: fit a linear map between them on images
    #[command(after_help = align::HELP)]
    Align(AlignArgs),
    /// Render scenes of the built-in world: images, captions, masks and their true attributes
    Scenes(ScenesArgs),
    /// Train a checkpoint further on your images, or a small CLIP on the rendered world; or continue a training
    #[command(after_help = world::TRAIN_HELP)]
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
--config FILE, the environment (HEADSPAN__TEXTSPAN__RANK=60), --set, flags.
Changing a setting reruns exactly the stages that read it.
Artifacts go to RUNS/DATASET/MODEL/ as Parquet; read them with Polars, pandas or DuckDB.";

const COMPARE_HELP: &str = "\
Beside the figures stands what each run was made with: images, pool, k, rank, layers, precision, labeller. Figures of runs that differ in
one of these are not comparable; a warning names it.
Without --dataset, the only data set that has runs is compared.";

/// Flags of `extract`.
#[derive(Debug, Args)]
pub(crate) struct ExtractArgs {
    /// Model ids or architectures
    #[arg(value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    images: ImagesArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    layers: LayersArgs,
    #[command(flatten)]
    work: WorkArgs,
    /// Extract every N-th part, starting with part I (for job arrays)
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
    /// Write the tables from the parts that the shards of a job array extracted
    #[arg(long, conflicts_with = "shard")]
    pub(crate) merge: bool,
}

impl ExtractArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        PipelineArgs {
            checkpoint: self.checkpoint.clone(),
            images: self.images.clone(),
            data: self.data.clone(),
            device: self.device.clone(),
            layers: self.layers.clone(),
            work: self.work.clone(),
            ..self.place.alone()
        }
    }
}

/// Flags of all stages that read only tables.
#[derive(Debug, Args)]
pub(crate) struct StageArgs {
    /// Models of the runs; default: every run of the data set
    #[arg(value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    device: IgnoredDevice,
}

impl StageArgs {
    fn pipeline(&self) -> PipelineArgs {
        self.device.warn();
        PipelineArgs { checkpoint: self.checkpoint.clone(), ..self.place.alone() }
    }
}

/// Flags of `textspan`.
#[derive(Debug, Args)]
pub(crate) struct TextspanStageArgs {
    #[command(flatten)]
    pub(crate) stage: StageArgs,
    #[command(flatten)]
    textspan: TextspanArgs,
}

impl TextspanStageArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        PipelineArgs { textspan: self.textspan.clone(), ..self.stage.pipeline() }
    }
}

/// Flags of `label`.
#[derive(Debug, Args)]
pub(crate) struct LabelStageArgs {
    #[command(flatten)]
    pub(crate) stage: StageArgs,
    #[command(flatten)]
    label: LabelArgs,
    /// Print the prompts and the estimated number of tokens, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl LabelStageArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        PipelineArgs { label: self.label.clone(), ..self.stage.pipeline() }
    }
}

/// Flags of `metrics`.
#[derive(Debug, Args)]
pub(crate) struct MetricsStageArgs {
    #[command(flatten)]
    pub(crate) stage: StageArgs,
    /// Score the labels in this file instead; needs no activations (columns: model, layer, head, property)
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
}

impl MetricsStageArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        self.stage.pipeline()
    }
}

/// Flags of `status`: where, and the settings that runs may be out of date with.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    layers: LayersArgs,
    #[command(flatten)]
    textspan: TextspanArgs,
    #[command(flatten)]
    label: LabelArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl StatusArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        PipelineArgs {
            layers: self.layers.clone(),
            textspan: self.textspan.clone(),
            label: self.label.clone(),
            ..self.place.alone()
        }
    }
}

/// Flags of `export`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    device: IgnoredDevice,
    /// Model id; may be left out if the data set has one run
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Heads, such as L3.H5 or L3.H5,L2.H0
    #[arg(long, value_name = "HEADS", conflicts_with_all = ["layer", "head"])]
    pub(crate) heads: Vec<String>,
    /// Block of the head, from 0; may be given several times, once per --head
    #[arg(long, required_unless_present = "heads")]
    pub(crate) layer: Vec<u32>,
    /// Head in the block, from 0
    #[arg(long, required_unless_present = "heads")]
    pub(crate) head: Vec<u32>,
    /// Output file; the ending .parquet or .npy chooses the format
    #[arg(long, value_name = "FILE", value_parser = output_file)]
    pub(crate) out: PathBuf,
    /// Format, if the ending does not choose it
    #[arg(long)]
    pub(crate) format: Option<ExportFormat>,
}

impl ExportArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        self.device.warn();
        self.place.alone()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    Parquet,
    Npy,
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
