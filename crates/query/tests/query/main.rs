//! The analyses against their dense definitions and against PyTorch.

mod dense;
mod pytorch;
mod support;
