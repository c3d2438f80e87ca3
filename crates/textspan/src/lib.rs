//! TEXTSPAN (arXiv 2310.05916, section 4.2, algorithm 1) on moments, in head space.
//!
//! The published loop picks, again and again, the text along which a head's outputs vary most, and removes that direction
//! from the outputs and from all texts. The variance along a text `t` is `tᵀΣt` and both removals are linear, so the
//! outputs themselves are never needed: their mean and second moment in head space, and the head's readout, give the same
//! picks. A head of 64 dimensions and 50,000 images costs some hundredths of a second instead of minutes.
//!
//! Mathematics only: of the workspace this crate uses `headspan-headspace`, and the stage `textspan` and the analyses use it.
//!
//! ```
//! use headspan_headspace::Moments;
//! use headspan_textspan::{Settings, TextPool, textspan};
//!
//! // Outputs vary along the first axis with variance 4 and along the second with variance 1.
//! let moments = Moments { n: 1001, mean: vec![0.0, 0.0], second_moment: vec![4.0, 0.0, 0.0, 1.0] };
//! let readout = [1.0, 0.0, 0.0, 1.0]; // d = 2, head space = 2
//! let texts = TextPool::new(&[0.0, 1.0, 1.0, 0.0], 2)?;
//! let basis = textspan(&readout, &moments, &texts, &Settings { texts: 2, rank: 2 })?;
//! assert_eq!(basis.picks.iter().map(|pick| pick.text_index).collect::<Vec<_>>(), [1, 0]);
//! assert!((basis.picks[0].variance_share - 0.8).abs() < 1e-12);
//! # Ok::<(), headspan_textspan::TextspanError>(())
//! ```

mod directions;
mod error;
mod pool;
mod reconstruction;
mod span;
mod subspace;

/// Version of the algorithm. Raise it when results change for the same moments, texts and settings.
pub const VERSION: u32 = 1;

pub use directions::{principal_directions, text_directions};
pub use error::TextspanError;
pub use pool::TextPool;
pub use reconstruction::Reconstruction;
pub use span::{Basis, Pick, Settings, textspan};
