//! Where images come from, and how they become the pixels that a model sees.
//!
//! - [`Dataset`] lists images of a folder, a manifest, tar shards or Parquet shards and reads their bytes;
//! - [`decode_rgb`] decodes them as Pillow does, [`Preprocess`] resizes, crops and normalises as OpenCLIP does.

pub mod csv_lines;
mod dataset;
mod decoding;
mod sources;

pub use dataset::{ClassList, Dataset, DatasetError, DatasetSettings, Item, ReadError, Sample};
pub use decoding::{DecodeLimits, ImageError, Preprocess, RgbImage8, decode_rgb, probe_dimensions};
pub use sources::DatasetKind;
