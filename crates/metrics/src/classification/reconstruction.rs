//! Accuracy where each head's output is projected onto some directions, and everything else is replaced by its mean (arXiv 2310.05916,
//! section 4.3 and table 2).

use std::collections::BTreeMap;

use faer::{Accum, Mat, MatRef};
use headspan_artifacts::{
    ClassRow, HeadId, ImageRow, MomentsRow, ReconstructionRow, RunDirectory, Table, TextRow, TextspanRow, read_rows,
};
use headspan_headspace::{Moments, Readout, product, single_product};
use headspan_textspan::{TextPool, TextspanError, principal_directions, text_directions};
use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::classification::{
    ClassificationError, LabelledImages,
    accuracy::{Count, wilson},
    error::Result,
    means::HalfMeans,
    scores::{Block, Embeddings, Opened, block_size, each_block, is_highest, narrow, projected, wide},
};

/// What is reconstructed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconstructionPlan {
    /// Numbers of directions, ascending. A head that has fewer keeps all that it has.
    pub directions: Vec<usize>,
    /// Draws of random texts.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for ReconstructionPlan {
    fn default() -> Self {
        Self { directions: vec![0, 1, 2, 5, 10, 20, 40, 60], draws: 5, seed: 0 }
    }
}

/// Accuracy against the number of directions: of TEXTSPAN's texts as `textspan.parquet` has them, of random texts of the pool, and of principal
/// directions; beside that of the heads' whole output, and of the model. Means and principal directions come from one half of the images,
/// accuracy from the other. TEXTSPAN saw all images, but no class.
pub fn reconstructions(
    run: &RunDirectory,
    image_rows: &[ImageRow],
    classes: &[ClassRow],
    images: &LabelledImages,
    plan: &ReconstructionPlan,
) -> Result<Vec<ReconstructionRow>> {
    let Opened { embeddings, parts, readouts, heads } = Opened::new(run, image_rows, classes)?;
    let means = HalfMeans::read(&parts, &heads, images)?;
    let sources = Sources::read(run)?;
    let wide = embeddings.wide();
    let one = |(place, readout): (usize, &Readout)| {
        sources
            .spans(readout, &means.heads[place], place, plan)
            .map(|sets| Spoken::new(wide.as_ref(), readout, sets, plan))
    };
    let spoken: Vec<Spoken> = readouts.par_iter().enumerate().map(one).collect::<Result<_>>()?;
    let constant = product(wide.as_ref(), column(&means.representation).as_ref());
    let trial = Trial {
        constant: (0..embeddings.classes).map(|class| constant[(class, 0)] as f32).collect(),
        embeddings,
        spoken,
        means: means.heads.into_iter().map(|moments| moments.mean).collect(),
        sets: SETS + plan.draws,
        levels: plan.directions.len(),
    };
    let size = block_size(classes.len(), trial.levels + 4);
    let none = || vec![Count::default(); trial.counts()];
    let join = |mut one: Vec<Count>, other: Vec<Count>| {
        one.iter_mut().zip(other).for_each(|(sum, count)| {
            sum.images += count.images;
            sum.right += count.right;
        });
        one
    };
    let counts = each_block(&parts, &heads, images, size, none, |counts, block| trial.look(counts, block), join)?;
    Ok(rows(plan, &trial, &counts))
}

/// Sets of directions that are not drawn: texts and principal directions, in this order before the draws.
const SETS: usize = 2;

fn column(values: &[f64]) -> Mat<f64> {
    Mat::from_fn(values.len(), 1, |row, _| values[row])
}

/// Tables that directions come from.
struct Sources {
    moments: BTreeMap<HeadId, Moments>,
    picks: BTreeMap<HeadId, Vec<TextspanRow>>,
    texts: Vec<TextRow>,
}

impl Sources {
    fn read(run: &RunDirectory) -> Result<Self> {
        let moments: Vec<MomentsRow> = read_rows(&run.table(Table::Moments))?;
        let mut picks: BTreeMap<HeadId, Vec<TextspanRow>> = BTreeMap::new();
        for row in read_rows::<TextspanRow>(&run.table(Table::Textspan))? {
            picks.entry(row.head_id()).or_default().push(row);
        }
        for picks in picks.values_mut() {
            picks.sort_by_key(|row| row.pick);
        }
        Ok(Self {
            moments: moments.into_iter().map(|row| (row.head_id(), row.into())).collect(),
            picks,
            texts: read_rows(&run.table(Table::Texts))?,
        })
    }

    /// Orthonormal directions of a head as rows, `[k, d]`: of its texts, principal ones, then of each draw of texts.
    fn spans(
        &self,
        readout: &Readout,
        half: &Moments,
        place: usize,
        plan: &ReconstructionPlan,
    ) -> Result<Vec<Mat<f64>>> {
        let head = readout.head;
        let moments = self.moments.get(&head).ok_or(ClassificationError::NoMoments { head })?;
        let picks = self.picks.get(&head).ok_or(ClassificationError::NoTexts { head })?;
        let most = plan.directions.last().copied().unwrap_or(0);
        let rank = picks.first().and_then(|row| row.effective_rank).map_or(usize::MAX, |rank| rank as usize);
        let of_texts = |indices: Vec<usize>| -> Result<Mat<f64>, TextspanError> {
            let found = indices.iter().filter_map(|index| self.texts.get(*index));
            let embeddings: Vec<f32> = found.flat_map(|row| &row.embedding).copied().collect();
            text_directions(&readout.matrix, moments, &TextPool::new(&embeddings, readout.d)?, rank)
        };
        let spans = || -> Result<Vec<Mat<f64>>, TextspanError> {
            let picked = picks.iter().take(most).map(|row| row.text_index as usize).collect();
            let mut sets = vec![of_texts(picked)?, principal_directions(&readout.matrix, half, readout.d, rank)?];
            for draw in 0..plan.draws {
                let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
                random.set_stream((place as u64) << 32 | draw as u64);
                let count = most.min(self.texts.len());
                sets.push(of_texts(sample(&mut random, self.texts.len(), count).into_vec())?);
            }
            Ok(sets)
        };
        spans().map_err(|source| ClassificationError::Directions { head, source })
    }
}

