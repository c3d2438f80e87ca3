use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use headspan_artifacts::PartReader;
use headspan_headspace::{HeadId, Scalars};
use lru::LruCache;
use rayon::prelude::*;

use crate::error::{ExploreError, Result};

/// What all columns of a run share: which images there are, and their scalars.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Position of each row's image in the data set.
    pub(crate) image_index: Vec<u64>,
    /// Scalars of each row.
    pub(crate) scalars: Vec<Scalars>,
}

/// `z/(σ|r|)` of one head for every image, `[n, head_dim]`.
#[derive(Debug)]
pub struct HeadColumn {
    /// Row-major values.
    pub(crate) values: Vec<f32>,
    /// Length of a row.
    pub(crate) head_dim: usize,
}

impl HeadColumn {
    /// Row-major values, `[n, head_dim]`, one row an image that was extracted.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Length of a row.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// The row of one image.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.head_dim..][..self.head_dim]
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}

/// Columns of all runs that are open: those not used for longest go when they are too many, or when weights need the room.
pub struct ColumnStore {
    bounds: StoreBounds,
    /// Bytes of weights that stand beside the columns.
    weights: AtomicUsize,
    /// Number of the next run.
    next: AtomicU64,
    kept: Mutex<Kept>,
}

/// Most bytes that a [`ColumnStore`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreBounds {
    /// Of columns.
    pub columns: usize,
    /// Of columns and of the weights of models together.
    pub with_weights: usize,
    /// Of columns beside weights that leave less room.
    pub least: usize,
}

impl StoreBounds {
    /// Of columns alone, whatever weights there are.
    pub fn of_columns(bytes: usize) -> Self {
        Self { columns: bytes, with_weights: usize::MAX, least: 0 }
    }
}

impl ColumnStore {
    /// An empty store.
    pub fn new(bounds: StoreBounds) -> Arc<Self> {
        let (weights, next, kept) = (AtomicUsize::default(), AtomicU64::default(), Mutex::default());
        Arc::new(Self { bounds, weights, next, kept })
    }

    /// Makes room for the weights of a model that stay in memory.
    pub fn make_room(&self, weights: usize) {
        self.weights.fetch_add(weights, Ordering::Relaxed);
        self.kept().shrink(self.bound());
    }

    /// The weights were let go of, or could not be loaded.
    pub fn give_back(&self, weights: usize) {
        self.weights.fetch_sub(weights, Ordering::Relaxed);
    }

    fn bound(&self) -> usize {
        let StoreBounds { columns, with_weights, least } = self.bounds;
        with_weights.saturating_sub(self.weights.load(Ordering::Relaxed)).max(least).min(columns)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // A thread that panicked with the lock left a map that is whole: every change to it is one insertion or removal.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Columns of a run's activations: read from the parts when they are first wanted, and kept in a store.
pub(crate) struct Columns {
    run: String,
    parts: Vec<PartReader>,
    rows: OnceLock<Arc<Rows>>,
    store: Arc<ColumnStore>,
    /// Of the run in the store.
    number: u64,
}

struct Kept {
    /// By number of the run, and head. The bound is in bytes and changes, so the list itself has none.
    columns: LruCache<(u64, HeadId), Arc<HeadColumn>>,
    bytes: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { columns: LruCache::unbounded(), bytes: 0 }
    }
}

impl Columns {
    pub(crate) fn new(run: String, parts: Vec<PartReader>, store: &Arc<ColumnStore>) -> Result<Self> {
        let shapes_differ = parts.windows(2).any(|pair| pair[0].shape() != pair[1].shape());
        if shapes_differ {
            return Err(ExploreError::MixedParts { run });
        }
        let number = store.next.fetch_add(1, Ordering::Relaxed);
        Ok(Self { run, parts, rows: OnceLock::new(), store: Arc::clone(store), number })
    }

    /// Images and scalars.
    pub(crate) fn rows(&self) -> Result<Arc<Rows>> {
        if let Some(rows) = self.rows.get() {
            return Ok(Arc::clone(rows));
        }
        let mut rows = Rows::default();
        for part in &self.parts {
            let batch = part.read(&[], false)?;
            rows.scalars.extend((0..batch.len()).map(|image| batch.scalars(image)));
            rows.image_index.extend(batch.image_index);
        }
        // Another thread may have been first; both read the same files.
        Ok(Arc::clone(self.rows.get_or_init(|| Arc::new(rows))))
    }

