//! Pages: what each shows (which is its JSON, too), and how.

mod accents;
mod agreement;
mod bars;
mod compare;
mod curve_table;
mod filter;
mod head;
mod head_drawing;
mod head_notes;
mod heat;
mod images;
mod layout;
mod made_with;
mod maps;
mod naming;
mod neighbours;
mod notes;
mod review;
mod scatter;
mod segment;
mod start;
mod ticks;

pub(super) use agreement::AgreementPage;
pub(super) use compare::ComparePage;
pub(super) use head::HeadPage;
pub(super) use images::ImagesPage;
pub(super) use layout::{OPENAPI, OURS, asset, document, error_page, text, urlencoded};
pub(super) use maps::Maps;
pub(super) use neighbours::NeighboursPage;
pub(super) use notes::NotesPage;
pub(super) use review::{ReviewPage, to_review};
pub(super) use segment::{SegmentPage, WhyPage};
pub(super) use start::Overview;
