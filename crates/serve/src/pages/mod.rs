//! Pages: what each shows (which is its JSON, too), and how.

mod accents;
mod bars;
mod carried;
mod compare;
mod filter;
mod head;
mod heat;
mod images;
mod layout;
mod made_with;
mod maps;
mod neighbours;
mod scatter;
mod search;
mod segment;
mod start;
mod terms;
mod ticks;

pub(super) use compare::ComparePage;
pub(super) use head::HeadPage;
pub(super) use images::ImagesPage;
pub(super) use layout::{OPENAPI, OURS, asset, document, error_page, text, urlencoded};
pub(super) use maps::Maps;
pub(super) use neighbours::NeighboursPage;
pub(super) use search::SearchPage;
pub(super) use segment::{SegmentPage, WhyPage};
pub(super) use start::Overview;
