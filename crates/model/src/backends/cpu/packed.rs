//! Right sides of products, laid out once.

use pulp::{Arch, Simd, WithSimd};

use super::{Precision, bfloat16::pair_columns, pages, product::Rows, tiles};

/// Bytes of a cache line; a vector that crosses one costs two reads.
const LINE: usize = 64;

/// How right sides are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    pub(super) arch: Arch,
    pub(super) precision: Precision,
    /// Whether products of bfloat16 are made of the processor's tiles.
    pub(super) tiles: bool,
}

impl Packing {
    /// In single precision, by vectors.
    pub(super) fn exact(self) -> Self {
        Self { precision: Precision::Float32, tiles: false, ..self }
    }

    /// From `[depth, ≥ columns]`, row-major.
    pub(super) fn rows(self, values: &[f32], stride: usize, depth: usize, columns: usize) -> Packed {
        let mut packed = Packed::empty(self.arch);
        match self.precision {
            // Float16 is refused before anything is packed.
            Precision::Float32 | Precision::Float16 => packed.fill_from_rows(values, stride, depth, columns),
            Precision::Bfloat16 if self.tiles => {
                packed.on_tiles = true;
                packed.fill_pairs_from_rows(Rows { values, stride }, depth, columns);
            }
            Precision::Bfloat16 => {
                let pairs = pair_columns(values, stride, depth, columns);
                packed.fill_from_rows(&pairs, columns, depth.div_ceil(2), columns);
                packed.pairs_of = Some(depth);
            }
        }
        packed
    }

    /// From the transpose, `[columns, ≥ depth]`, row-major, in single precision.
    pub(super) fn columns(self, values: &[f32], stride: usize, depth: usize, columns: usize) -> Packed {
        let mut packed = Packed::empty(self.arch);
        packed.fill_from_columns(values, stride, depth, columns);
        packed
    }
}

/// The right side of a product, `[depth, columns]`, in panels of some columns: panel by panel, row by row, the last panel
/// filled up with zeros.
#[derive(Debug)]
pub(super) struct Packed {
    /// Instructions for which the panels are laid out.
    arch: Arch,
    values: Vec<f32>,
    /// Rows as they are stored: of pairs there are half as many as the matrix has.
    pub(super) depth: usize,
    columns: usize,
    /// Columns of a panel.
    pub(super) width: usize,
    /// The matrix' own inner dimension, if it is stored in pairs of bfloat16.
    pub(super) pairs_of: Option<usize>,
    /// Whether products are made of the processor's tiles.
    on_tiles: bool,
}

impl Packed {
    /// Nothing yet: memory to be filled.
    pub(super) fn empty(arch: Arch) -> Self {
        Self { arch, values: Vec::new(), depth: 0, columns: 0, width: 0, pairs_of: None, on_tiles: false }
    }

    /// As [`Packed::empty`], for products of bfloat16 on tiles.
    pub(super) fn for_tiles(arch: Arch) -> Self {
        Self { on_tiles: true, ..Self::empty(arch) }
    }

    /// Whether products are made of the processor's tiles.
    pub(super) fn is_on_tiles(&self) -> bool {
        self.on_tiles
    }

    /// The inner dimension.
    pub(super) fn depth(&self) -> usize {
        self.pairs_of.unwrap_or(self.depth)
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Instructions that it is laid out for.
    pub(super) fn arch(&self) -> Arch {
        self.arch
    }

    /// The matrix as it was given, `[depth, columns]`; none if it was rounded.
    pub(super) fn to_rows(&self) -> Option<Vec<f32>> {
        if self.pairs_of.is_some() {
            return None;
        }
        let mut rows = vec![0.0; self.depth * self.columns];
        for (panel, packed) in self.panels().enumerate() {
            let first = panel * self.width;
            let count = self.width.min(self.columns - first);
            for (row, packed) in rows.chunks_exact_mut(self.columns).zip(packed.chunks_exact(self.width)) {
                row[first..][..count].copy_from_slice(&packed[..count]);
            }
        }
        Some(rows)
    }

    /// Reuses the memory for another matrix.
    #[inline(always)]
    pub(super) fn fill_from_rows(&mut self, values: &[f32], stride: usize, depth: usize, columns: usize) {
        let width = self.resize(depth, columns);
        for (panel, packed) in self.panels_mut().enumerate() {
            let first = panel * width;
            let count = width.min(columns - first);
            for (row, packed) in packed.chunks_exact_mut(width).enumerate() {
                packed[..count].copy_from_slice(&values[row * stride + first..][..count]);
            }
        }
    }

    /// Reuses the memory for another matrix, given by its transpose.
    #[inline(always)]
    pub(super) fn fill_from_columns(&mut self, values: &[f32], stride: usize, depth: usize, columns: usize) {
        let width = self.resize(depth, columns);
        for (panel, packed) in self.panels_mut().enumerate() {
            let first = panel * width;
            for column in 0..width.min(columns - first) {
                let values = &values[(first + column) * stride..][..depth];
                for (packed, value) in packed.chunks_exact_mut(width).zip(values) {
                    packed[column] = *value;
                }
            }
        }
    }

    /// As [`Packed::resize`], of pairs of bfloat16.
    pub(super) fn resize_pairs(&mut self, depth: usize, columns: usize) -> usize {
        self.pairs_of = Some(depth);
        self.resize(depth.div_ceil(2), columns)
    }

    /// Makes room; what stands there is zero, or what an earlier matrix of the same shape left.
    fn resize(&mut self, depth: usize, columns: usize) -> usize {
        let depth = if self.on_tiles { depth.next_multiple_of(tiles::SIDE) } else { depth };
        if (self.depth, self.columns) != (depth, columns) {
            let width = if self.on_tiles { tiles::WIDTH } else { self.arch.dispatch(PanelWidth) };
            let length = columns.div_ceil(width) * width * depth;
            // A new allocation each time, so that `start` stays where it is for the life of the values.
            self.values = pages::zeros(length + LINE / size_of::<f32>());
            (self.depth, self.columns, self.width) = (depth, columns, width);
        }
        self.width
    }

    /// Index of the first value: the first that lies on a cache line.
    fn start(&self) -> usize {
        self.values.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>())
    }

    pub(super) fn panels_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (start, size) = (self.start(), self.width * self.depth);
        let length = self.columns.div_ceil(self.width) * size;
        self.values[start..][..length].chunks_exact_mut(size)
    }

    pub(super) fn panels(&self) -> impl Iterator<Item = &[f32]> {
        let size = self.width * self.depth;
        let length = self.columns.div_ceil(self.width) * size;
        self.values[self.start()..][..length].chunks_exact(size)
    }
}

/// Vectors of a tile's row: as many as leave room for the rest in the registers that there are.
pub(super) const fn vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
}

struct PanelWidth;

impl WithSimd for PanelWidth {
    type Output = usize;

    fn with_simd<S: Simd>(self, _simd: S) -> usize {
        vectors::<S>() * S::F32_LANES
    }
}
