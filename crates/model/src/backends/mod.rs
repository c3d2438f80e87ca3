//! What runs a model: Burn on every device, and products of our own on CPUs.

pub(crate) mod burn;
pub(crate) mod cpu;
