//! Left sides of products in tiles.

use pulp::{Arch, Simd};

use super::{
    super::{
        bfloat16::{self, Round, Rounded, rest},
        pages,
        product::Rows,
    },
    Parts, SIDE, TILE, rows_of_pairs,
};

/// Bytes of a cache line, and of a large page.
const LINE: usize = 64;
const PAGE: usize = 2 << 20;

/// Some rows of numbers, rounded to bfloat16 or split in parts of it: of each 16 rows one tile after another, each row by row. The last rows are filled up.
#[derive(Debug, Default)]
pub(in crate::backends::cpu) struct TileRows {
    memory: Vec<f32>,
    /// First number in use.
    start: usize,
    rows: usize,
    /// Tiles of a part of 16 rows.
    steps: usize,
    /// A tile is followed by those of its other parts.
    parts: usize,
}

impl TileRows {
    /// Makes room for some rows of some numbers. What is there is what an earlier use left.
    pub(super) fn resize(&mut self, rows: usize, depth: usize, parts: Parts) {
        (self.rows, self.steps, self.parts) = (rows, rows_of_pairs(depth) / SIDE, parts.count());
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

    /// Rounds or splits some rows of some numbers.
    pub(super) fn fill(&mut self, arch: Arch, from: Rows<&[f32]>, [rows, depth]: [usize; 2], parts: Parts) {
        self.resize(rows, depth, parts);
        bfloat16::round(arch, Fill { from, depth, to: self });
    }

    /// Some of the rows.
    pub(super) fn gathered(&self, rows: &[usize]) -> Self {
        let length = rows.len().div_ceil(SIDE) * SIDE * SIDE * self.steps * self.parts;
        let mut gathered = Self { memory: vec![0.0; length], start: 0, rows: rows.len(), ..*self };
        for (to, from) in rows.iter().enumerate() {
            for tile in 0..self.steps * self.parts {
                let row = &self.tiles()[self.place(*from, tile)..][..SIDE];
                let place = gathered.place(to, tile);
                gathered.memory[place..][..SIDE].copy_from_slice(row);
            }
        }
        gathered
    }

    /// First of a row's numbers in one of the tiles of its 16 rows.
    fn place(&self, row: usize, tile: usize) -> usize {
        (row / SIDE * self.steps * self.parts + tile) * TILE + row % SIDE * SIDE
    }

    /// Puts 32 numbers of a row to their place.
    #[inline(always)]
    pub(super) fn put<R: Round>(&mut self, rounding: R, row: usize, step: usize, numbers: &[f32]) {
        let place = self.start + self.place(row, step * self.parts);
        put(rounding, &mut self.memory[place..], self.parts, numbers);
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Numbers of 16 rows.
    pub(super) fn sixteen(&self) -> usize {
        self.steps * self.parts * TILE
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
        let (rows, parts, sixteen) = (to.rows, to.parts, to.sixteen());
        for (block, tiles) in to.tiles_mut().chunks_exact_mut(sixteen).enumerate() {
            for within in 0..SIDE {
                let row = block * SIDE + within;
                let steps = tiles.chunks_exact_mut(parts * TILE).map(|step| &mut step[within * SIDE..]);
                if row >= rows {
                    steps.for_each(|step| step.chunks_mut(TILE).for_each(|place| place[..SIDE].fill(0.0)));
                    continue;
                }
                let mut numbers = from.values[row * from.stride..][..depth].chunks(2 * SIDE);
                for step in steps {
                    put(rounding, step, parts, numbers.next().unwrap_or_default());
                }
            }
        }
    }
}

/// Puts up to 32 numbers to the rows of the tiles of their parts.
#[inline(always)]
fn put<R: Round>(rounding: R, tiles: &mut [f32], parts: usize, numbers: &[f32]) {
    rounding.pairs(numbers, &mut tiles[..SIDE]);
    if parts == 1 {
        return;
    }
    let mut rests = [0.0; 2 * SIDE];
    rests.iter_mut().zip(numbers).for_each(|(rest, number)| *rest = *number);
    for part in 1..parts {
        rests = rests.map(rest);
        rounding.pairs(&rests, &mut tiles[part * TILE..][..SIDE]);
    }
}
