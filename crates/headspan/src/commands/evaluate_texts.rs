//! Maps of single texts against masks of rendered scenes: as the explorer makes them, by what is subtracted.

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_images::RgbImage8;
use headspan_query::{Carried, TextScore, TextTrial, class_texts, rank_correlation};
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
    pool: Vec<f32>,
}

impl<'a> Texts<'a> {
    /// A trial of texts; `embed` gives the embeddings of some, `make` the trial of texts and baselines.
    pub(super) fn new(
        names: Vec<String>,
        embed: impl Fn(&[String]) -> Result<Vec<Vec<f32>>>,
        make: impl FnOnce(Vec<Vec<f32>>, Vec<Vec<f32>>) -> Result<TextTrial<'a>>,
    ) -> Result<Self> {
        let classes: Vec<String> = Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
        let classes = embed(&class_texts(&classes))?;
        let pool = embed(&descriptions().into_iter().map(|one| one.text).collect::<Vec<_>>())?;
        let trial = make(embed(&names)?, vec![mean(&classes), mean(&pool), Vec::new()])?;
        Ok(Self { trial, names, pool: pool.concat() })
    }

    /// Scores an image: the place of each text, and its mask.
    pub(super) fn add(&mut self, image: &RgbImage8, asked: &[(usize, &RgbImage8)]) -> Result<()> {
        Ok(self.trial.add(image, asked)?)
    }

    fn scored(&self) -> Vec<TextScore> {
        self.trial.texts(&self.pool)
    }

    /// Rank correlation, over texts with enough maps, of what the heads carry with the precision by default.
    fn correlation(scored: &[TextScore], of: fn(&Carried) -> f64) -> Option<(f64, usize)> {
        let pair = |one: &TextScore| Some((of(one.carried.as_ref()?), one.precision[0]));
        let pairs: Vec<(f64, f64)> = scored.iter().filter(|one| one.maps >= FEWEST_MAPS).filter_map(pair).collect();
        Some((rank_correlation(&pairs)?, pairs.len()))
    }

    pub(super) fn json(&self) -> Value {
        let scored = self.scored();
        let baselines = BASELINES.iter().zip(self.trial.precision());
        let baselines: Vec<Value> = baselines
            .map(|((baseline, _), precision)| json!({ "baseline": baseline, "foreground_precision": precision }))
            .collect();
        let texts: Vec<Value> = scored
            .iter()
            .map(|one| {
                json!({
                    "text": self.names[one.text], "maps": one.maps, "foreground_precision": one.precision[0],
                    "carried": one.carried,
                })
            })
            .collect();
        let correlation = Self::correlation(&scored, |carried| carried.times);
        json!({
            "images": self.trial.images(), "baselines": baselines, "texts": texts,
            "rank_correlation": correlation.map(|(found, _)| found),
            "rank_correlation_texts": correlation.map(|(_, texts)| texts),
        })
    }

    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.set_header(["map of one text", "AP of foreground"]);
        for ((_, name), precision) in BASELINES.iter().zip(self.trial.precision()) {
            table.add_row([Cell::new(name), Cell::new(percent(precision)).set_alignment(CellAlignment::Right)]);
        }
        let correlation = Self::correlation(&self.scored(), |carried| carried.times);
        let correlation = correlation.map_or_else(
            || format!("fewer than two texts have {FEWEST_MAPS} maps"),
            |(found, texts)| format!("rank correlation of the carried variance with AP over {texts} texts: {found:.2}"),
        );
        format!("Two things in a scene, one text by itself:\n{table}\n{} images; {correlation}", self.trial.images())
    }
}

fn mean(rows: &[Vec<f32>]) -> Vec<f32> {
    let d = rows.first().map_or(0, Vec::len);
    (0..d).map(|at| rows.iter().map(|row| row[at]).sum::<f32>() / rows.len() as f32).collect()
}
