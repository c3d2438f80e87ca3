//! The towers as Burn modules, and the trace of the image tower.

mod clip;
mod product;
mod text;
mod trace;
mod transformer;
mod vision;

pub use clip::Clip;
pub use text::TextTower;
pub(crate) use trace::split_heads;
pub use trace::{HeadTrace, HostTrace, TokenTrace, TraceRequest};
pub use transformer::{Attention, Mlp, ResidualBlock, Transformer, TransformerConfig};
pub use vision::VisionTower;
