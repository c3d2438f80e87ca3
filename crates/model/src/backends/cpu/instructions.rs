//! Which of the processor's instruction sets a pass is made of.

use pulp::Arch;

use super::tiles;

/// Instruction sets that a pass can be made of. Results of two sets differ by rounding: an element's sum has the same order in all
/// of them, what is added up across a vector (means, softmax) has not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InstructionSet {
    /// The widest that the processor has, with tiles (AMX).
    #[default]
    Best,
    /// The widest vectors, without tiles.
    Vectors,
    /// AVX2 with fused multiply-adds.
    Avx2,
    /// None: one number at a time.
    Plain,
}

impl InstructionSet {
    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Best | Self::Vectors | Self::Plain => true,
            Self::Avx2 => avx2().is_some(),
        }
    }

    /// Whether products are made of tiles.
    pub(super) fn tiles(self) -> bool {
        self == Self::Best && tiles::is_available()
    }

    /// What dispatches to it; where it is missing, to the widest that there is.
    pub(super) fn arch(self) -> Arch {
        match self {
            Self::Best | Self::Vectors => Arch::new(),
            Self::Avx2 => avx2().unwrap_or_default(),
            Self::Plain => Arch::Scalar,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> Option<Arch> {
    pulp::x86::V3::try_new().map(Arch::V3)
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> Option<Arch> {
    None
}
