//! An image tower with the texts of a CLIP: a linear map takes the tower's representation into CLIP's space (`docs/mathematics.md`; arXiv
//! 2406.01583). `headspan align` writes the folder; the files of both models stay where they are.

mod file;
mod map;
mod towers;

use crate::families::{Family, Member};

pub use file::{AlignedPart, Alignment, MapFile};
pub use map::LinearMap;

/// The family's entry in the table.
pub(crate) const FAMILY: Family = Family {
    name: "aligned",
    recognises: file::recognises,
    read: towers::config,
    refuses: &[],
    members: &[Member {
        name: "any of these towers with the texts of a CLIP",
        configuration: "alignment.json, written by headspan align",
        pooling: "as the tower",
        texts: "those of the CLIP, through a linear map",
        shown: "a supervised ViT trained on the rendered world (docs/world.md)",
    }],
};
