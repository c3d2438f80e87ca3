//! The explorer in the browser: the analyses of `headspan-query` as pages that a URL alone brings back, and the same answers as
//! JSON and Parquet beside them.
//!
//! - [`Explorer`] is the application over some runs, each behind [`RunAccess`](headspan_query::RunAccess); [`Explorer::router`] is
//!   served on a listener, [`Explorer::export`] writes pages that need no server.
//! - A page is built in `pages/` from what a handler asked of `query`. Questions are read in `ask`, and bounded there.
//! - `people` takes in what people say of a run: it stands beside the run, in `notes.parquet`.
//! - `origin` and `token` say which requests are answered at all.
//! - Errors become pages or JSON in `error`, each logged once.
//!
//! Only this crate knows HTTP and HTML. It uses `query`, `notes`, `metrics` for agreement, and `artifacts` for Parquet answers. The command line starts it; the
//! Python module will.

mod app;
mod ask;
mod ask_map;
mod csv;
mod drawing;
mod error;
mod export;
mod files;
mod handlers;
mod origin;
mod page_request;
mod pages;
mod people;
mod token;
mod uploads;
mod work;

pub use app::{Explorer, ExplorerSettings};
pub use export::{ExportError, Exported};
