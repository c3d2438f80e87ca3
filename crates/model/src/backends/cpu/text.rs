//! The text tower on the CPU. Texts stand one after the other, each as long as it is: attention is causal, so what would stand behind an
//! end token cannot matter.

use rayon::prelude::*;

use super::{
    InstructionSet, ROWS,
    blocks::Stack,
    packed::{Packed, Packing},
    rows::Norm,
    scratch::Scratch,
    sequences::{Chosen, Sequences},
    tower::project,
    weights::read_text_tower,
};
use crate::{
    backends::burn::BurnTextTower,
    checkpoint::StoredRows,
    error::Result,
    precision::Precision,
    readout::read,
    tokenizer::{ClassRows, TokenBatch},
    trace::TraceRequest,
};

/// Weights of a text tower but for its token embedding.
#[derive(Debug)]
pub(super) struct TextWeights {
    /// `[context_length, width]`.
    pub(super) positions: Vec<f32>,
    pub(super) blocks: Stack,
    pub(super) ln_final: Norm,
    /// Output projection, `[width, d]`.
    pub(super) projection: Packed,
    /// Its bias, `[d]`.
    pub(super) bias: Option<Vec<f32>>,
    /// Class token behind a text, `[width]`, where the tower has one.
    pub(super) class: Option<Vec<f32>>,
}

/// The text tower for passes on the CPU, in single precision, with its own copy of the weights.
///
/// A text's features are bit-equal whatever the batch and the number of threads.
pub(crate) struct CpuText {
    weights: TextWeights,
    embedding: TokenEmbedding,
}

/// Where the rows of the token embedding are, `[vocab_size, width]`.
enum TokenEmbedding {
    Memory(Vec<f32>),
    File(StoredRows),
}

impl CpuText {
    /// Takes over the weights of a tower. The token embedding stays in its file, if its rows are given; the tower's own need not be
    /// filled then.
    pub(crate) fn new(tower: BurnTextTower, rows: Option<StoredRows>) -> Result<Self> {
        let embedding = match rows {
            Some(rows) => TokenEmbedding::File(rows),
            None => TokenEmbedding::Memory(read(tower.token_embedding.weight.val())?),
        };
        let packing = Packing { arch: InstructionSet::Best.arch(), precision: Precision::Float32, tiles: false };
        Ok(Self { weights: read_text_tower(tower, packing)?, embedding })
    }

    /// Text features, not normalised, `[texts, d]`: the row of the end token after the last block. Threads of the current rayon pool
    /// share the texts, or the rows of a few texts. An error where rows of the token embedding cannot be read from their file.
    pub(crate) fn encode(&self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        let context = self.weights.positions.len() / self.weights.blocks.width();
        let class_rows = self.weights.class.as_ref().map(|_class| ClassRows::new(tokens, context - 1));
        let tokens = Rows { batch: class_rows.as_ref().map_or(tokens, |rows| &rows.batch), class: class_rows.as_ref() };
        let parts = parts(tokens.batch.ends());
        let threads = rayon::current_num_threads();
        let arch = self.weights.blocks.arch;
        if 2 * parts.len() <= threads {
            let mut scratch = Scratch::new(arch, threads);
            let features = parts.into_iter().map(|texts| self.pass(&tokens, texts, &mut scratch));
            return Ok(features.collect::<Result<Vec<_>>>()?.concat());
        }
        let parts = parts.into_par_iter();
        let features = parts.map_init(|| Scratch::new(arch, 1), |scratch, texts| self.pass(&tokens, texts, scratch));
        Ok(features.collect::<Result<Vec<_>>>()?.concat())
    }

    fn pass(&self, tokens: &Rows<'_>, texts: std::ops::Range<usize>, scratch: &mut Scratch) -> Result<Vec<f32>> {
        let TextWeights { positions, blocks, ln_final, projection, bias, .. } = &self.weights;
        let width = blocks.width();
        let batch = tokens.batch;
        let sequences = Sequences::new(batch.ends()[texts.clone()].iter().map(|end| end + 1), Chosen::Last);
        let ids: Vec<u32> = texts.clone().flat_map(|text| batch.text(text)).map(|id| id.unsigned_abs()).collect();
        scratch.resize(ids.len(), width, blocks.widest());
        self.embedding.read(&ids, &mut scratch.residual)?;
        if let Some(rows) = tokens.class {
            return Ok(self.pass_class_rows(rows, texts, sequences, scratch));
        }
        for sequence in 0..sequences.count() {
            let rows = sequences.range(sequence);
            let text = &mut scratch.residual[rows.start * width..rows.end * width];
            text.iter_mut().zip(positions).for_each(|(value, position)| *value += position);
        }
        blocks.run(&sequences, &TraceRequest::default(), scratch);
        Ok(project(&scratch.residual, ln_final, projection, bias.as_deref()))
    }

    /// As [`CpuText::pass`], of texts with a class token behind each, whose rows are embedded but for the class tokens.
    fn pass_class_rows(
        &self,
        rows: &ClassRows,
        texts: std::ops::Range<usize>,
        sequences: Sequences,
        scratch: &mut Scratch,
    ) -> Vec<f32> {
        let TextWeights { positions, blocks, ln_final, projection, bias, class } = &self.weights;
        let width = blocks.width();
        let last: Vec<usize> = sequences.chosen().collect();
        for row in last {
            scratch.residual[row * width..][..width].copy_from_slice(class.as_deref().unwrap_or_default());
        }
        let places = texts.clone().flat_map(|text| rows.of_text(text));
        for (row, place) in scratch.residual.chunks_exact_mut(width).zip(places) {
            row.iter_mut().zip(&positions[place * width..]).for_each(|(value, position)| *value += position);
        }
        let sequences = sequences.with_blind(rows.blind[texts].to_vec());
        blocks.run(&sequences, &TraceRequest::default(), scratch);
        project(&scratch.residual, ln_final, projection, bias.as_deref())
    }
}

/// Texts as they go through the tower.
struct Rows<'a> {
    batch: &'a TokenBatch,
    /// Where a class token stands behind each.
    class: Option<&'a ClassRows>,
}

impl TokenEmbedding {
    /// Rows by number into `to`, `[numbers, width]`.
    fn read(&self, numbers: &[u32], to: &mut [f32]) -> Result<()> {
        match self {
            Self::Memory(values) => {
                let width = to.len() / numbers.len();
                for (number, row) in numbers.iter().zip(to.chunks_exact_mut(width)) {
                    row.copy_from_slice(&values[*number as usize * width..][..width]);
                }
            }
            Self::File(rows) => to.copy_from_slice(&rows.read(numbers)?),
        }
        Ok(())
    }
}

/// Neighbouring texts of some [`ROWS`] tokens together, so that packed weights are read seldom and activations stay in the caches.
fn parts(ends: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
    let mut rows = 0;
    for (text, end) in ends.iter().enumerate() {
        match parts.last_mut() {
            Some(part) if rows + end < ROWS => part.end = text + 1,
            _ => {
                rows = 0;
                parts.push(text..text + 1);
            }
        }
        rows += end + 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_parted_by_their_tokens() {
        let lengths = [ROWS - 1, 1, 1, ROWS, 2, 2 * ROWS, 3];
        let ends: Vec<usize> = lengths.iter().map(|length| length - 1).collect();
        assert_eq!(parts(&ends), [0..2, 2..3, 3..4, 4..5, 5..6, 6..7]);
        assert!(parts(&[]).is_empty());
    }
}
