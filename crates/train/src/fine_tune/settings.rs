use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};

/// How a trained model is trained further on labelled images. With the images and the checkpoint it fixes everything: the same settings on the
/// same device give the same weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuning {
    /// Seed of the order of the images, of templates, crops and patches.
    pub seed: u64,
    /// How often each image is seen.
    pub epochs: f64,
    /// Images of one step.
    pub batch_size: usize,
    /// Parts of a batch that go through the model side by side, a thread each: 1 on a GPU, the number of cores elsewhere.
    pub parts: usize,
    /// Highest learning rate, reached at the end of the warm-up.
    pub learning_rate: f64,
    /// Share of the steps over which the learning rate rises from zero; then it falls to zero along a cosine.
    pub warmup: f64,
    /// `AdamW`'s decay of the weights.
    pub weight_decay: f32,
    /// `AdamW`'s second decay rate.
    pub beta_2: f32,
    /// Largest norm of one tensor's gradient.
    pub clip_norm: f32,
    /// Share of the patches that a step leaves out, others of each image (arXiv 2212.00794).
    pub patch_dropout: f32,
    /// What of the image tower is trained.
    pub blocks: TrainedBlocks,
    /// Whether the text tower is trained.
    pub text_tower: bool,
    /// Captions of an image, `{}` standing for the name of its class; a step draws one for each image.
    pub templates: Vec<String>,
    /// Smallest share of an image's area that a step sees: a square cut out at random. 1 leaves images whole.
    pub crop: f32,
    /// Whether every other image is mirrored, at random.
    pub flip: bool,
    /// Share of the images that are held out to measure accuracy, where no others are given for that.
    pub held_out: f64,
    /// Steps between two checkpoints, each with a measurement on held-out images.
    pub checkpoint_steps: u64,
    /// Share of the trained weights in the model that is written, the rest being the weights before (`WiSE-FT`, arXiv 2109.01903).
    pub interpolate: f64,
}

impl Default for FineTuning {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 1.0,
            batch_size: 64,
            parts: 1,
            learning_rate: 1e-5,
            warmup: 0.1,
            weight_decay: 0.1,
            beta_2: 0.98,
            clip_norm: 1.0,
            patch_dropout: 0.0,
            blocks: TrainedBlocks::All,
            text_tower: true,
            templates: vec!["a photo of a {}".to_owned(), "a picture of a {}".to_owned(), "{}".to_owned()],
            crop: 1.0,
            flip: false,
            held_out: 0.05,
            checkpoint_steps: 250,
            interpolate: 1.0,
        }
    }
}

/// What of the image tower is trained: `all`, the last blocks with what comes behind them (`last:4`), or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TrainedBlocks {
    /// Everything.
    All,
    /// The last blocks, the norm behind them and the projection.
    Last(usize),
    /// Nothing: the text tower alone.
    None,
}

impl FromStr for TrainedBlocks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("last:").map(str::parse)) {
            ("all", _) => Ok(Self::All),
            ("none", _) => Ok(Self::None),
            (_, Some(Ok(count))) if count > 0 => Ok(Self::Last(count)),
            _ => Err(format!("`{text}` is not understood: expected all, none or last:N")),
        }
    }
}

impl TryFrom<String> for TrainedBlocks {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TrainedBlocks> for String {
    fn from(blocks: TrainedBlocks) -> Self {
        blocks.to_string()
    }
}

impl fmt::Display for TrainedBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Last(count) => write!(f, "last:{count}"),
            Self::None => f.write_str("none"),
        }
    }
}

impl FineTuning {
    /// Steps for so many images.
    pub fn steps(&self, images: usize) -> u64 {
        ((self.epochs * images as f64 / self.batch_size as f64).ceil() as u64).max(1)
    }

    pub(crate) fn warmup_steps(&self, steps: u64) -> u64 {
        (self.warmup * steps as f64) as u64
    }

    /// Checks that every value is one that can be trained with.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &'static str, what: String| Err(TrainError::Recipe { key, what });
        let shares =
            [("warmup", self.warmup), ("held_out", self.held_out), ("patch_dropout", f64::from(self.patch_dropout))];
        if let Some((key, value)) = shares.into_iter().find(|(_, value)| !(0.0..1.0).contains(value)) {
            return wrong(key, format!("{value}: expected 0 or more, below 1"));
        }
        let rates =
            [("learning_rate", self.learning_rate), ("clip_norm", f64::from(self.clip_norm)), ("epochs", self.epochs)];
        if let Some((key, value)) = rates.into_iter().find(|(_, value)| !value.is_finite() || *value <= 0.0) {
            return wrong(key, format!("{value}: expected a finite number above 0"));
        }
        let [crop, interpolate] = [f64::from(self.crop), self.interpolate];
        if !(crop > 0.0 && crop <= 1.0) {
            return wrong("crop", format!("{crop}: expected a share above 0, at most 1"));
        }
        if !(0.0..=1.0).contains(&interpolate) {
            return wrong("interpolate", format!("{interpolate}: expected a share from 0 to 1"));
        }
        if self.batch_size < 2 {
            return wrong("batch_size", format!("{}: a contrast needs at least 2", self.batch_size));
        }
        if self.parts == 0 || !self.batch_size.is_multiple_of(self.parts) {
            return wrong("parts", format!("{} does not divide batch_size {}", self.parts, self.batch_size));
        }
        if self.checkpoint_steps == 0 {
            return wrong("checkpoint_steps", "0: expected 1 or more".to_owned());
        }
        if self.templates.is_empty() || self.templates.iter().any(|template| !template.contains("{}")) {
            return wrong("templates", "each needs `{}`, which stands for the name of the class".to_owned());
        }
        if self.blocks == TrainedBlocks::None && !self.text_tower {
            return wrong("blocks", "nothing is trained: neither blocks nor the text tower".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_trained_with_are_named() {
        FineTuning::default().check().expect("the default can be trained with");
        let said = |change: fn(&mut FineTuning)| {
            let mut settings = FineTuning::default();
            change(&mut settings);
            settings.check().err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(said(|all| all.epochs = 0.0).contains("epochs: 0: expected a finite number above 0"));
        assert!(said(|all| all.parts = 3).contains("3 does not divide batch_size 64"));
        assert!(said(|all| all.templates = vec!["a photo".to_owned()]).contains("templates"));
        assert!(said(|all| all.held_out = 1.0).contains("held_out"));
        assert!(said(|all| (all.blocks, all.text_tower) = (TrainedBlocks::None, false)).contains("nothing is trained"));
        assert_eq!("last:4".parse(), Ok(TrainedBlocks::Last(4)));
        assert!("last:0".parse::<TrainedBlocks>().is_err());
    }

    #[test]
    fn epochs_become_steps() {
        let settings = FineTuning { epochs: 2.0, batch_size: 64, ..FineTuning::default() };
        assert_eq!((settings.steps(1000), settings.steps(1)), (32, 1));
    }
}
