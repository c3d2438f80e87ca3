//! Image files to the pixels that OpenCLIP would feed the model.

mod bitmaps;
mod decode;
mod error;
pub(crate) mod formats;
mod gif;
mod jpeg;
mod png;
mod preprocess;
mod resample;
mod tiff;
mod webp;

pub use decode::{DecodeLimits, RgbImage8, decode_rgb, probe_dimensions};
pub use error::ImageError;
pub use preprocess::{Preprocess, Resize};
pub use resample::bicubic_taps;
