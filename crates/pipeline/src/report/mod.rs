//! The HTML report of a comparison: one file, no network, no script.

mod charts;
mod page;

pub(crate) use page::comparison_page;
