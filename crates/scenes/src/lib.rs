//! A rendered world whose truth is known: small scenes with independent attributes, captions, masks and classes.
//!
//! - [`World::scene`] gives the scene of an index; a scene depends on nothing but the world and the index.
//! - [`write_dataset`] writes many scenes as any data set that `headspan extract` reads.
//! - [`descriptions`] is the pool that TEXTSPAN picks from, with its property [`categories`].
//!
//! It uses `artifacts` to put files in place, and nothing else of ours. `train` learns from it, `pipeline` renders the demo
//! from it, and the tests of `query` and `serve` look at its scenes.

mod attributes;
mod caption;
mod dataset;
mod draw;
mod sheet;
mod words;
mod world;

pub use attributes::{
    Attribute, Attributes, Background, Bystander, Count, Glyph, Home, Hue, Kind, Pattern, Position, Size, Style, Time,
    Weather,
};
pub use dataset::{DatasetFiles, DatasetFormat, SceneError, write_dataset};
pub use sheet::contact_sheet;
pub use words::{Description, categories, descriptions};
pub use world::{Combinations, Scene, World, is_unseen};
