//! Moments of pairs: the unit-norm representations of one image by both models.

use faer::MatRef;
use headspan_headspace::{MomentSums, Moments};

/// Pairs whose products are summed together. Sums have the same bits whatever the batches of the forward passes.
const BLOCK: usize = 512;

/// Sums over pairs `[x, y]`, from which their moments are made. Memory does not depend on their number.
pub(super) struct PairSums {
    /// Length of `x`.
    from: usize,
    sums: MomentSums,
    /// Pairs that wait for others, `[pairs, x and y]`.
    waiting: Vec<f32>,
    count: u64,
}

impl PairSums {
    /// No pair yet, of these lengths.
    pub(super) fn new([from, to]: [usize; 2]) -> Self {
        Self { from, sums: MomentSums::new(from + to), waiting: Vec::new(), count: 0 }
    }

    /// Number of pairs.
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// Adds a pair.
    pub(super) fn add(&mut self, x: &[f32], y: &[f32]) {
        self.waiting.extend_from_slice(x);
        self.waiting.extend_from_slice(y);
        self.count += 1;
        if self.waiting.len() == BLOCK * self.sums.length() {
            self.flush();
        }
    }

    /// Adds all pairs of other sums.
    pub(super) fn join(&mut self, mut other: Self) {
        self.flush();
        other.flush();
        self.sums.join(&other.sums.into_terms());
        self.count += other.count;
    }

    fn flush(&mut self) {
        let length = self.sums.length();
        let pairs = std::mem::take(&mut self.waiting);
        if !pairs.is_empty() {
            self.sums.add(pairs.len() / length, |row, column| pairs[row * length + column]);
        }
    }

    /// The moments of all pairs so far.
    pub(super) fn moments(&mut self) -> PairMoments {
        self.flush();
        PairMoments { from: self.from, moments: self.sums.moments() }
    }
}

/// Means over pairs. None of them is centred.
pub(super) struct PairMoments {
    from: usize,
    moments: Moments,
}

impl PairMoments {
    /// Number of pairs.
    pub(super) fn pairs(&self) -> u64 {
        self.moments.n
    }

    /// Mean of `x xᵀ`.
    pub(super) fn xx(&self) -> MatRef<'_, f64> {
        self.moments.second().submatrix(0, 0, self.from, self.from)
    }

    /// Mean of `x yᵀ`, `[length of x, length of y]`.
    pub(super) fn xy(&self) -> MatRef<'_, f64> {
        self.moments.second().submatrix(0, self.from, self.from, self.mean_y().len())
    }

    /// Mean of `|y|²`.
    pub(super) fn yy(&self) -> f64 {
        let second = self.moments.second();
        (self.from..self.moments.mean.len()).map(|at| second[(at, at)]).sum()
    }

    /// Mean of `y`.
    pub(super) fn mean_y(&self) -> &[f64] {
        &self.moments.mean[self.from..]
    }
}
