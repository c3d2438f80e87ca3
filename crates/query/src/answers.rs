use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use headspan_artifacts::HeadId;

use crate::{error::Result, extremes::Extremes};

/// Most extremes kept: every head of a large model with some of its texts, at a few kilobytes each.
const MOST_EXTREMES: usize = 4_096;
/// Most selections whose lengths are kept (0.2 MB each for 50,000 images), and most heads whose directions are.
const MOST_HEADS: usize = 128;

/// A head, the rank of a text or none for distance, and the number of images at each end.
pub(crate) type ExtremesKey = (HeadId, Option<usize>, usize);

/// Answers that depend on nothing but a run, kept once they are known. A full store is emptied: what is asked for again is
/// soon back, and nothing has to be counted.
#[derive(Default)]
pub(crate) struct Answers {
    extremes: Mutex<HashMap<ExtremesKey, Extremes>>,
    lengths: Mutex<HashMap<Vec<HeadId>, Arc<Vec<f32>>>>,
    directions: Mutex<HashMap<HeadId, Arc<Vec<Vec<f64>>>>>,
}

impl Answers {
    /// Extremes of a head.
    pub(crate) fn extremes(&self, key: ExtremesKey, find: impl FnOnce() -> Result<Extremes>) -> Result<Extremes> {
        kept(&self.extremes, MOST_EXTREMES, key, find)
    }

    /// Lengths of the mean contributions of some heads, by row.
    pub(crate) fn lengths(&self, heads: &[HeadId], find: impl FnOnce() -> Result<Vec<f32>>) -> Result<Arc<Vec<f32>>> {
        kept(&self.lengths, MOST_HEADS, heads.to_vec(), || find().map(Arc::new))
    }

    /// Directions of a head's texts.
    pub(crate) fn directions(
        &self,
        head: HeadId,
        find: impl FnOnce() -> Result<Vec<Vec<f64>>>,
    ) -> Result<Arc<Vec<Vec<f64>>>> {
        kept(&self.directions, MOST_HEADS, head, || find().map(Arc::new))
    }
}

/// What is kept under a key, or what is found now. Two threads may both find it; the store is not locked while they do.
fn kept<K: Eq + Hash, V: Clone>(
    store: &Mutex<HashMap<K, V>>,
    most: usize,
    key: K,
    find: impl FnOnce() -> Result<V>,
) -> Result<V> {
    let lock = || store.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = lock().get(&key) {
        return Ok(found.clone());
    }
    let found = find()?;
    let mut store = lock();
    if store.len() >= most {
        store.clear();
    }
    store.insert(key, found.clone());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_looked_for_again() -> Result<()> {
        let store = Mutex::new(HashMap::new());
        assert_eq!(kept(&store, 2, 1, || Ok("one"))?, "one");
        assert_eq!(kept(&store, 2, 1, || Ok("another"))?, "one");
        kept(&store, 2, 2, || Ok("two"))?;
        kept(&store, 2, 3, || Ok("three"))?;
        assert_eq!(store.lock().unwrap_or_else(PoisonError::into_inner).len(), 1, "the full store was emptied");
        Ok(())
    }
}
