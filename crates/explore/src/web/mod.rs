//! The explorer in the browser: the analyses of this crate as pages that a URL alone brings back, and the same answers as
//! JSON beside them.

mod app;
mod ask;
mod error;
mod export;
mod files;
mod handlers;
mod pages;
mod place;
mod subject;
mod token;
mod uploads;
mod work;

pub use app::{Explorer, ExplorerSettings};
pub use export::{ExportError, Exported};
pub use subject::{Subject, SubjectError};
