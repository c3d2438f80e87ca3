//! Pre-norm blocks over the tokens of some images or texts.

use pulp::Arch;

use super::{
    attention::{Attend, Looks, LooksAsked},
    inner::Inner,
    packed::Packed,
    product::{Activation, Product, Rows},
    rows::{Norm, Normalise},
    scratch::Scratch,
    sequences::Sequences,
    tiles::TileMlp,
};
use crate::trace::{HostTokens, TraceRequest};

/// A linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Packed,
    /// `[columns of the weight]`.
    pub(super) bias: Vec<f32>,
}

/// A pre-norm block. The factor `1/√head_dim` of the scores is in the query's weight and bias.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) ln_1: Norm,
    pub(super) query: Linear,
    pub(super) key_value: Linear,
    pub(super) output: Linear,
    pub(super) ln_2: Norm,
    pub(super) expand: Linear,
    pub(super) contract: Linear,
}

impl Block {
    /// Numbers from one hidden row of the MLP to the next: with a gate twice as many as the row has.
    fn hidden(&self) -> usize {
        self.expand.bias.len()
    }
}

/// A tower's blocks, first to last.
#[derive(Debug)]
pub(super) struct Stack {
    /// Instructions of the pass.
    pub(super) arch: Arch,
    pub(super) heads: usize,
    pub(super) activation: Activation,
    /// Whether a token sees only those up to itself.
    pub(super) is_causal: bool,
    /// What the blocks have between their layers.
    pub(super) inner: Inner,
    pub(super) blocks: Vec<Block>,
}

/// What is kept of a pass through the blocks. A sequence's chosen token is the one that its result is read from.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// `z` of the chosen tokens (`rows`) for every layer asked for, each `[rows, width]`.
    pub(super) z: Vec<Vec<f32>>,
    /// Chosen tokens of the first block's input and of every MLP's output, each `[rows, width]`, if asked for.
    pub(super) components: Vec<Vec<f32>>,
    /// As [`HostTrace::tokens`](crate::HostTrace::tokens); where every token is chosen, the attention is that of all,
    /// `[sequences, heads, queries, tokens]`.
    pub(super) tokens: Vec<HostTokens>,
    /// As [`HostTrace::mean_attention`](crate::HostTrace::mean_attention).
    pub(super) mean_attention: Vec<Vec<f32>>,
}

impl Stack {
    pub(super) fn width(&self) -> usize {
        self.blocks[0].ln_1.weight.len()
    }

    /// Width of the widest rows between two products.
    pub(super) fn widest(&self) -> usize {
        let hidden = self.blocks.iter().map(Block::hidden).max().unwrap_or(0);
        hidden.max(3 * self.width())
    }

    /// Takes `scratch.residual` from the first block's input, `[tokens, width]`, to the last block's output of the chosen tokens alone,
    /// `[rows, width]`.
    pub(super) fn run(&self, sequences: &Sequences, request: &TraceRequest, scratch: &mut Scratch) -> Kept {
        let mut kept = Kept::default();
        let width = self.width();
        let mut chosen: Vec<usize> = sequences.chosen().collect();
        if request.residual_components {
            kept.components.push(gathered(&scratch.residual, &chosen, width));
        }
        for (layer, block) in self.blocks.iter().enumerate() {
            // Nothing after the last attention is needed for any other token.
            let is_last = layer + 1 == self.blocks.len() && !sequences.all_chosen();
            let asked = LooksAsked { tokens: request.token_layers.contains(&layer), mean: request.mean_attention };
            let looks = self.attend(block, sequences, is_last, asked, scratch);
            kept.take_looks(layer, sequences, looks);
            if is_last {
                gather_in_place(&mut scratch.residual, &chosen, width);
                chosen = (0..sequences.count()).collect();
            }
            if request.layers.contains(&layer) {
                kept.z.push(gathered(&scratch.narrow, &chosen, width));
            }
            scratch.add(&block.output, Source::Narrow);
            kept.components.extend(self.mlp(block, request.residual_components.then_some(&*chosen), scratch));
        }
        kept
    }

    /// The first block, whatever stands in `scratch`: the work of a pass without its result, to time it.
    pub(super) fn run_first(&self, sequences: &Sequences, scratch: &mut Scratch) {
        let block = &self.blocks[0];
        scratch.resize(sequences.rows(), self.width(), self.widest());
        self.attend(block, sequences, false, LooksAsked::default(), scratch);
        scratch.add(&block.output, Source::Narrow);
        self.mlp(block, None, scratch);
    }

