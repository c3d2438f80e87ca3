//! The explorer in the browser: the analyses of `headspan-query` as pages that a URL alone brings back, and the same answers as
//! JSON beside them.

mod app;
mod ask;
mod error;
mod export;
mod files;
mod handlers;
mod page_request;
mod pages;
mod token;
mod uploads;
mod work;

pub use app::{Explorer, ExplorerSettings};
pub use export::{ExportError, Exported};