/// A head, as the classes hear it along its directions.
struct Spoken {
    /// `E B`, `[classes, head_dim + 3]`.
    whole: Vec<f32>,
    /// By set and level: what the directions of this level that the one before does not have say.
    steps: Vec<Vec<Step>>,
}

/// Some directions `Q`, `[k, d]`.
struct Step {
    /// `Q B`, `[k, head_dim + 3]`.
    along: Vec<f32>,
    /// `E Qᵀ`, `[classes, k]`.
    heard: Vec<f32>,
    k: usize,
}

impl Spoken {
    /// `classes` are the embeddings, `[classes, d]`.
    fn new(classes: MatRef<'_, f64>, readout: &Readout, sets: Vec<Mat<f64>>, plan: &ReconstructionPlan) -> Self {
        let matrix = wide(&readout.matrix, readout.columns());
        let steps = |directions: Mat<f64>| -> Vec<Step> {
            let mut before = 0;
            let step = |level: &usize| {
                let (first, end) = (before.min(directions.nrows()), (*level).min(directions.nrows()));
                before = *level;
                let some = directions.as_ref().subrows(first, end - first);
                let along = narrow(&product(some, matrix.as_ref()));
                Step { along, heard: narrow(&product(classes, some.transpose())), k: end - first }
            };
            plan.directions.iter().map(step).collect()
        };
        Self { whole: narrow(&projected(classes, readout)), steps: sets.into_iter().map(steps).collect() }
    }
}

/// All that a block is looked at with.
struct Trial {
    embeddings: Embeddings,
    /// What the mean of `r/|r|` says to the classes, `[classes]`.
    constant: Vec<f32>,
    spoken: Vec<Spoken>,
    /// Mean of `u` of each head.
    means: Vec<Vec<f64>>,
    sets: usize,
    levels: usize,
}

impl Trial {
    /// Counts: of the model, of the heads' whole output, then of each set and level.
    fn counts(&self) -> usize {
        2 + self.sets * self.levels
    }

    fn look(&self, counts: &mut [Count], block: &Block<'_>) {
        let classes = self.embeddings.classes;
        let mut count = |at: usize, scores: &[f32]| {
            for (row, (class, _)) in scores.chunks_exact(classes).zip(block.labels) {
                counts[at].images += 1;
                counts[at].right += u64::from(is_highest(row, *class as usize));
            }
        };
        count(0, &self.embeddings.scores(block.batch, block.rows));
        let centred: Vec<Vec<f32>> =
            self.means.iter().enumerate().map(|(head, mean)| block.u(head, Some(mean))).collect();
        let still = || -> Vec<f32> { self.constant.repeat(block.images()) };
        let mut scores = still();
        for (spoken, u) in self.spoken.iter().zip(&centred) {
            single_product(&mut scores, u, &spoken.whole, u.len() / block.images(), Accum::Add);
        }
        count(1, &scores);
        for set in 0..self.sets {
            let mut scores = still();
            for level in 0..self.levels {
                for (spoken, u) in self.spoken.iter().zip(&centred) {
                    let Step { along, heard, k } = &spoken.steps[set][level];
                    if *k > 0 {
                        let mut amounts = vec![0.0; block.images() * k];
                        single_product(&mut amounts, u, along, u.len() / block.images(), Accum::Replace);
                        single_product(&mut scores, &amounts, heard, *k, Accum::Add);
                    }
                }
                count(2 + set * self.levels + level, &scores);
            }
        }
    }
}

fn rows(plan: &ReconstructionPlan, trial: &Trial, counts: &[Count]) -> Vec<ReconstructionRow> {
    let whole = counts[1].share();
    let row = |directions: &str, k: Option<usize>, count: Count| {
        let (ci_low, ci_high) = wilson(count.right, count.images);
        ReconstructionRow {
            directions: directions.to_owned(),
            k: k.map(|k| k as u32),
            n: count.images,
            accuracy: count.share(),
            ci_low,
            ci_high,
            kept: (whole > 0.0).then(|| count.share() / whole),
        }
    };
    let at = |set: usize, level: usize| counts[2 + set * trial.levels + level];
    let mut found = vec![row("model", None, counts[0]), row("all", None, counts[1])];
    for (set, name) in ["texts", "pca"].into_iter().enumerate() {
        found.extend(plan.directions.iter().enumerate().map(|(level, k)| row(name, Some(*k), at(set, level))));
    }
    if plan.draws > 0 {
        found.extend(plan.directions.iter().enumerate().map(|(level, k)| {
            let shares: Vec<f64> = (0..plan.draws).map(|draw| at(SETS + draw, level).share()).collect();
            let accuracy = shares.iter().sum::<f64>() / shares.len() as f64;
            ReconstructionRow {
                accuracy,
                // Of draws, not of images: the lowest and the highest.
                ci_low: shares.iter().copied().fold(f64::INFINITY, f64::min),
                ci_high: shares.iter().copied().fold(0.0, f64::max),
                kept: (whole > 0.0).then(|| accuracy / whole),
                ..row("random", Some(*k), at(SETS, level))
            }
        }));
    }
    found
}
