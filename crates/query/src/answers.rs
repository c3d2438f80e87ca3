use std::{
    collections::BTreeMap,
    hash::Hash,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use headspan_artifacts::HeadId;
use lru::LruCache;

use crate::{
    components::Components,
    error::{ExploreError, Result},
    extremes::Extremes,
    without::WithoutHead,
};

// Each `unwrap` is of a constant: the compiler evaluates it.

/// Most extremes kept: every head of a large model with some of its texts, at a few kilobytes each.
const MOST_EXTREMES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
/// Most selections whose lengths are kept (0.2 MB each for 50,000 images), and most heads whose directions are.
const MOST_HEADS: NonZeroUsize = NonZeroUsize::new(128).unwrap();
/// Most sets of texts whose mean is kept.
const MOST_MEANS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// A head, the rank of a text or none for distance, and the number of images at each end.
pub(crate) type ExtremesKey = (HeadId, Option<usize>, usize);

/// Answers that depend on nothing but a run, kept once they are known. A full store lets go of what was not asked for longest.
pub(crate) struct Answers {
    extremes: Mutex<LruCache<ExtremesKey, Extremes>>,
    lengths: Mutex<LruCache<Vec<HeadId>, Arc<Vec<f32>>>>,
    directions: Mutex<LruCache<HeadId, Arc<Vec<Vec<f64>>>>>,
    means: Mutex<LruCache<Vec<String>, Arc<Vec<f32>>>>,
    components: Mutex<LruCache<HeadId, Arc<Components>>>,
    without: Mutex<LruCache<String, Arc<BTreeMap<HeadId, WithoutHead>>>>,
}

impl Default for Answers {
    fn default() -> Self {
        // `sparse` takes memory as it fills; `new` would take all of it at once.
        Self {
            extremes: Mutex::new(LruCache::sparse(MOST_EXTREMES)),
            lengths: Mutex::new(LruCache::sparse(MOST_HEADS)),
            directions: Mutex::new(LruCache::sparse(MOST_HEADS)),
            means: Mutex::new(LruCache::sparse(MOST_MEANS)),
            components: Mutex::new(LruCache::sparse(MOST_HEADS)),
            without: Mutex::new(LruCache::sparse(NonZeroUsize::MIN)),
        }
    }
}

impl Answers {
    /// Extremes of a head.
    pub(crate) fn extremes(&self, key: ExtremesKey, find: impl FnOnce() -> Result<Extremes>) -> Result<Extremes> {
        kept(&self.extremes, key, find)
    }

    /// Lengths of the mean contributions of some heads, by row.
    pub(crate) fn lengths(&self, heads: &[HeadId], find: impl FnOnce() -> Result<Vec<f32>>) -> Result<Arc<Vec<f32>>> {
        kept(&self.lengths, heads.to_vec(), || find().map(Arc::new))
    }

    /// Directions of a head's texts.
    pub(crate) fn directions(
        &self,
        head: HeadId,
        find: impl FnOnce() -> Result<Vec<Vec<f64>>>,
    ) -> Result<Arc<Vec<Vec<f64>>>> {
        kept(&self.directions, head, || find().map(Arc::new))
    }

    /// Accuracy without each head, of a table with this fingerprint.
    pub(crate) fn without(
        &self,
        fingerprint: String,
        find: impl FnOnce() -> Result<BTreeMap<HeadId, WithoutHead>>,
    ) -> Result<Arc<BTreeMap<HeadId, WithoutHead>>> {
        kept(&self.without, fingerprint, || find().map(Arc::new))
    }

    /// Principal components of a head.
    pub(crate) fn components(
        &self,
        head: HeadId,
        find: impl FnOnce() -> Result<Components>,
    ) -> Result<Arc<Components>> {
        kept(&self.components, head, || find().map(Arc::new))
    }

    /// Mean embedding of some texts, of the pool without any.
    pub(crate) fn mean<E: From<ExploreError>>(
        &self,
        texts: &[String],
        find: impl FnOnce() -> Result<Vec<f32>, E>,
    ) -> Result<Arc<Vec<f32>>, E> {
        kept(&self.means, texts.to_vec(), || find().map(Arc::new))
    }
}

/// What is kept under a key, or what is found now. Two threads may both find it; the store is not locked while they do.
fn kept<K: Eq + Hash, V: Clone, E>(
    store: &Mutex<LruCache<K, V>>,
    key: K,
    find: impl FnOnce() -> Result<V, E>,
) -> Result<V, E> {
    let lock = || store.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = lock().get(&key) {
        return Ok(found.clone());
    }
    let found = find()?;
    lock().put(key, found.clone());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_looked_for_again() -> Result<()> {
        let store = Mutex::new(LruCache::sparse(NonZeroUsize::MIN.saturating_add(1)));
        assert_eq!(kept(&store, 1, || Ok::<_, ExploreError>("one"))?, "one");
        kept(&store, 2, || Ok::<_, ExploreError>("two"))?;
        assert_eq!(kept(&store, 1, || Ok::<_, ExploreError>("another"))?, "one");
        kept(&store, 3, || Ok::<_, ExploreError>("three"))?;
        assert_eq!(
            kept(&store, 2, || Ok::<_, ExploreError>("two again"))?,
            "two again",
            "it had not been asked for longest"
        );
        Ok(())
    }
}
