//! What runs a model: Burn on every device but NVIDIA's, and passes of our own on CPUs and on NVIDIA's cards.

pub(crate) mod burn;
pub(crate) mod cpu;
pub(crate) mod cuda;
