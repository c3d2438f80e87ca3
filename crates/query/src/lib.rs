//! The five analyses of CLIP-InterpreT (arXiv 2409.06579, section 5) over the artifacts of a run and its model, in head space:
//! a query, be it an image or a text, becomes one vector of the joint embedding, is taken into each head's space once, and
//! meets the stored `u` of every image there. No dense contribution of an image is made on the way.
//!
//! [`ExploreRun`] is a run of the pipeline that is read column by column; [`ExploreModel`] makes queries of new images and
//! texts. Both are shared between threads.
//!
//! It uses the tables of `headspan-artifacts`, the towers of `headspan-model` and the types of `headspan-headspace`. The
//! explorer, the command line and the pipeline's sessions use it. No HTTP, no printing.

mod access;
mod answers;
mod baseline;
mod carried;
mod columns;
mod components;
mod curves;
mod error;
mod evaluation;
mod extremes;
mod figures;
mod fit;
mod looks;
mod model;
mod neighbours;
mod pictures;
mod pool;
mod profiles;
mod run;
mod search;
mod segmentation;
mod selection;
mod tables;
mod terms;
mod typical;
mod without;

pub use access::{AccessError, RunAccess};
pub use baseline::{Baseline, BaselineError, Subtraction, class_texts};
pub use carried::Carried;
pub use columns::{ColumnStore, HeadColumn, StoreBounds};
pub use components::{HeadMap, Tenth, Tenths};
pub use curves::{CURVE_METRICS, CurveMetric, CurvePoint, Curves, curve, curve_chart};
pub use error::{ExploreError, Result};
pub use evaluation::{MapMethod, SegmentationScores, SegmentationTrial, TextScore, TextTrial, rank_correlation};
pub use extremes::{Extremes, ExtremesRequest};
pub use figures::HeadFigures;
pub use fit::HeadFit;
pub use looks::{Looks, looks};
pub use model::{ExploreModel, ImageTrace};
pub use neighbours::{Neighbour, Neighbours, NeighboursRequest, Query, Similarity};
pub use pictures::{Scale, Shading, contact_sheet, heat_map, number, png, score_at};
pub use pool::Pool;
pub use run::ExploreRun;
pub use search::{Found, FoundClass, FoundHead, FoundProperty, FoundText};
pub use segmentation::{ContrastiveMaps, TokenScores, contrast, segment};
pub use selection::{HeadSelection, SelectionError, meant_head};
pub use tables::{Columns, image_columns, map_columns, name_columns, patch_columns};
pub use terms::{TERMS, definition};
pub use typical::{contrast_of, is_noise, typical_contrast};
pub use without::{Partner, WithoutHead};
