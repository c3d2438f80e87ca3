//! The real binary on real bytes: a tiny random checkpoint, generated images, every stage.

mod align;
mod bad_input;
mod classification;
mod config;
mod demo;
mod diff;
mod explore;
mod families;
mod fetch;
mod gpu;
mod handed_in;
mod inspect;
mod keep;
mod kill;
mod left_over;
mod pipeline;
mod prune;
mod query;
mod review;
mod scenes;
mod snapshots;
mod stability;
mod submit;
mod support;
mod typed;
mod weights;
