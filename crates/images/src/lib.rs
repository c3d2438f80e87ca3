//! Where images come from, and how they become the pixels that a model sees.
//!
//! This crate alone knows where the bytes of an image lie and what format they have. It uses `store`, for which a path may be an
//! address such as `s3://bucket/train-{000..009}.tar`, and no tensors; `extract` (all images of a run), `query`, `serve` and `pipeline` (single pictures) use it.
//!
//! 1. [`DatasetSettings`] say where a data set is. [`Dataset::open`] lists it: a folder, a manifest, tar shards or Parquet
//!    shards ([`DatasetKind`]). A new source of images is one file in `src/sources/` and its line in the table there.
//! 2. [`Dataset::item`] names an image and its class, and [`Dataset::read`] gives its bytes. The class order comes from a
//!    [`ClassList`], never from positions. [`Dataset::fingerprint`] says whether two data sets are the same.
//! 3. [`decode_rgb`] decodes the bytes as Pillow does, and [`Preprocess`] resizes, crops and normalises as OpenCLIP does.
//!
//! A [`DatasetError`] ends a run before it starts. A [`ReadError`] or an [`ImageError`] concerns one image, which is skipped.
//!
//! ```
//! use headspan_images::{Dataset, DatasetSettings, DecodeLimits, Preprocess, Resize, decode_rgb};
//!
//! let folder = tempfile::tempdir()?;
//! fs_err::create_dir(folder.path().join("cats"))?;
//! let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/preprocess/jpeg.jpg");
//! fs_err::copy(picture, folder.path().join("cats/1.jpg"))?;
//!
//! let dataset = Dataset::open(&DatasetSettings { path: folder.path().to_owned(), ..DatasetSettings::default() })?;
//! assert_eq!((dataset.item(0).id.as_ref(), dataset.item(0).class_id), ("cats/1.jpg", Some("cats")));
//!
//! let image = decode_rgb(&dataset.read(0)?, &DecodeLimits::default())?;
//! let mut pixels = vec![0.0; 3 * 224 * 224];
//! Preprocess { size: 224, resize: Resize::Shortest, mean: [0.5; 3], std: [0.25; 3] }.apply(&image, &mut pixels);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod csv_lines;
mod dataset;
mod decoding;
mod sources;

pub use dataset::{ClassList, Dataset, DatasetError, DatasetSettings, Item, ReadError, Sample};
pub use decoding::{
    DecodeLimits, ImageError, Preprocess, Resize, RgbImage8, bicubic_taps, decode_rgb, probe_dimensions,
};
pub use sources::{DatasetKind, HandedImages, hand_over, is_local, is_pattern, take_back};
