//! The towers as Burn modules, and the trace of the image tower. Fields have OpenCLIP's names, so that checkpoints need no map for
//! most of them.

mod attention_pool;
mod clip;
mod inner;
mod pooling;
mod product;
mod text;
mod trace;
mod transformer;
mod vision;

pub use attention_pool::AttentionPool;
pub use clip::Clip;
pub use text::BurnTextTower;
pub use trace::{HeadTrace, TokenTrace};
pub use transformer::{Attention, Mlp, ResidualBlock, Transformer, TransformerConfig};
pub use vision::BurnVisionTower;
