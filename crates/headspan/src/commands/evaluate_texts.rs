//! Maps of single texts against masks of rendered scenes: as the explorer makes them, by what is subtracted.

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_images::RgbImage8;
use headspan_query::{TextScore, TextTrial, class_texts, rank_correlation};
use headspan_scenes::{Attribute, Kind, descriptions};
use serde_json::{Value, json};

use crate::commands::percent;

/// Maps of fewer images of a text say little of the text.
const FEWEST_MAPS: usize = 5;

/// What is subtracted, in the order of the trial's baselines.
const BASELINES: [(&str, &str); 3] = [
    ("classes", "less the mean of the class names (default)"),
    ("pool", "less the mean of the pool"),
    ("none", "as published"),
];

/// A trial of single texts.
pub(super) struct Texts<'a> {
    trial: TextTrial<'a>,
    names: Vec<String>,
}

impl<'a> Texts<'a> {
    /// A trial of texts; `embed` gives the embeddings of some, `make` the trial of texts, baselines and pool.
    pub(super) fn new(
        names: Vec<String>,
        embed: impl Fn(&[String]) -> Result<Vec<Vec<f32>>>,
        make: impl FnOnce(Vec<Vec<f32>>, Vec<Vec<f32>>, Vec<f32>) -> Result<TextTrial<'a>>,
    ) -> Result<Self> {
        let classes: Vec<String> = Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
        let classes = embed(&class_texts(&classes))?;
        let pool = embed(&descriptions().into_iter().map(|one| one.text).collect::<Vec<_>>())?;
        let trial = make(embed(&names)?, vec![mean(&classes), mean(&pool), Vec::new()], pool.concat())?;
        Ok(Self { trial, names })
    }

    /// Scores an image: the place of each text, and its mask.
    pub(super) fn add(&mut self, image: &RgbImage8, asked: &[(usize, &RgbImage8)]) -> Result<()> {
        Ok(self.trial.add(image, asked)?)
    }

    /// Rank correlation, over texts with enough maps, of a figure with the precision by default.
    fn correlation(scored: &[TextScore], of: fn(&TextScore) -> Option<f64>) -> Option<f64> {
        let enough = scored.iter().filter(|one| one.maps >= FEWEST_MAPS);
        let pairs: Vec<(f64, f64)> = enough.filter_map(|one| Some((of(one)?, one.precision[0]))).collect();
        rank_correlation(&pairs)
    }

    /// Rank correlations of the margin and of the carried variance, and the number of texts.
    fn correlations(scored: &[TextScore]) -> (Option<f64>, Option<f64>, usize) {
        let margin = Self::correlation(scored, |one| Some(one.margin));
        let variance = Self::correlation(scored, |one| one.carried.map(|carried| carried.times));
        (margin, variance, scored.iter().filter(|one| one.maps >= FEWEST_MAPS).count())
    }

    pub(super) fn json(&self) -> Value {
        let scored = self.trial.texts();
        let baselines = BASELINES.iter().zip(self.trial.precision());
        let baselines: Vec<Value> = baselines
            .map(|((baseline, _), precision)| json!({ "baseline": baseline, "foreground_precision": precision }))
            .collect();
        let texts: Vec<Value> = scored
            .iter()
            .map(|one| {
                json!({
                    "text": self.names[one.text], "maps": one.maps, "foreground_precision": one.precision[0],
                    "margin": one.margin, "carried": one.carried,
                })
            })
            .collect();
        let (margin, variance, count) = Self::correlations(&scored);
        json!({
            "images": self.trial.images(), "baselines": baselines, "texts": texts,
            "rank_correlation": { "margin": margin, "variance": variance, "texts": count },
        })
    }

    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.set_header(["map of one text", "AP of foreground"]);
        for ((_, name), precision) in BASELINES.iter().zip(self.trial.precision()) {
            table.add_row([Cell::new(name), Cell::new(percent(precision)).set_alignment(CellAlignment::Right)]);
        }
        let (margin, variance, texts) = Self::correlations(&self.trial.texts());
        let shown = |found: Option<f64>| found.map_or_else(|| "n/a".to_owned(), |found| format!("{found:.2}"));
        format!(
            "Two things in a scene, one text by itself:\n{table}\n{} images; rank correlation with AP over {texts} texts: {} (margin over \
             texts of the pool), {} (carried variance)",
            self.trial.images(),
            shown(margin),
            shown(variance)
        )
    }
}

fn mean(rows: &[Vec<f32>]) -> Vec<f32> {
    let d = rows.first().map_or(0, Vec::len);
    (0..d).map(|at| rows.iter().map(|row| row[at]).sum::<f32>() / rows.len() as f32).collect()
}
