//! Products on tiles: Intel's AMX multiplies 16 rows of 16 pairs of bfloat16 by 16 pairs of 16 columns in one instruction, sixteen times as many
//! multiply-adds a cycle as single precision.
//!
//! Both sides are laid out in tiles, the right one once. What a tile unit does stands behind [`TileUnit`], with a plain implementation for
//! tests, so that every machine tests layouts and edges.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
#[cfg(target_arch = "x86_64")]
mod kernels;
mod left;
mod mlp;
mod packing;
#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain;
mod product;
#[cfg(test)]
mod tests;

use super::product::Product;

use left::TileRows;
use product::{Target, TileProduct};

pub(super) use attention::{HeadTiles, attend};
pub(super) use mlp::TileMlp;

/// Rows of a tile, its pairs of the inner dimension, and the columns of a tile of sums.
pub(super) const SIDE: usize = 16;
/// Numbers of 32 bits in a tile: pairs or sums.
const TILE: usize = SIDE * SIDE;
/// Rows and columns of the sums that are made at once: two by two tiles, with which each tile that is loaded is multiplied twice.
const BLOCK: usize = 2 * SIDE;
/// Numbers that are fetched ahead in a step: two cache lines, so that sixteen blocks fetch the next panel.
const AHEAD: usize = 32;

/// Sums of a block, row by row, on a cache line.
type Sums = [f32];

/// Most tiles of the inner dimension in a round: all columns pass the left side's share of it, which for the rows of a pass stays in a core's
/// second-level cache meanwhile (0.8 MB of 400 rows).
const ROUND: usize = 32;
/// Most tiles of the inner dimension in a sweep: a panel's share of it (32 KiB) stays in the first-level cache while all rows pass it.
const SWEEP: usize = 16;

/// What multiplies tiles. A sum's order depends on the number of tiles alone: neither on the rows around it nor on the columns.
pub(super) trait TileUnit {
    /// `A·B` of two by two tiles of sums.
    fn multiply(&self, block: Block<'_>, sums: &mut Sums);
}

/// What two by two tiles of sums are made of.
pub(super) struct Block<'a> {
    /// 16 rows in tiles, one tile after another.
    a: &'a [f32],
    /// The next 16; without them, their sums stay as they are.
    more: Option<&'a [f32]>,
    /// A panel's part of as many rows of pairs as `a` has, [`WIDTH`] pairs each.
    b: &'a [f32],
    /// Whether what is there is the sums' first term.
    continues: bool,
    /// What will be read soon: it may be fetched meanwhile.
    ahead: &'a [f32],
    /// What will be written soon, from the first row's first number on, and how far apart its rows are: it may be fetched meanwhile.
    place: Option<(&'a f32, usize)>,
}

/// Columns of a right side's panel.
pub(super) const WIDTH: usize = BLOCK;

/// Rows of pairs in a panel: filled up to whole tiles.
pub(super) fn rows_of_pairs(depth: usize) -> usize {
    depth.div_ceil(2).next_multiple_of(SIDE)
}

/// Whether this processor has tiles and the system lets this process use them.
pub(super) fn is_available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        amx::is_available()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Takes the tiles of this thread into use, for as long as a function runs that somebody calls who knows that they are there.
#[cfg(target_arch = "x86_64")]
fn with_tiles<R>(run: impl FnOnce(&amx::Tiles) -> R) -> R {
    run(&amx::Tiles::load())
}

/// Nothing is packed for tiles that are not there.
#[cfg(not(target_arch = "x86_64"))]
fn with_tiles<R>(_run: impl FnOnce(&plain::PlainTiles) -> R) -> R {
    unreachable!("nothing is packed for tiles that are not there")
}

/// Runs a product whose right side is packed for tiles on this processor's. Threads of the current pool share the rows.
pub(super) fn run(product: Product<'_>, scratch: &mut TileScratch, threads: usize) {
    if threads == 1 {
        return with_tiles(|tiles| on(product, tiles, scratch));
    }
    // Each thread has tiles of its own.
    product.for_each_share(threads, |share| with_tiles(|tiles| on(share, tiles, &mut TileScratch::default())));
}

/// Memory of products on tiles.
#[derive(Debug, Default)]
pub(super) struct TileScratch {
    left: TileRows,
    /// Hidden rows of an MLP.
    hidden: TileRows,
    sums: Vec<f32>,
}

/// Runs a product on a tile unit.
fn on<T: TileUnit>(product: Product<'_>, unit: &T, scratch: &mut TileScratch) {
    let Product { a, b, c, count, bias, accumulate, activation } = product;
    scratch.left.fill(b.arch(), a, [count, b.depth()]);
    let target = Target::Rows { rows: c, accumulate };
    TileProduct { left: &scratch.left, right: b, bias, activation, target }.on(unit, &mut scratch.sums);
}
