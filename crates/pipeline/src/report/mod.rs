//! The HTML reports of comparisons: one file each, no network, no script.

mod agreement;
mod charts;
mod difference;
mod page;

pub(crate) use difference::difference_page;
pub(crate) use page::comparison_page;
