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

/// Bytes of a cache line, and of a large page.
const LINE: usize = 64;
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
    pub(super) fn resize(&mut self, rows: usize, depth: usize) {
        (self.rows, self.steps) = (rows, rows_of_pairs(depth) / SIDE);
        // Rows of tiles are cache lines. Many of them lie on large pages, if there are some; for few, such as a head's, clearing one takes
        // longer than they save.
        let bytes = self.length() * size_of::<f32>();
        let aligned = if bytes < PAGE / 2 { LINE } else { PAGE };
        let slack = aligned / size_of::<f32>();
        if self.memory.len() < self.start + self.length() {
            self.memory = pages::zeros(self.length().next_multiple_of(slack) + slack);
            self.start = self.memory.as_ptr().align_offset(aligned).min(slack);
        }
    }

    /// Rounds some rows of some numbers.
    pub(super) fn fill(&mut self, arch: Arch, from: Rows<&[f32]>, [rows, depth]: [usize; 2]) {
        self.resize(rows, depth);
        bfloat16::round(arch, Fill { from, depth, to: self });
    }

    /// Some of the rows.
    pub(super) fn gathered(&self, rows: &[usize]) -> Self {
        let length = rows.len().div_ceil(SIDE) * SIDE * SIDE * self.steps;
        let mut gathered = Self { memory: vec![0.0; length], start: 0, rows: rows.len(), ..*self };
        for (to, from) in rows.iter().enumerate() {
            for tile in 0..self.steps {
                let row = &self.tiles()[self.place(*from, tile)..][..SIDE];
                let place = gathered.place(to, tile);
                gathered.memory[place..][..SIDE].copy_from_slice(row);
            }
        }
        gathered
    }

    /// First of a row's numbers in one of the tiles of its 16 rows.
    fn place(&self, row: usize, tile: usize) -> usize {
        (row / SIDE * self.steps + tile) * TILE + row % SIDE * SIDE
    }

    /// Puts 32 numbers of a row to their place.
    #[inline(always)]
    pub(super) fn put<R: Round>(&mut self, rounding: R, row: usize, step: usize, numbers: &[f32]) {
        let place = self.start + self.place(row, step);
        rounding.pairs(numbers, &mut self.memory[place..][..SIDE]);
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Numbers of 16 rows.
    pub(super) fn sixteen(&self) -> usize {
        self.steps * TILE
    }

    fn length(&self) -> usize {
        self.rows.div_ceil(SIDE) * self.sixteen()
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
        let (rows, sixteen) = (to.rows, to.sixteen());
        for (block, tiles) in to.tiles_mut().chunks_exact_mut(sixteen).enumerate() {
            for within in 0..SIDE {
                let row = block * SIDE + within;
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