    /// Attention: `z` of all tokens, or of the chosen ones, into `scratch.narrow`. Chosen tokens that ask alone are class tokens or
    /// texts' ends, which are not rotated.
    fn attend(
        &self,
        block: &Block,
        sequences: &Sequences,
        chosen_alone: bool,
        asked: LooksAsked,
        scratch: &mut Scratch,
    ) -> Looks {
        let width = self.width();
        let threads = scratch.threads;
        let Scratch { residual, narrow, wide, few, queries, products, attention, .. } = scratch;
        Normalise { input: residual, output: narrow, norm: &block.ln_1 }.run(self.arch, threads);
        let mut project = |linear: &Linear, normed: &[f32], projected: Rows<&mut [f32]>| {
            let normed_rows = Rows { values: normed, stride: width };
            let product = Product::new(normed.len() / width, normed_rows, &linear.weight, projected);
            product.bias(&linear.bias).run(products, threads);
        };
        project(&block.key_value, narrow, Rows { values: &mut wide[width..], stride: 3 * width });
        if chosen_alone {
            few.clear();
            few.extend(sequences.chosen().flat_map(|row| &narrow[row * width..][..width]));
            queries.resize(few.len(), 0.0);
            project(&block.query, few, Rows { values: queries, stride: width });
            narrow.truncate(few.len());
        } else {
            project(&block.query, narrow, Rows { values: wide, stride: 3 * width });
        }
        let projected = &mut wide[..3 * width * sequences.rows()];
        self.inner.rotate(projected, width, sequences.length_of_first(), !chosen_alone, threads);
        let query = if chosen_alone {
            Rows { values: queries.as_slice(), stride: width }
        } else {
            Rows { values: wide.as_slice(), stride: 3 * width }
        };
        let (arch, heads, is_causal) = (self.arch, self.heads, self.is_causal);
        let on_tiles = block.query.weight.is_on_tiles();
        let attend =
            Attend { arch, query, projected: wide, sequences, chosen_alone, width, heads, is_causal, on_tiles, asked };
        let mut looks = attend.run(narrow, attention, threads);
        if let Some(factors) = self.inner.scale_heads(self.arch, narrow, width) {
            looks.scale(&factors, sequences, heads);
        }
        looks
    }

    /// The MLP's update into the residual. Returns that of some tokens alone, `[rows, width]`, if they are given.
    fn mlp(&self, block: &Block, chosen: Option<&[usize]>, scratch: &mut Scratch) -> Option<Vec<f32>> {
        let (width, threads) = (self.width(), scratch.threads);
        let Scratch { residual, narrow, wide, products, .. } = scratch;
        Normalise { input: residual, output: narrow, norm: &block.ln_2 }.run(self.arch, threads);
        if block.expand.weight.is_on_tiles() && threads == 1 && !self.inner.changes_hidden() {
            let mlp = TileMlp { expand: &block.expand, contract: &block.contract, activation: self.activation };
            return mlp.run(narrow, residual, chosen, &mut products.tiles);
        }
        let normed = Rows { values: narrow.as_slice(), stride: width };
        let (rows, stride) = (residual.len() / width, block.hidden());
        let hidden = Rows { values: wide.as_mut_slice(), stride };
        let product = Product::new(rows, normed, &block.expand.weight, hidden);
        product.bias(&block.expand.bias).activation(self.activation).run(products, threads);
        self.inner.finish_hidden(self.arch, &mut wide[..rows * stride], stride, threads);
        let update = chosen.map(|chosen| update_of(block, chosen, scratch));
        scratch.add(&block.contract, Source::Wide(stride));
        update
    }
}

impl Kept {
    fn take_looks(&mut self, layer: usize, sequences: &Sequences, looks: Looks) {
        if let Some((attention, values)) = looks.tokens {
            let tokens = sequences.length_of_first();
            let queries = if sequences.all_chosen() { tokens } else { 1 };
            let head_dim = queries * values.len() / attention.len().max(1);
            self.tokens.push(HostTokens { layer, tokens, head_dim, attention, values });
        }
        self.mean_attention.extend(looks.mean);
    }

    /// Puts another part's sequences behind these.
    pub(super) fn append(&mut self, other: Self) {
        extend_each(&mut self.z, other.z);
        extend_each(&mut self.components, other.components);
        extend_each(&mut self.mean_attention, other.mean_attention);
        if self.tokens.is_empty() {
            self.tokens = other.tokens;
        } else {
            for (all, part) in self.tokens.iter_mut().zip(other.tokens) {
                all.attention.extend(part.attention);
                all.values.extend(part.values);
            }
        }
    }
}

/// Appends column by column; the first part makes the columns.
fn extend_each(columns: &mut Vec<Vec<f32>>, part: Vec<Vec<f32>>) {
    if columns.is_empty() {
        *columns = part;
    } else {
        columns.iter_mut().zip(part).for_each(|(column, part)| column.extend(part));
    }
}

/// Some rows of `[rows, width]`.
fn gathered(values: &[f32], rows: &[usize], width: usize) -> Vec<f32> {
    rows.iter().flat_map(|row| &values[row * width..][..width]).copied().collect()
}

/// Keeps some rows of `[rows, width]`, which are given in their order.
fn gather_in_place(values: &mut Vec<f32>, rows: &[usize], width: usize) {
    for (to, from) in rows.iter().enumerate() {
        values.copy_within(from * width..(from + 1) * width, to * width);
    }
    values.truncate(rows.len() * width);
}

/// MLP update of some rows alone; the update of all rows goes straight into the residual.
fn update_of(block: &Block, rows: &[usize], scratch: &mut Scratch) -> Vec<f32> {
    let (contract, stride) = (&block.contract, block.hidden());
    let (depth, width) = (contract.weight.depth(), contract.bias.len());
    let hidden: Vec<f32> = rows.iter().flat_map(|row| &scratch.wide[row * stride..][..depth]).copied().collect();
    let mut update = vec![0.0; rows.len() * width];
    let target = Rows { values: update.as_mut_slice(), stride: width };
    let hidden = Rows { values: hidden.as_slice(), stride: depth };
    let product = Product::new(rows.len(), hidden, &contract.weight, target);
    product.bias(&contract.bias).run(&mut scratch.products, scratch.threads);
    update
}

/// Which part of the scratch memory a product reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Narrow,
    /// Rows so far apart.
    Wide(usize),
}
