//! Flags of `zeroshot` and `ablate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use headspan_metrics::Replacement;
use headspan_pipeline::{AblationKind, GroupChoice, Templates};

use super::RunArgs;

/// After the help of `zeroshot`.
pub(crate) const ZEROSHOT_HELP: &str = "\
A class is the mean of its texts' features; an image belongs to the nearest class. Classes are those of --classes (`id,name` a line), else
those of the images; ImageNet's wnids have names of their own. Writes classes.parquet and zeroshot.parquet into the run.

Examples:
  headspan zeroshot ViT-B-16_openai --dataset imagenet-val --templates openai
  headspan zeroshot my-clip --dataset photos --classes names.csv --templates templates.txt --json
  headspan zeroshot my-clip --dataset waterbirds --group y --group place";

/// After the help of `ablate`.
pub(crate) const ABLATE_HELP: &str = "\
Outputs are replaced in the representation alone (the direct effect): what later layers make of them stays. Means and choices come from one
half of the images, accuracy from the other. Writes ablations.parquet, and with --reconstruct reconstruction.parquet, into the run.
docs/science.md has the definitions.

Examples:
  headspan ablate ViT-B-16_openai --dataset imagenet-val
  headspan ablate my-clip --dataset waterbirds --kind properties --heads backgrounds --group y --group place
  headspan ablate my-clip --dataset photos --kind heads --replace mean --replace zero --replace scale:2
  headspan ablate my-clip --dataset photos --reconstruct --json";

/// Groups of images.
#[derive(Debug, Clone, Args)]
pub(crate) struct GroupArgs {
    /// Column with the groups of the images; may be given several times, for combinations of their values
    #[arg(long, value_name = "COLUMN", help_heading = "Question")]
    group: Vec<String>,
    /// Table of the groups, with the images' paths or `image_id`; default: the manifest of the run
    #[arg(long, value_name = "FILE", requires = "group", help_heading = "Question")]
    groups: Option<PathBuf>,
}

impl GroupArgs {
    pub(crate) fn choice(&self) -> Option<GroupChoice> {
        let choice = || GroupChoice { file: self.groups.clone(), columns: self.group.clone() };
        (!self.group.is_empty()).then(choice)
    }
}

/// Flags of `zeroshot`.
#[derive(Debug, Args)]
pub(crate) struct ZeroshotArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Texts of a class: default, openai (the 80 for ImageNet), or a file with one a line; {} stands for the name
    #[arg(long, value_name = "TEMPLATES", default_value = "default", help_heading = "Question")]
    pub(crate) templates: Templates,
    #[command(flatten)]
    pub(crate) groups: GroupArgs,
    /// Print JSON
    #[arg(long, help_heading = "Answer")]
    pub(crate) json: bool,
}

/// How images are classified, for commands that measure what is left of it.
#[derive(Debug, Args)]
pub(crate) struct ClassesArgs {
    /// Texts of a class, as for `zeroshot`; default: as `zeroshot` made them
    #[arg(long, value_name = "TEMPLATES", help_heading = "Question")]
    pub(crate) templates: Option<Templates>,
    #[command(flatten)]
    pub(crate) groups: GroupArgs,
}

/// Flags of `ablate`.
#[derive(Debug, Args)]
pub(crate) struct AblateArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) classes: ClassesArgs,
    /// What is ablated; may be given several times; default: all kinds
    #[arg(long, value_name = "KIND", value_enum, help_heading = "Question")]
    kind: Vec<Kind>,
    /// Heads that are also ablated together: L3.H5,L3.H6 (a list), L3 (a layer), or a property
    #[arg(long, value_name = "HEADS", help_heading = "Question")]
    pub(crate) heads: Vec<String>,
    /// File of heads that are also ablated together, one a line
    #[arg(long, value_name = "FILE", help_heading = "Question")]
    pub(crate) head_file: Option<PathBuf>,
    /// What takes their place: mean, zero, or scale:FACTOR; may be given several times
    #[arg(long, value_name = "HOW", default_value = "mean", help_heading = "Question")]
    pub(crate) replace: Vec<Replacement>,
    /// Number of random sets of heads in the permutation test of a property, a list or a file
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Question")]
    pub(crate) permutations: usize,
    /// Also project each head's output onto its first k texts, random texts and principal directions
    #[arg(long, help_heading = "Question")]
    pub(crate) reconstruct: bool,
    /// Number of draws of random texts
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Question")]
    pub(crate) draws: usize,
    /// Seed of the halves of the images and of all draws
    #[arg(long, default_value_t = 0, help_heading = "Question")]
    pub(crate) seed: u64,
    /// Print JSON
    #[arg(long, help_heading = "Answer")]
    pub(crate) json: bool,
}

impl AblateArgs {
    /// The kinds, all of them unless some are named; none if a list alone is asked for by `--kind none`.
    pub(crate) fn kinds(&self) -> Vec<AblationKind> {
        if self.kind.is_empty() {
            return AblationKind::ALL.to_vec();
        }
        let wanted = |kind: &AblationKind| self.kind.iter().any(|own| own.ablation() == Some(*kind));
        AblationKind::ALL.into_iter().filter(wanted).collect()
    }
}

/// What is ablated without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Every single head
    Heads,
    /// All heads of each property
    Properties,
    /// The attention of the first extracted layers, up to each
    Layers,
    /// All that is no extracted head; with all layers extracted, the MLPs and the input
    Rest,
    /// Only the heads of --heads and --head-file
    None,
}

impl Kind {
    fn ablation(self) -> Option<AblationKind> {
        match self {
            Self::Heads => Some(AblationKind::Heads),
            Self::Properties => Some(AblationKind::Properties),
            Self::Layers => Some(AblationKind::Layers),
            Self::Rest => Some(AblationKind::Rest),
            Self::None => None,
        }
    }
}
