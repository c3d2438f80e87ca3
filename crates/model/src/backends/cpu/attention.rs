//! Attention, one head of one sequence at a time.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{
    packed::Packed,
    product::{Product, Rows},
    rows::softmax,
    sequences::Sequences,
    tiles::{self, HeadTiles},
};

/// Memory of attention.
#[derive(Debug)]
pub(super) struct AttentionScratch {
    keys: Packed,
    values: Packed,
    /// `[queries, tokens]`.
    pub(super) scores: Vec<f32>,
    /// `[queries, head_dim]`.
    pub(super) z: Vec<f32>,
    /// Where products are made of tiles.
    pub(super) tiles: HeadTiles,
}

impl AttentionScratch {
    pub(super) fn new(arch: Arch) -> Self {
        Self {
            keys: Packed::empty(arch),
            values: Packed::empty(arch),
            scores: Vec::new(),
            z: Vec::new(),
            tiles: HeadTiles::new(arch),
        }
    }
}

/// What to keep of where the heads of a block looked.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct LooksAsked {
    /// Attention of the first query, or of all where all tokens are chosen, and all values.
    pub(super) tokens: bool,
    /// Attention averaged over the heads.
    pub(super) mean: bool,
}

/// Where the heads of a block looked. Sequences are equally long where anything is asked for.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// Attention of the queries asked for, `[sequences, heads, queries, tokens]`, and values, `[sequences, heads, tokens, head_dim]`.
    pub(super) tokens: Option<(Vec<f32>, Vec<f32>)>,
    /// Attention averaged over the heads, `[sequences, queries, tokens]`.
    pub(super) mean: Option<Vec<f32>>,
}

impl Looks {
    /// Multiplies the attention that values are summed with, and not its mean, by a factor for each query.
    pub(super) fn scale(&mut self, factors: &[f32], sequences: &Sequences, heads: usize) {
        let (count, tokens) = (sequences.count(), sequences.length_of_first());
        let Some((attention, _)) = self.tokens.as_mut().filter(|_| count > 0) else { return };
        // Of a class token's attention there is the first query's alone.
        let asked = attention.len() / (count * heads * tokens);
        let factors = factors.chunks_exact(factors.len() / count);
        for (attention, factors) in attention.chunks_exact_mut(heads * asked * tokens).zip(factors) {
            for (row, query) in attention.chunks_exact_mut(tokens).zip((0..asked).cycle()) {
                for attention in row.iter_mut() {
                    *attention *= factors[query];
                }
            }
        }
    }
}

/// Attention of all heads of a block.
pub(super) struct Attend<'a> {
    pub(super) arch: Arch,
    /// Queries of all tokens, or of the chosen ones.
    pub(super) query: Rows<&'a [f32]>,
    /// Keys and values behind the queries' place, `[rows, 3·width]`.
    pub(super) projected: &'a [f32],
    pub(super) sequences: &'a Sequences,
    pub(super) chosen_alone: bool,
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) is_causal: bool,
    /// Whether products are made of the processor's tiles.
    pub(super) on_tiles: bool,
    pub(super) asked: LooksAsked,
}

