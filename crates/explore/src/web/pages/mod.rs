//! Pages: what each shows (which is its JSON, too), and how.

mod compare;
mod head;
mod layout;
mod neighbours;
mod segment;
mod start;

pub(super) use compare::{ComparePage, compare};
pub(super) use head::{HeadPage, head};
pub(super) use layout::{asset, error_page};
pub(super) use neighbours::{NeighboursPage, neighbours};
pub(super) use segment::{Maps, SegmentPage, WhyPage, segment, why};
pub(super) use start::{Overview, start};
