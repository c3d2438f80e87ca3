//! Image files to the pixels that OpenCLIP would feed the model.

mod decode;
mod error;
pub(crate) mod formats;
mod preprocess;
mod resample;

pub use decode::{DecodeLimits, RgbImage8, decode_rgb, probe_dimensions};
pub use error::ImageError;
pub use preprocess::Preprocess;
