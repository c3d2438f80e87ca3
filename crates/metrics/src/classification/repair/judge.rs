//! Counts of images that are classified rightly without sets of heads.

use headspan_artifacts::{HeadId, ImageRow, PartReader, RunDirectory};
use headspan_headspace::{Moments, Readout};

use crate::classification::{
    LabelledImages,
    accuracy::{Count, worst},
    error::Result,
    means::HalfMeans,
    repair::{
        Classifier,
        learned::{Learner, Rule},
    },
    scores::{Block, Opened, block_size, each_block, is_highest, sources},
    trials::{Heard, Trial},
};

/// Bytes that the rules of learned classifiers take at once, at most.
const RULES: usize = 256 << 20;

/// Which of the halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// The one that gives means and choices.
    Choice,
    /// The one that gives accuracy.
    Accuracy,
}

/// Images that are classified rightly, of all and by group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) all: Count,
    pub(super) groups: Vec<Count>,
}

impl Counts {
    /// Position of the group with the lowest accuracy.
    pub(super) fn worst(&self) -> Option<usize> {
        worst(&self.groups)
    }

    /// Accuracy of that group; of all images where no group has any.
    pub(super) fn worst_share(&self) -> f64 {
        self.worst().map_or(self.all, |group| self.groups[group]).share()
    }
}

/// Classifies the images of a run without some heads.
pub(super) struct Judge {
    parts: Vec<PartReader>,
    readouts: Vec<Readout>,
    heads: Vec<HeadId>,
    means: HalfMeans,
    how: How,
    accuracy: LabelledImages,
    choice: LabelledImages,
}

enum How {
    Told(Heard),
    Learned(Learner),
}

impl Judge {
    pub(super) fn new(
        run: &RunDirectory,
        image_rows: &[ImageRow],
        images: &LabelledImages,
        classifier: &Classifier,
    ) -> Result<Self> {
        let (accuracy, choice) = (images.clone(), images.other_half());
        match classifier {
            Classifier::Zeroshot(classes) => {
                let Opened { embeddings, parts, readouts, heads } = Opened::new(run, image_rows, classes)?;
                let means = HalfMeans::read(&parts, &heads, images)?;
                let how = How::Told(Heard::new(embeddings, &readouts, &means, false));
                Ok(Self { parts, readouts, heads, means, how, accuracy, choice })
            }
            Classifier::Learned { correlation } => {
                let (parts, readouts) = sources(run, image_rows)?;
                let heads: Vec<HeadId> = readouts.iter().map(|readout| readout.head).collect();
                let means = HalfMeans::read(&parts, &heads, images)?;
                let how = How::Learned(Learner::read(&parts, &readouts, &means, images, correlation.as_ref())?);
                Ok(Self { parts, readouts, heads, means, how, accuracy, choice })
            }
        }
    }

    /// The heads, in the order of their positions.
    pub(super) fn heads(&self) -> &[HeadId] {
        &self.heads
    }

    /// Readouts with the moments of `u` over the half that gives choices.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (&Readout, &Moments)> {
        self.readouts.iter().zip(&self.means.heads)
    }

    /// Counts of each trial over one half.
    pub(super) fn counts(&self, half: Half, trials: &[Trial]) -> Result<Vec<Counts>> {
        let images = if half == Half::Accuracy { &self.accuracy } else { &self.choice };
        match &self.how {
            How::Told(heard) => {
                let size = block_size(heard.classes(), self.heads.len() + 4);
                let look = |tally: &mut Tally, block: &Block<'_>| {
                    let (said, mut scores) = (heard.said(block), Vec::new());
                    tally.count_images(block);
                    for (number, trial) in trials.iter().enumerate() {
                        trial.scores(heard, &said, &mut scores);
                        tally.count_right(number, &scores, block);
                    }
                };
                self.tally(images, size, trials.len(), look)
            }
            How::Learned(learner) => {
                let heads = trials.iter().map(|trial| trial.heads.len()).max().unwrap_or(0);
                let at_once = (RULES / learner.bytes_of_rule(heads).max(1)).max(1);
                let mut found = Vec::with_capacity(trials.len());
                for some in trials.chunks(at_once) {
                    let rules: Vec<Rule> = some.iter().map(|trial| learner.rule(trial)).collect();
                    let look = |tally: &mut Tally, block: &Block<'_>| {
                        let (seen, mut scores) = (learner.seen(block, &rules), Vec::new());
                        tally.count_images(block);
                        for (number, rule) in rules.iter().enumerate() {
                            rule.scores(&seen, &mut scores);
                            tally.count_right(number, &scores, block);
                        }
                    };
                    let size = block_size(1, learner.numbers_per_image());
                    found.extend(self.tally(images, size, some.len(), look)?);
                }
                Ok(found)
            }
        }
    }

    fn tally(
        &self,
        images: &LabelledImages,
        size: usize,
        trials: usize,
        look: impl Fn(&mut Tally, &Block<'_>) + Sync + Send,
    ) -> Result<Vec<Counts>> {
        let wide = 1 + images.groups().len();
        let none = || Tally { images: vec![0; wide], right: vec![0; trials * wide] };
        let found = each_block(&self.parts, &self.heads, images, size, none, look, Tally::join)?;
        Ok(found.counts())
    }
}

/// Images, and those that are right by trial: of all, then by group.
struct Tally {
    images: Vec<u32>,
    right: Vec<u32>,
}

impl Tally {
    fn count_images(&mut self, block: &Block<'_>) {
        for (_, labels) in block.labels {
            self.images[0] += 1;
            if let Some(group) = labels.group {
                self.images[1 + group as usize] += 1;
            }
        }
    }

    fn count_right(&mut self, trial: usize, scores: &[f32], block: &Block<'_>) {
        let wide = self.images.len();
        let right = &mut self.right[trial * wide..][..wide];
        let classes = scores.len() / block.images();
        for (row, (class, labels)) in scores.chunks_exact(classes).zip(block.labels) {
            let is_right = u32::from(is_highest(row, *class as usize));
            right[0] += is_right;
            if let Some(group) = labels.group {
                right[1 + group as usize] += is_right;
            }
        }
    }

    fn join(mut self, other: Self) -> Self {
        for (own, theirs) in [(&mut self.images, other.images), (&mut self.right, other.right)] {
            own.iter_mut().zip(theirs).for_each(|(sum, count)| *sum += count);
        }
        self
    }

    fn counts(&self) -> Vec<Counts> {
        let of = |right: &[u32]| {
            let mut counts = self
                .images
                .iter()
                .zip(right)
                .map(|(images, right)| Count { images: (*images).into(), right: (*right).into() });
            let all = counts.next().unwrap_or_default();
            Counts { all, groups: counts.collect() }
        };
        self.right.chunks_exact(self.images.len()).map(of).collect()
    }
}
