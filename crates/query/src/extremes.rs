use std::sync::Arc;

use headspan_artifacts::{HeadId, Table};
use headspan_textspan::{Settings, TextPool, textspan};
use serde::Serialize;

use crate::{
    error::{ExploreError, Result},
    neighbours::{Neighbour, Query, best, mean_and_std},
    run::ExploreRun,
};

/// What of a head is taken to its ends.
#[derive(Debug, Clone, Copy)]
pub enum ExtremesRequest<'a> {
    /// Projection of the contribution on a text's embedding of unit norm, `[d]`.
    Text(&'a [f32]),
    /// Projection on the direction that TEXTSPAN's pick of this rank removed: the text less what the picks before it say.
    Pick(usize),
    /// Distance of the contribution from the head's mean over the run: what the head tells apart most.
    Distance,
    /// Place along a principal component of the head's contributions, counted from 0, the one of most variance.
    Component(usize),
}

/// Both ends of a head's range, and some of what lies between.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Extremes {
    /// The head.
    pub head: HeadId,
    /// Images with the largest values, largest first.
    pub largest: Vec<Neighbour>,
    /// Images with the smallest values, smallest first.
    pub smallest: Vec<Neighbour>,
    /// Images at even steps between, from large to small: a head is more than its ends.
    pub between: Vec<Neighbour>,
    /// Mean over all images.
    pub mean: f64,
    /// Standard deviation over all images (n − 1).
    pub std: f64,
}

impl ExploreRun {
    /// The `count` images at each end of what a head says, and as many between. Answers that depend on the run alone are kept.
    pub fn extremes(&self, head: HeadId, request: ExtremesRequest<'_>, count: usize) -> Result<Extremes> {
        self.readout(head)?;
        let found = || self.ends(head, &self.along(head, request)?, count);
        match request {
            ExtremesRequest::Text(_) | ExtremesRequest::Component(_) => found(),
            ExtremesRequest::Pick(rank) => self.answers().extremes((head, Some(rank), count), found),
            ExtremesRequest::Distance => self.answers().extremes((head, None, count), found),
        }
    }

    /// Value of every image of the run along what is asked for, in row order.
    pub fn along(&self, head: HeadId, request: ExtremesRequest<'_>) -> Result<Vec<f32>> {
        match request {
            ExtremesRequest::Text(embedding) => {
                let direction = self.direction(Query::Text(embedding), &[head])?;
                self.scores(&direction, &[head])
            }
            ExtremesRequest::Pick(rank) => {
                let directions = self.pick_directions(head)?;
                let direction = directions.get(rank).ok_or_else(|| ExploreError::Invalid {
                    what: "the rank of a text",
                    found: rank.to_string(),
                    expected: format!("below {}, the number of texts of {head}", directions.len()),
                })?;
                self.scores(direction, &[head])
            }
            ExtremesRequest::Distance => self.norms(&[head], Some(&self.moments(head)?.mean)),
            ExtremesRequest::Component(component) => self.along_component(head, component),
        }
    }

    fn ends(&self, head: HeadId, scores: &[f32], count: usize) -> Result<Extremes> {
        let rows = self.rows()?;
        let ordered = best(0..scores.len(), scores, scores.len(), false);
        let count = count.min(ordered.len());
        let step = |index: usize| ordered[(2 * index + 1) * ordered.len() / (2 * count)];
        let between: Vec<usize> = (0..count).map(step).collect();
        let (mean, std) = mean_and_std(scores);
        let smallest: Vec<usize> = ordered.iter().rev().take(count).copied().collect();
        Ok(Extremes {
            head,
            largest: self.named(&rows, &ordered[..count], scores),
            smallest: self.named(&rows, &smallest, scores),
            between: self.named(&rows, &between, scores),
            mean,
            std,
        })
    }

    /// Directions that a head's picks of TEXTSPAN removed, each `[d]`, of unit norm. Among the head's own picks alone TEXTSPAN
    /// picks the same ones in the same order, so the rest of the pool is not needed.
    fn pick_directions(&self, head: HeadId) -> Result<Arc<Vec<Vec<f64>>>> {
        self.answers().directions(head, || {
            let (readout, picks, pool) = (self.readout(head)?, self.textspan(head), self.pool()?);
            if picks.is_empty() {
                return Ok(Vec::new());
            }
            let picked = picks.iter().filter_map(|pick| pool.embedding(pick.text_index as usize));
            let embeddings: Vec<f32> = picked.flatten().copied().collect();
            let pool = TextPool::new(&embeddings, readout.d)?;
            let record = self.directory().record(Table::Textspan.name())?;
            let configured = record.and_then(|record| record.config.get("rank")?.as_u64());
            let settings = Settings { texts: picks.len(), rank: configured.map_or(usize::MAX, |rank| rank as usize) };
            let basis = textspan(&readout.matrix, self.moments(head)?, &pool, &settings)?;
            Ok((0..picks.len()).map_while(|pick| basis.direction(pick)).collect())
        })
    }
}
