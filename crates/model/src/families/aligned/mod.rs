//! An image tower with the texts of a CLIP: a linear map takes the tower's representation into CLIP's space (`docs/mathematics.md`; arXiv
//! 2406.01583). `headspan align` writes the folder; the files of both models stay where they are.

mod file;
mod map;
mod towers;

use crate::families::Family;

pub use file::{AlignedPart, Alignment, MapFile};
pub use map::LinearMap;

/// The family's entry in the table.
pub(crate) const FAMILY: Family =
    Family { name: "aligned", recognises: file::recognises, read: towers::config, refuses: &[] };
