//! The model families: what a checkpoint of each holds, and how its parts are called.

pub(crate) mod clip;
