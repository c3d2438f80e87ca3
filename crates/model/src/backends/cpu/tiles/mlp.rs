//! An MLP whose hidden rows never leave their tiles.

use super::{
    super::{
        blocks::Linear,
        product::{Activation, Rows},
    },
    Target, TileProduct, TileRows, TileScratch, TileUnit,
};

/// The layers of an MLP, with nothing but an activation between them.
pub(in crate::backends::cpu) struct TileMlp<'a> {
    pub(in crate::backends::cpu) expand: &'a Linear,
    pub(in crate::backends::cpu) contract: &'a Linear,
    pub(in crate::backends::cpu) activation: Activation,
}

impl TileMlp<'_> {
    /// Adds the update of normalised rows, `[rows, width]`, to the residual. Returns that of some rows alone, if they are given.
    pub(in crate::backends::cpu) fn run(
        &self,
        normed: &[f32],
        residual: &mut [f32],
        chosen: Option<&[usize]>,
        scratch: &mut TileScratch,
    ) -> Option<Vec<f32>> {
        super::with_tiles(|tiles| self.on(tiles, normed, residual, chosen, scratch))
    }

    pub(super) fn on<T: TileUnit>(
        &self,
        unit: &T,
        normed: &[f32],
        residual: &mut [f32],
        chosen: Option<&[usize]>,
        scratch: &mut TileScratch,
    ) -> Option<Vec<f32>> {
        let &Self { expand, contract, activation } = self;
        let TileScratch { left, hidden, sums } = scratch;
        let width = contract.bias.len();
        let rows = normed.len() / width;
        left.fill(expand.weight.arch(), Rows { values: normed, stride: width }, [rows, width]);
        hidden.resize(rows, contract.weight.depth());
        let (right, bias) = (&expand.weight, Some(expand.bias.as_slice()));
        TileProduct { left, right, bias, activation, target: Target::Tiles(hidden) }.on(unit, sums);
        let update = chosen.map(|chosen| {
            let mut update = vec![0.0; chosen.len() * width];
            contracted(unit, contract, &hidden.gathered(chosen), &mut update, false, sums);
            update
        });
        contracted(unit, contract, hidden, residual, true, sums);
        update
    }
}

/// Contracts hidden rows to `[rows, width]`, or on top of what is there.
fn contracted<T: TileUnit>(
    unit: &T,
    contract: &Linear,
    hidden: &TileRows,
    values: &mut [f32],
    accumulate: bool,
    sums: &mut Vec<f32>,
) {
    let target = Target::Rows { rows: Rows { values, stride: contract.bias.len() }, accumulate };
    let (right, bias) = (&contract.weight, Some(contract.bias.as_slice()));
    TileProduct { left: hidden, right, bias, activation: Activation::Identity, target }.on(unit, sums);
}
