//! Which rows of a pass belong together.

use std::ops::Range;

/// Sequences of tokens that go through a tower together, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sequences {
    /// First row of each sequence, and behind the last one the number of rows.
    starts: Vec<usize>,
    chosen: Chosen,
    /// Whether the last token of a sequence does not see itself; empty if all do.
    blind: Vec<bool>,
}

/// The token of a sequence that its result is read from, or the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The class token of an image.
    First,
    /// The end token of a text.
    Last,
    /// Every token: the result is pooled from them.
    All,
}

impl Sequences {
    /// Sequences of some tokens each, at least one.
    pub(super) fn new(lengths: impl IntoIterator<Item = usize>, chosen: Chosen) -> Self {
        let mut starts = vec![0];
        let mut rows = 0;
        for length in lengths {
            rows += length;
            starts.push(rows);
        }
        Self { starts, chosen, blind: Vec::new() }
    }

    /// With sequences whose last token does not see itself.
    pub(super) fn with_blind(self, blind: Vec<bool>) -> Self {
        Self { blind, ..self }
    }

    /// Whether the last token of a sequence does not see itself.
    pub(super) fn is_blind(&self, sequence: usize) -> bool {
        self.blind.get(sequence).copied().unwrap_or_default()
    }

    pub(super) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Tokens of all sequences.
    pub(super) fn rows(&self) -> usize {
        self.starts[self.count()]
    }

    /// Rows of one sequence.
    pub(super) fn range(&self, sequence: usize) -> Range<usize> {
        self.starts[sequence]..self.starts[sequence + 1]
    }

    /// Tokens of the first sequence; of all, where they are images.
    pub(super) fn length_of_first(&self) -> usize {
        if self.count() == 0 { 0 } else { self.range(0).len() }
    }

    /// Whether every token is chosen.
    pub(super) fn all_chosen(&self) -> bool {
        self.chosen == Chosen::All
    }

    /// Row of each sequence's chosen token, or all of its rows.
    pub(super) fn chosen(&self) -> impl Iterator<Item = usize> {
        (0..self.count()).flat_map(|sequence| match self.chosen {
            Chosen::First => self.starts[sequence]..self.starts[sequence] + 1,
            Chosen::Last => self.starts[sequence + 1] - 1..self.starts[sequence + 1],
            Chosen::All => self.range(sequence),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_stand_one_after_the_other() {
        let texts = Sequences::new([3, 1, 4], Chosen::Last);
        assert_eq!((texts.count(), texts.rows(), texts.range(2)), (3, 8, 4..8));
        assert_eq!(texts.chosen().collect::<Vec<_>>(), [2, 3, 7]);
        let images = Sequences::new([5; 3], Chosen::First);
        assert_eq!(images.chosen().collect::<Vec<_>>(), [0, 5, 10]);
        assert_eq!(Sequences::new([2, 1], Chosen::All).chosen().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(Sequences::new([], Chosen::First).rows(), 0);
    }
}