    /// One head's column. Two threads that miss the same column both read it; the second to finish finds the first's.
    pub(crate) fn head(&self, head: HeadId) -> Result<Arc<HeadColumn>> {
        let key = (self.number, head);
        if let Some(column) = self.store.kept().find(key) {
            return Ok(column);
        }
        let column = Arc::new(self.read(head)?);
        Ok(self.store.kept().keep(key, column, self.store.bound()))
    }

    /// Reads a head's column, the parts in parallel.
    fn read(&self, head: HeadId) -> Result<HeadColumn> {
        let head_dim = self.parts.first().map_or(0, |part| part.shape().head_dim);
        // A file that was replaced under the server must not shift the rows of the others.
        let mixed = || ExploreError::MixedParts { run: self.run.clone() };
        let rows_of = |part: &PartReader| part.metadata().rows as usize;
        let rows = self.rows()?.image_index.len();
        if self.parts.iter().map(rows_of).sum::<usize>() != rows {
            return Err(mixed());
        }
        let mut values = vec![0.0; rows * head_dim];
        let mut rest = values.as_mut_slice();
        let mut places = Vec::new();
        for part in &self.parts {
            let (place, after) = rest.split_at_mut(rows_of(part) * head_dim);
            places.push((part, place));
            rest = after;
        }
        places.into_par_iter().try_for_each(|(part, place)| match part.read_head(head, place) {
            Ok(true) => Ok(()),
            Ok(false) => Err(mixed()),
            Err(error) => Err(error.into()),
        })?;
        Ok(HeadColumn { values, head_dim })
    }
}

impl Kept {
    fn find(&mut self, key: (u64, HeadId)) -> Option<Arc<HeadColumn>> {
        self.columns.get(&key).map(Arc::clone)
    }

    /// Keeps a column and lets go of those not used for longest, but never of the one just read.
    fn keep(&mut self, key: (u64, HeadId), column: Arc<HeadColumn>, bound: usize) -> Arc<HeadColumn> {
        if let Some(found) = self.find(key) {
            return found;
        }
        self.shrink(bound.saturating_sub(column.bytes()));
        self.bytes += column.bytes();
        self.columns.put(key, Arc::clone(&column));
        column
    }

    fn shrink(&mut self, bound: usize) {
        while self.bytes > bound
            && let Some((_, dropped)) = self.columns.pop_lru()
        {
            self.bytes -= dropped.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(length: usize) -> Arc<HeadColumn> {
        Arc::new(HeadColumn { values: vec![0.0; length], head_dim: 1 })
    }

    #[test]
    fn the_least_recently_used_columns_go_first() {
        let head = |head: u32| (0, HeadId { layer: 0, head });
        let mut kept = Kept::default();
        let bound = 2 * 4 * 10;
        kept.keep(head(0), column(10), bound);
        kept.keep(head(1), column(10), bound);
        assert!(kept.find(head(0)).is_some());
        kept.keep(head(2), column(10), bound);
        assert!(kept.find(head(1)).is_none(), "head 1 was used before head 0");
        assert!(kept.find(head(0)).is_some() && kept.find(head(2)).is_some());
        assert_eq!(kept.bytes, 80);
        kept.keep(head(3), column(100), bound);
        assert_eq!((kept.columns.len(), kept.bytes), (1, 400), "a column above the bound is kept alone");
        kept.shrink(399);
        assert_eq!((kept.columns.len(), kept.bytes), (0, 0));
    }

    #[test]
    fn weights_take_the_room_of_columns() {
        let store = ColumnStore::new(StoreBounds { columns: 100, with_weights: 120, least: 10 });
        let key = |run: u64| (run, HeadId { layer: 0, head: 0 });
        for run in 0..2 {
            store.kept().keep(key(run), column(10), store.bound());
        }
        assert_eq!((store.bound(), store.kept().bytes), (100, 80), "the same head of two runs");
        store.make_room(60);
        assert_eq!((store.bound(), store.kept().bytes), (60, 40));
        assert!(store.kept().find(key(1)).is_some(), "the one that was used last stays");
        store.make_room(1000);
        assert_eq!((store.bound(), store.kept().bytes), (10, 0));
        store.give_back(1000);
        assert_eq!(store.bound(), 60);
    }
}
