//! What can be asked of a finished run.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};
use headspan_query::{Baseline, Shading};

use super::{PipelineArgs, PlaceArgs, SourceArgs, output_file};

const NEIGHBOURS_HELP: &str = "\
Examples:
  headspan query neighbours ViT-L-14_openai --heads colors --image n01440764/ILSVRC2012_val_00000293.JPEG
  headspan query neighbours ViT-L-14_openai --heads L23.H7 --text 'a photo of a beach' --picture beach.png
  headspan query neighbours ViT-L-14_openai --heads counting --file mine.jpg --dot --json";

const SEGMENT_HELP: &str = "\
Examples:
  headspan query segment ViT-L-14_openai --file mine.jpg --text 'a dog' --picture dog.png
  headspan query segment ViT-L-14_openai --file mine.jpg --text 'a dog' --text 'a cat' --picture versus.png
  headspan query segment ViT-L-14_openai --file mine.jpg --text 'a dog' --baseline none       # as published";

const SEARCH_HELP: &str = "\
Examples:
  headspan query search 'something striped' --dataset imagenet-val
  headspan query search --file mine.jpg --dataset imagenet-val --model ViT-L-14_openai";

/// The analyses of CLIP-InterpreT (arXiv 2409.06579, section 5).
#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// Nearest images of an image or a text, under one head, the heads of a property, a layer or all heads
    #[command(after_help = NEIGHBOURS_HELP, alias = "neighbors")]
    Neighbours(NeighboursArgs),
    /// Where a text is in an image: token scores on the patch grid; with several texts, where each scores highest
    #[command(after_help = SEGMENT_HELP)]
    Segment(SegmentArgs),
    /// The images at both ends of a head's range, and some between them
    Extremes(ExtremesArgs),
    /// Which patches of an image make another its neighbour
    Why(WhyArgs),
    /// The heads that carry a text, or that an image excites, over all models; and properties, texts and classes by name
    #[command(after_help = SEARCH_HELP)]
    Search(SearchArgs),
}

/// Whom to ask.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    /// Model of the run; may be left out if the data set has one run
    pub(crate) model: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl RunArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        self.source.at(&self.place)
    }
}

/// Where the answer goes; a table without these.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// Print JSON
    #[arg(long, help_heading = "Answer")]
    pub(crate) json: bool,
    /// Also write the numbers to this Parquet file
    #[arg(long, value_name = "FILE", value_parser = output_file, help_heading = "Answer")]
    pub(crate) parquet: Option<PathBuf>,
    /// Also write a picture (PNG): a contact sheet or a heat map
    #[arg(long, value_name = "FILE.png", value_parser = png_file, help_heading = "Answer")]
    pub(crate) picture: Option<PathBuf>,
}

/// Of which image.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImageArgs {
    /// An image of the run: its id, or its number, such as 12 or #12
    #[arg(long, value_name = "ID", conflicts_with = "file", help_heading = "Question")]
    pub(crate) image: Option<String>,
    /// An image file
    #[arg(long, value_name = "PATH", help_heading = "Question")]
    pub(crate) file: Option<PathBuf>,
}

/// Flags of `query neighbours`.
#[derive(Debug, Args)]
pub(crate) struct NeighboursArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// L3.H5 (a head), L3 (a layer), a property, all, or a list such as L3.H5,L3.H6; contributions are averaged
    #[arg(long, value_name = "HEADS", required = true, help_heading = "Question")]
    pub(crate) heads: Vec<String>,
    #[command(flatten)]
    pub(crate) of: ImageArgs,
    /// A text
    #[arg(long, value_name = "TEXT", help_heading = "Question")]
    pub(crate) text: Option<String>,
    /// Number of images in the answer
    #[arg(long, value_name = "N", default_value = "8", help_heading = "Question")]
    pub(crate) count: NonZeroUsize,
    /// Compare by cosine (default)
    #[arg(long, conflicts_with = "dot", help_heading = "Question")]
    pub(crate) cosine: bool,
    /// Compare by the dot product, as published: images with large contributions are near to everything
    #[arg(long, help_heading = "Question")]
    pub(crate) dot: bool,
    /// Only images of this class; may be given several times
    #[arg(long, value_name = "CLASS", help_heading = "Question")]
    pub(crate) class: Vec<String>,
    /// Find the farthest images instead of the nearest
    #[arg(long, help_heading = "Question")]
    pub(crate) farthest: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Flags of `query segment`.
