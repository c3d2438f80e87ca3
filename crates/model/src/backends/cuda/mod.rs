//! The image tower on NVIDIA cards, without Burn: products by cuBLASLt and kernels of our own (`docs/decisions/0018-cuda-of-our-own.md`).
//!
//! The sequence of a pass ([`sequence`]) is written for an [`engine::Engine`]. The tests run it without a card, by an engine that computes
//! each product as cuBLASLt's documentation has it and each kernel in Rust, or by the kernels' own source, compiled for the processor.

mod calls;
mod card;
mod compile;
mod device;
mod engine;
mod error;
#[cfg(test)]
mod host;
mod libraries;
mod memory;
mod product;
mod sequence;
#[cfg(test)]
mod tests;
mod traced;
mod vision;
mod weights;

pub(crate) use card::{Card, cards};
pub use error::CudaProblem;
pub(crate) use vision::CudaVision;

/// The source of the kernels, as NVRTC compiles it.
const KERNELS: &str =
    concat!(include_str!("kernels/common.cu"), include_str!("kernels/rows.cu"), include_str!("kernels/tokens.cu"));
