//! Head space: the idea that the whole program rests on (design section 1), as types.
//!
//! An image is one [`HeadVector`] `u` per head: the head's output for the class token and three [`Scalars`] of the image. A
//! head is one [`Readout`] `B`. The head's contribution to the normalised representation of the image is `c = B u`
//! ([`Readout::contribution`]), exactly; it is never stored. Many images of a head are its [`Moments`].
//!
//! No files, no tensors on devices, no model families: every other crate of the workspace may use this one, and it uses none
//! of them.
//!
//! ```
//! use headspan_headspace::{HeadId, HeadVector, Readout, Scalars};
//!
//! let scalars = Scalars { inv_scale: 0.5, mean_scale: 0.25, inv_norm: 2.0 };
//! let u = HeadVector::new(&[1.0, -1.0], scalars);
//! let readout = Readout { head: HeadId { layer: 11, head: 3 }, d: 1, head_dim: 2, matrix: vec![1.0, 2.0, 4.0, 8.0, 16.0] };
//! assert_eq!(readout.contribution(u.as_slice()), [1.0 - 2.0 + 2.0 + 2.0 + 32.0]);
//! ```

mod feature;
mod head;
mod moments;
mod readout;
mod scalars;
mod symmetric;
mod vector;

pub use feature::unit_feature;
pub use head::{HeadId, HeadIdError};
pub use moments::{MomentSums, MomentTerms, Moments, MomentsError};
pub use readout::Readout;
pub use scalars::Scalars;
pub use symmetric::{eigen, product, single_product};
pub use vector::{HeadVector, head_dim_of, vector_length};
