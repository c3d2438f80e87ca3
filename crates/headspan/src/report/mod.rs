//! The HTML report of a comparison: one file, no network, no script.

mod charts;
mod curve;
mod page;

pub(crate) use curve::curve_plot;
pub(crate) use page::comparison_page;
