//! The directions in which a head's output varies most, where every image lies along them, and images from the whole range of a direction.

use std::sync::Arc;

use headspan_headspace::{HeadId, Moments, Readout, Scalars, eigen, product};
use serde::Serialize;

use crate::{
    error::{ExploreError, Result},
    neighbours::{Functional, Neighbour, best, factor, mean_and_std},
    run::ExploreRun,
};

/// Parts that the range of a direction is divided into, with as many images each.
const PARTS: usize = 10;

/// Principal components of a head's contributions, largest first, from its moments alone.
#[derive(Debug)]
pub(crate) struct Components {
    /// Share of the head's variance that each explains.
    shares: Vec<f64>,
    /// What `u` is multiplied by to give an image's place along each, `[m]`.
    weights: Vec<Vec<f64>>,
    /// Place of the mean along each.
    means: Vec<f64>,
}

impl Components {
    /// `B = QR`, so that distances between contributions are those between `R u`, and the covariance of `R u` has the same
    /// eigenvalues as that of `B u`: nothing here is as long as the joint embedding. None if the moments hold no finite numbers.
    fn new(readout: &Readout, moments: &Moments) -> Option<Self> {
        let m = readout.columns();
        let factor = factor(readout, m);
        let covariance = product(product(factor.as_ref(), moments.covariance().as_ref()).as_ref(), factor.transpose());
        let (vectors, values) = eigen(covariance.as_ref())?;
        let total: f64 = values.iter().map(|value| value.max(0.0)).sum();
        let turned = product(factor.transpose(), vectors.as_ref());
        let weights: Vec<Vec<f64>> = (0..values.len())
            .map(|component| {
                let column: Vec<f64> = (0..m).map(|row| turned[(row, component)]).collect();
                // An eigenvector has no sign of its own: its largest number is positive, so that a map looks the same again.
                let largest =
                    column.iter().copied().fold(0.0, |most: f64, one| if one.abs() > most.abs() { one } else { most });
                column.into_iter().map(|value| if largest < 0.0 { -value } else { value }).collect()
            })
            .collect();
        let means = weights.iter().map(|own| own.iter().zip(&moments.mean).map(|(w, mean)| w * mean).sum()).collect();
        let shares = values.iter().map(|value| if total > 0.0 { value.max(0.0) / total } else { 0.0 }).collect();
        Some(Self { shares, weights, means })
    }
}

/// All images of a run on two principal components of a head.
#[derive(Debug, Clone)]
pub struct HeadMap {
    /// Position of each image in the data set.
    pub images: Vec<u64>,
    /// Where each lies along both components; the head's mean is at zero.
    pub points: Vec<[f32; 2]>,
}

/// A part of the images, by their order along a direction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tenth {
    /// Smallest value in it.
    pub low: f32,
    /// Largest value in it.
    pub high: f32,
    /// Number of images in it.
    pub count: usize,
    /// Some of them at even steps, from small to large.
    pub images: Vec<Neighbour>,
}

/// Images from the whole range of a direction: a head is more than its ends.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tenths {
    /// Ten parts with as many images each, from small values to large ones; fewer if there are fewer images.
    pub parts: Vec<Tenth>,
    /// Mean over all images.
    pub mean: f64,
    /// Standard deviation over all images (n − 1).
    pub std: f64,
}

impl ExploreRun {
    /// Share of a head's variance that each of its principal components explains, largest first. Works without activations.
    pub fn component_shares(&self, head: HeadId) -> Result<Vec<f64>> {
        Ok(self.components(head)?.shares.clone())
    }

    /// All images on two principal components of a head, counted from 0.
    pub fn head_map(&self, head: HeadId, components: [usize; 2]) -> Result<HeadMap> {
        let [across, up] = [self.along_component(head, components[0])?, self.along_component(head, components[1])?];
        let points = across.into_iter().zip(up).map(|(x, y)| [x, y]).collect();
        Ok(HeadMap { images: self.rows()?.image_index.clone(), points })
    }

