//! The real binary on real bytes: a tiny random checkpoint, generated images, every stage.

mod bad_input;
mod config;
mod fetch;
mod kill;
mod pipeline;
mod scenes;
mod snapshots;
mod support;
