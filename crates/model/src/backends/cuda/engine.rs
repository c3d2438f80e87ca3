//! What a pass asks of a card. The sequence of a pass is written for it once; the tests have a second engine without a card.

use super::product::Product;
use crate::{error::Result, precision::Precision};

/// A card's memory and what it does, in the order in which it is asked.
pub(super) trait Engine {
    /// Memory of a card. It is shared by its clones.
    type Buffer: Clone;

    /// Memory for so many values, of whatever they were.
    fn allocate(&self, values: usize, format: Precision) -> Result<Self::Buffer>;

    /// Memory with values, rounded to a format.
    fn upload(&self, values: &[f32], format: Precision) -> Result<Self::Buffer>;

    /// Puts values at the beginning of a float32 buffer.
    fn write(&mut self, values: &[f32], to: &Self::Buffer) -> Result<()>;

    /// Multiplies.
    fn multiply(&mut self, product: Product, on: &Operands<'_, Self::Buffer>) -> Result<()>;

    /// Runs a kernel.
    fn launch(&mut self, kernel: &Kernel<'_, Self::Buffer>) -> Result<()>;

    /// The first so many values of float32 buffers, after all that was asked before.
    fn read(&mut self, buffers: &[(&Self::Buffer, usize)]) -> Result<Vec<Vec<f32>>>;
}

/// What a product reads and writes: buffers and the number of their first value.
pub(super) struct Operands<'a, B> {
    pub(super) left: (&'a B, usize),
    pub(super) right: (&'a B, usize),
    pub(super) result: (&'a B, usize),
    /// Where the product has a bias.
    pub(super) bias: Option<(&'a B, usize)>,
}

/// A kernel of `kernels/` with its arguments, which have the names and the order of the source. `format` is the type of `to`.
pub(super) enum Kernel<'a, B> {
    Normalise {
        from: &'a B,
        to: &'a B,
        weight: &'a B,
        bias: &'a B,
        rows: usize,
        width: usize,
        distance: usize,
        epsilon: f32,
        format: Precision,
    },
    Softmax {
        scores: &'a B,
        rows: usize,
        tokens: usize,
        distance: usize,
    },
    Activate {
        from: &'a B,
        bias: &'a B,
        to: &'a B,
        rows: usize,
        width: usize,
        quick: bool,
        format: Precision,
    },
    Convert {
        from: &'a B,
        to: &'a B,
        rows: usize,
        width: usize,
        format: Precision,
    },
    Gather {
        from: &'a B,
        to: &'a B,
        rows: usize,
        width: usize,
        distance: usize,
        format: Precision,
    },
    Patches {
        pixels: &'a B,
        to: &'a B,
        rows: usize,
        side: usize,
        patch: usize,
    },
    Repeat {
        from: &'a B,
        to: &'a B,
        rows: usize,
        width: usize,
        period: usize,
    },
    FirstQuery {
        scores: &'a B,
        to: &'a B,
        rows: usize,
        heads: usize,
        queries: usize,
        tokens: usize,
        distance: usize,
    },
    MeanOfHeads {
        scores: &'a B,
        to: &'a B,
        rows: usize,
        heads: usize,
        tokens: usize,
        distance: usize,
    },
    ValuesOfHeads {
        projected: &'a B,
        to: &'a B,
        rows: usize,
        heads: usize,
        tokens: usize,
        width: usize,
    },
}

/// Names of all kernels.
pub(super) const NAMES: [&str; 10] = [
    "normalise",
    "softmax",
    "activate",
    "convert",
    "gather",
    "patches",
    "repeat",
    "first_query",
    "mean_of_heads",
    "values_of_heads",
];

/// An argument of a kernel, by its type in the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Argument<'a, B> {
    /// A pointer.
    Buffer(&'a B),
    /// `Count`.
    Count(i64),
    /// `int`.
    Int(i32),
    /// `float`.
    Float(f32),
}

impl<'a, B> Kernel<'a, B> {
    /// Its name in the source.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Normalise { .. } => "normalise",
            Self::Softmax { .. } => "softmax",
            Self::Activate { .. } => "activate",
            Self::Convert { .. } => "convert",
            Self::Gather { .. } => "gather",
            Self::Patches { .. } => "patches",
            Self::Repeat { .. } => "repeat",
            Self::FirstQuery { .. } => "first_query",
            Self::MeanOfHeads { .. } => "mean_of_heads",
            Self::ValuesOfHeads { .. } => "values_of_heads",
        }
    }

    /// Rows, a warp each.
    pub(super) fn rows(&self) -> usize {
        match *self {
            Self::Normalise { rows, .. }
            | Self::Softmax { rows, .. }
            | Self::Activate { rows, .. }
            | Self::Convert { rows, .. }
            | Self::Gather { rows, .. }
            | Self::Patches { rows, .. }
            | Self::Repeat { rows, .. }
            | Self::FirstQuery { rows, .. }
            | Self::MeanOfHeads { rows, .. }
            | Self::ValuesOfHeads { rows, .. } => rows,
        }
    }

    /// Its arguments in the order of the source.
    pub(super) fn arguments(&self) -> Vec<Argument<'a, B>> {
        use Argument::{Buffer, Float};
        let (count, int) =
            (|number: usize| Argument::Count(number as i64), |number: usize| Argument::Int(number as i32));
        let format = |format: Precision| Argument::Int(number_of(format));
        match *self {
            Self::Normalise { from, to, weight, bias, rows, width, distance, epsilon, format: kind } => vec![
                Buffer(from),
                Buffer(to),
                Buffer(weight),
                Buffer(bias),
                count(rows),
                int(width),
                count(distance),
                Float(epsilon),
                format(kind),
            ],
            Self::Softmax { scores, rows, tokens, distance } => {
                vec![Buffer(scores), count(rows), int(tokens), int(distance)]
            }
            Self::Activate { from, bias, to, rows, width, quick, format: kind } => vec![
                Buffer(from),
                Buffer(bias),
                Buffer(to),
                count(rows),
                int(width),
                int(usize::from(quick)),
                format(kind),
            ],
            Self::Convert { from, to, rows, width, format: kind } => {
                vec![Buffer(from), Buffer(to), count(rows), int(width), format(kind)]
            }
            Self::Gather { from, to, rows, width, distance, format: kind } => {
                vec![Buffer(from), Buffer(to), count(rows), int(width), count(distance), format(kind)]
            }
            Self::Patches { pixels, to, rows, side, patch } => {
                vec![Buffer(pixels), Buffer(to), count(rows), int(side), int(patch)]
            }
            Self::Repeat { from, to, rows, width, period } => {
                vec![Buffer(from), Buffer(to), count(rows), int(width), int(period)]
            }
            Self::FirstQuery { scores, to, rows, heads, queries, tokens, distance } => {
                vec![Buffer(scores), Buffer(to), count(rows), int(heads), int(queries), int(tokens), int(distance)]
            }
            Self::MeanOfHeads { scores, to, rows, heads, tokens, distance } => {
                vec![Buffer(scores), Buffer(to), count(rows), int(heads), int(tokens), int(distance)]
            }
            Self::ValuesOfHeads { projected, to, rows, heads, tokens, width } => {
                vec![Buffer(projected), Buffer(to), count(rows), int(heads), int(tokens), int(width)]
            }
        }
    }
}

/// As `enum Format` of the kernels has it.
fn number_of(format: Precision) -> i32 {
    match format {
        Precision::Float32 => 0,
        Precision::Bfloat16 => 1,
        Precision::Float16 => 2,
    }
}