    /// Ten parts of the images by the order of their values ([`ExploreRun::along`]), with some images of each.
    pub fn tenths(&self, scores: &[f32], count: usize) -> Result<Tenths> {
        let rows = self.rows()?;
        let ordered = best(0..scores.len(), scores, scores.len(), true);
        let place = |part: usize| part * ordered.len() / PARTS;
        let parts = (0..PARTS).map(|part| &ordered[place(part)..place(part + 1)]).filter(|own| !own.is_empty());
        let parts = parts.map(|own| {
            let shown = count.min(own.len());
            let chosen: Vec<usize> = (0..shown).map(|at| own[(2 * at + 1) * own.len() / (2 * shown)]).collect();
            let images = self.named(&rows, &chosen, scores);
            Tenth { low: scores[own[0]], high: scores[own[own.len() - 1]], count: own.len(), images }
        });
        let (mean, std) = mean_and_std(scores);
        Ok(Tenths { parts: parts.collect(), mean, std })
    }

    /// Images as they are listed in answers, with a value each; positions that the run does not have are left out.
    pub fn images_at(&self, rows: &[usize], values: &[f32]) -> Result<Vec<Neighbour>> {
        Ok(self.named(&*self.rows()?, rows, values))
    }

    fn components(&self, head: HeadId) -> Result<Arc<Components>> {
        self.answers().components(head, || {
            let found = Components::new(self.readout(head)?, self.moments(head)?);
            found.ok_or_else(|| ExploreError::Invalid {
                what: "the moments of a head",
                found: format!("those of {head} have no principal components"),
                expected: "finite numbers".to_owned(),
            })
        })
    }

    /// Place of every image along a principal component, counted from 0, in row order; the head's mean is at zero.
    pub(crate) fn along_component(&self, head: HeadId, component: usize) -> Result<Vec<f32>> {
        let components = self.components(head)?;
        let weights = components.weights.get(component).ok_or_else(|| ExploreError::Invalid {
            what: "a principal component",
            found: (component + 1).to_string(),
            expected: format!("1 to {}", components.weights.len()),
        })?;
        let head_dim = self.readout(head)?.head_dim;
        let mut scalars = [0.0; Scalars::COUNT];
        scalars.iter_mut().zip(&weights[head_dim..]).for_each(|(own, weight)| *own = *weight as f32);
        let own = weights[..head_dim].iter().map(|weight| *weight as f32).collect();
        let functional = Functional { heads: vec![(own, self.column(head)?)], scalars };
        let mean = components.means[component] as f32;
        let mut found = functional.apply(&*self.rows()?);
        for value in &mut found {
            *value -= mean;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head of two dimensions that writes the first twice as large: its variance there counts four times.
    #[test]
    fn components_are_those_of_the_contributions() {
        let head = HeadId { layer: 0, head: 0 };
        let matrix =
            [[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]].iter().flat_map(|row| [row[0], row[1], 0.0, 0.0, 0.0]).collect();
        let readout = Readout { head, d: 3, head_dim: 2, matrix };
        let mut second_moment = vec![0.0; 25];
        (second_moment[0], second_moment[6]) = (1.0, 3.0);
        let moments = Moments { n: 1_000_000, mean: vec![0.0; 5], second_moment };
        let found = Components::new(&readout, &moments).expect("finite");
        assert!((found.shares[0] - 4.0 / 7.0).abs() < 1e-9 && (found.shares[1] - 3.0 / 7.0).abs() < 1e-9);
        assert!((found.weights[0][0] - 2.0).abs() < 1e-9 && found.weights[0][1].abs() < 1e-9, "{:?}", found.weights[0]);
        assert!((found.weights[1][1] - 1.0).abs() < 1e-9);
        assert!(found.shares[2].abs() < 1e-9);
    }
}