impl Attend<'_> {
    /// Writes `z`, `[queries of all sequences, width]`. Threads of the current pool share the heads.
    pub(super) fn run(&self, z: &mut [f32], scratch: &mut AttentionScratch, threads: usize) -> Looks {
        let pairs = (0..self.sequences.count()).flat_map(|sequence| (0..self.heads).map(move |head| (sequence, head)));
        let mut looks = self.empty_looks();
        if threads == 1 {
            for (sequence, head) in pairs {
                self.of_head(sequence, head, scratch);
                self.store(sequence, head, scratch, z, &mut looks);
            }
        } else {
            let pairs: Vec<(usize, usize)> = pairs.collect();
            // Some at a time, so that no more than these wait for their place.
            for some in pairs.chunks(4 * threads) {
                let of_head = |&(sequence, head): &(usize, usize)| {
                    let mut scratch = AttentionScratch::new(self.arch);
                    self.of_head(sequence, head, &mut scratch);
                    scratch
                };
                let done: Vec<AttentionScratch> = some.par_iter().map(of_head).collect();
                for (&(sequence, head), scratch) in some.iter().zip(&done) {
                    self.store(sequence, head, scratch, z, &mut looks);
                }
            }
        }
        looks
    }

    fn head_dim(&self) -> usize {
        self.width / self.heads
    }

    /// First query of a sequence, and how many it has.
    fn queries(&self, sequence: usize) -> (usize, usize) {
        let rows = self.sequences.range(sequence);
        if self.chosen_alone { (sequence, 1) } else { (rows.start, rows.len()) }
    }

    /// Scores and `z` of a head into the scratch memory.
    fn of_head(&self, sequence: usize, head: usize, scratch: &mut AttentionScratch) {
        let head = self.head(sequence, head, scratch);
        if self.on_tiles && head.queries >= tiles::SIDE {
            tiles::attend(self.arch, head);
        } else {
            self.arch.dispatch(head);
        }
    }

    /// A head's part of the rows.
    pub(super) fn head<'b>(&'b self, sequence: usize, head: usize, scratch: &'b mut AttentionScratch) -> OneHead<'b> {
        let (rows, head_dim) = (self.sequences.range(sequence), self.head_dim());
        let (first, queries) = self.queries(sequence);
        let from = head * head_dim;
        let stride = 3 * self.width;
        let third = |number: usize| Rows {
            values: &self.projected[rows.start * stride + number * self.width + from..],
            stride,
        };
        scratch.scores.resize(queries * rows.len(), 0.0);
        scratch.z.resize(queries * head_dim, 0.0);
        OneHead {
            query: Rows { values: &self.query.values[first * self.query.stride + from..], ..self.query },
            keys: third(1),
            values: third(2),
            queries,
            tokens: rows.len(),
            head_dim,
            is_masked: self.is_causal && !self.chosen_alone,
            is_blind: self.sequences.is_blind(sequence),
            keeps_scores: self.asked.tokens || self.asked.mean,
            scratch,
        }
    }

    /// Puts what a head found to its place.
    fn store(&self, sequence: usize, head: usize, found: &AttentionScratch, z: &mut [f32], looks: &mut Looks) {
        let head_dim = self.head_dim();
        let (first, queries) = self.queries(sequence);
        let rows = z[first * self.width..].chunks_exact_mut(self.width);
        for (row, found) in rows.zip(found.z.chunks_exact(head_dim)).take(queries) {
            row[head * head_dim..][..head_dim].copy_from_slice(found);
        }
        let tokens = found.scores.len() / queries;
        if let Some((attention, values)) = &mut looks.tokens {
            let asked = if self.sequences.all_chosen() { queries } else { 1 };
            attention.extend_from_slice(&found.scores[..asked * tokens]);
            let of_tokens = self.projected.chunks_exact(3 * self.width);
            for row in of_tokens.skip(self.sequences.range(sequence).start).take(tokens) {
                values.extend_from_slice(&row[2 * self.width + head * head_dim..][..head_dim]);
            }
        }
        if let Some(mean) = &mut looks.mean {
            if head == 0 {
                mean.resize(mean.len() + found.scores.len(), 0.0);
            }
            let start = mean.len() - found.scores.len();
            let share = 1.0 / self.heads as f32;
            mean[start..].iter_mut().zip(&found.scores).for_each(|(mean, score)| *mean += share * score);
        }
    }

    fn empty_looks(&self) -> Looks {
        Looks { tokens: self.asked.tokens.then(Default::default), mean: self.asked.mean.then(Vec::new) }
    }
}

/// Attention of one head of one sequence.
pub(super) struct OneHead<'a> {
    pub(super) query: Rows<&'a [f32]>,
    pub(super) keys: Rows<&'a [f32]>,
    pub(super) values: Rows<&'a [f32]>,
    pub(super) queries: usize,
    pub(super) tokens: usize,
    pub(super) head_dim: usize,
    /// Whether a query sees only the tokens up to its own.
    is_masked: bool,
    /// Whether the last query does not see its own token.
    is_blind: bool,
    /// Whether scores are looked at afterwards.
    pub(super) keeps_scores: bool,
    pub(super) scratch: &'a mut AttentionScratch,
}

impl OneHead<'_> {
    /// Tokens that a query sees: the first ones.
    pub(super) fn seen(&self, query: usize) -> usize {
        let seen = if self.is_masked { query + 1 } else { self.tokens };
        seen - usize::from(self.is_blind && query + 1 == self.queries)
    }

    /// From scores to what values are summed with.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, simd: S) {
        for query in 0..self.queries {
            let seen = self.seen(query);
            let (seen, later) = self.scratch.scores[query * self.tokens..][..self.tokens].split_at_mut(seen);
            softmax(simd, seen);
            later.fill(0.0);
        }
    }
}

impl WithSimd for OneHead<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Self { query, keys, values, queries, tokens, head_dim, .. } = self;
        let AttentionScratch { keys: packed_keys, values: packed_values, scores, .. } = &mut *self.scratch;
        packed_keys.fill_from_columns(keys.values, keys.stride, head_dim, tokens);
        packed_values.fill_from_rows(values.values, values.stride, tokens, head_dim);
        let target = Rows { values: scores.as_mut_slice(), stride: tokens };
        simd.vectorize(Product::new(queries, query, packed_keys, target));
        self.weigh(simd);
        let AttentionScratch { values: packed_values, scores, z, .. } = &mut *self.scratch;
        let weights = Rows { values: scores.as_slice(), stride: tokens };
        let target = Rows { values: z.as_mut_slice(), stride: head_dim };
        simd.vectorize(Product::new(queries, weights, packed_values, target));
    }
}
