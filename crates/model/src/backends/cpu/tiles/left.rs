//! Left sides of products in tiles.

use pulp::{Arch, Simd};

use super::{
    super::{
        bfloat16::{self, Round, Rounded},
        pages,
        product::Rows,
    },
    SIDE, TILE, rows_of_pairs,
};

/// Bytes of a large page.
const PAGE: usize = 2 << 20;

/// Some rows of numbers, rounded to bfloat16: of each 16 rows one tile after another, each row by row. The last rows are filled up.
#[derive(Debug, Default)]
pub(in crate::backends::cpu) struct TileRows {
    memory: Vec<f32>,
    /// First number in use.
    start: usize,
    rows: usize,
    /// Tiles of 16 rows.
    steps: usize,
}

impl TileRows {
    /// Makes room for some rows of some numbers. What is there is what an earlier use left.
    pub(in crate::backends::cpu) fn resize(&mut self, rows: usize, depth: usize) {
        (self.rows, self.steps) = (rows, rows_of_pairs(depth) / SIDE);
        // Rows of tiles are cache lines, and all of them lie on a large page if there is one.
        let slack = PAGE / size_of::<f32>();
        if self.memory.len() < self.length() + slack {
            self.memory = pages::zeros(self.length().next_multiple_of(slack) + slack);
            self.start = self.memory.as_ptr().align_offset(PAGE).min(slack);
        }
    }

    /// Rounds some rows of some numbers.
    pub(super) fn fill(&mut self, arch: Arch, from: Rows<&[f32]>, rows: usize, depth: usize) {
        self.resize(rows, depth);
        bfloat16::round(arch, Fill { from, depth, to: self });
    }

    /// Some of the rows.
    pub(in crate::backends::cpu) fn gathered(&self, rows: &[usize]) -> Self {
        let mut gathered = Self::default();
        gathered.resize(rows.len(), 2 * SIDE * self.steps);
        for (to, from) in rows.iter().enumerate() {
            for step in 0..self.steps {
                let place = |row: usize| (row / SIDE * self.steps + step) * TILE + row % SIDE * SIDE;
                let row = &self.tiles()[place(*from)..][..SIDE];
                gathered.tiles_mut()[place(to)..][..SIDE].copy_from_slice(row);
            }
        }
        gathered
    }

    pub(in crate::backends::cpu) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    fn length(&self) -> usize {
        self.rows.div_ceil(SIDE) * self.steps * TILE
    }

    pub(super) fn tiles(&self) -> &[f32] {
        &self.memory[self.start..][..self.length()]
    }

    pub(super) fn tiles_mut(&mut self) -> &mut [f32] {
        let length = self.length();
        &mut self.memory[self.start..][..length]
    }
}

struct Fill<'a> {
    from: Rows<&'a [f32]>,
    depth: usize,
    to: &'a mut TileRows,
}

impl Rounded for Fill<'_> {
    #[inline(always)]
    fn run<S: Simd, R: Round>(self, _simd: S, rounding: R) {
        let Self { from, depth, to } = self;
        let (rows, steps) = (to.rows, to.steps);
        for (sixteen, tiles) in to.tiles_mut().chunks_exact_mut(steps * TILE).enumerate() {
            for within in 0..SIDE {
                let row = sixteen * SIDE + within;
                let places = tiles.chunks_exact_mut(TILE).map(|tile| &mut tile[within * SIDE..][..SIDE]);
                if row >= rows {
                    places.for_each(|place| place.fill(0.0));
                    continue;
                }
                let mut numbers = from.values[row * from.stride..][..depth].chunks(2 * SIDE);
                for place in places {
                    rounding.pairs(numbers.next().unwrap_or_default(), place);
                }
            }
        }
    }
}
