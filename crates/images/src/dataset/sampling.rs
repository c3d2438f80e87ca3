//! Which images of a listing a run takes.

use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha8Rng;

use crate::dataset::Sample;

/// Places, in rising order, of the images that `sample` draws from `all`, cut after `limit` of them. None if all images stay.
pub(super) fn chosen_places(all: usize, draw: Option<Sample>, limit: Option<u64>) -> Option<Vec<usize>> {
    let mut chosen: Option<Vec<usize>> = None;
    if let Some(Sample { count, seed }) = draw
        && (count as usize) < all
    {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let drawn = chosen.insert(sample(&mut random, all, count as usize).into_vec());
        drawn.sort_unstable();
    }
    if let Some(limit) = limit
        && (limit as usize) < chosen.as_ref().map_or(all, Vec::len)
    {
        chosen.get_or_insert_with(|| (0..limit as usize).collect()).truncate(limit as usize);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_images_stay_where_nothing_is_cut() {
        assert_eq!(chosen_places(3, None, None), None);
        assert_eq!(chosen_places(3, Some(Sample { count: 3, seed: 1 }), Some(3)), None);
    }

    #[test]
    fn the_limit_cuts_after_the_draw() {
        assert_eq!(chosen_places(9, None, Some(2)), Some(vec![0, 1]));
        let drawn = chosen_places(9, Some(Sample { count: 4, seed: 1 }), None).unwrap_or_default();
        assert!(drawn.len() == 4 && drawn.is_sorted());
        assert_eq!(chosen_places(9, Some(Sample { count: 4, seed: 1 }), Some(2)), Some(drawn[..2].to_vec()));
    }
}