#[derive(Debug, Args)]
pub(crate) struct SegmentArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Text to look for; several texts are contrasted
    #[arg(long, value_name = "TEXT", required = true, help_heading = "Question")]
    pub(crate) text: Vec<String>,
    #[command(flatten)]
    pub(crate) of: ImageArgs,
    /// L3.H5 (a head), L3 (a layer), a property, all, or a list such as L3.H5,L3.H6; contributions are added
    #[arg(long, value_name = "HEADS", default_value = "all", help_heading = "Question")]
    pub(crate) heads: Vec<String>,
    /// Texts whose mean is subtracted: auto (class names if there are any, else the pool), classes, pool, or none (as published)
    #[arg(long, value_name = "TEXTS", default_value = "auto", help_heading = "Question")]
    pub(crate) baseline: Baseline,
    /// Subtract the mean of texts of your own; may be given several times
    #[arg(long, value_name = "TEXT", conflicts_with = "baseline", help_heading = "Question")]
    pub(crate) baseline_text: Vec<String>,
    /// Draw one colour per patch, instead of a smooth map
    #[arg(long, help_heading = "Answer")]
    pub(crate) patches: bool,
    /// Opacity of the colours over the image, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.6, value_parser = share, help_heading = "Answer")]
    pub(crate) opacity: f32,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Flags of `query search`.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// A text of your own, or a part of a name
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) words: Option<String>,
    /// An image file: which heads does it excite?
    #[arg(long, value_name = "PATH", help_heading = "Question")]
    pub(crate) file: Option<PathBuf>,
    /// Only this model of the data set; may be given several times
    #[arg(long = "model", value_name = "MODEL", help_heading = "Question")]
    pub(crate) models: Vec<String>,
    /// Number of heads, and of texts of each model, in the answer
    #[arg(long, value_name = "N", default_value = "12", help_heading = "Question")]
    pub(crate) count: NonZeroUsize,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Print JSON
    #[arg(long, help_heading = "Answer")]
    pub(crate) json: bool,
}

impl SearchArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        self.source.at(&self.place)
    }
}

impl SegmentArgs {
    /// What is subtracted from each text.
    pub(crate) fn baseline(&self) -> Baseline {
        if self.baseline_text.is_empty() { self.baseline.clone() } else { Baseline::Texts(self.baseline_text.clone()) }
    }

    pub(crate) fn shading(&self) -> Shading {
        if self.patches { Shading::Patches } else { Shading::Smooth }
    }
}

/// Flags of `query extremes`.
#[derive(Debug, Args)]
pub(crate) struct ExtremesArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The head, such as L3.H5
    #[arg(long, value_name = "HEAD", help_heading = "Question")]
    pub(crate) head: String,
    /// Order images by their projection on this text; default: by distance from the head's mean
    #[arg(long, value_name = "TEXT", help_heading = "Question")]
    pub(crate) text: Option<String>,
    /// Order images by the component of this TEXTSPAN pick (from 0) orthogonal to the picks before it
    #[arg(long, value_name = "PICK", conflicts_with = "text", help_heading = "Question")]
    pub(crate) pick: Option<usize>,
    /// Not a flag of this command; a person who gives it means `--pick`
    #[arg(long, hide = true)]
    pub(crate) rank: Option<String>,
    /// Number of images at each end
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Question")]
    pub(crate) count: u16,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Flags of `query why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) of: ImageArgs,
    /// The neighbour, an image of the run: its id, or its number, such as 12 or #12
    #[arg(long, value_name = "ID", help_heading = "Question")]
    pub(crate) neighbour: String,
    /// Heads under which it is a neighbour, as for `query neighbours`
    #[arg(long, value_name = "HEADS", required = true, help_heading = "Question")]
    pub(crate) heads: Vec<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

fn png_file(text: &str) -> Result<PathBuf, String> {
    let path = output_file(text)?;
    let is_png = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    if is_png { Ok(path) } else { Err("pictures are PNG: end the name in .png".to_owned()) }
}

fn share(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_no_number| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("expected 0 to 1".to_owned()) }
}
