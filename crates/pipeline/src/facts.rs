//! What the figures of a run were made with, as its records have it.

use std::path::Path;

use headspan_artifacts::{Fact, Fingerprint, RunDirectory, RunFacts, StageRecord};
use headspan_model::Precision;
use serde_json::{Value, json};

use crate::{
    error::Result,
    pools::built_in_fingerprint,
    provenance::Provenance,
    settings::{BUILT_IN, Settings},
    stage::stage,
    stages::{IMAGES, LABEL, METRICS, POOL_FILE, TEXTS, TEXTSPAN, metrics_slice},
};

/// What the figures of a run's labels by `labeller` were made with. A run of nothing but labels knows little of it.
pub fn facts(run: &RunDirectory, labeller: &str) -> Result<RunFacts> {
    let mut facts = RunFacts::default();
    if let Some(record) = run.record(IMAGES)? {
        note_images(&mut facts, &record)?;
    }
    if let Some(record) = run.record(TEXTS)? {
        note_pool(&mut facts, &record);
    }
    if let Some(record) = run.record(TEXTSPAN)? {
        for (fact, key) in [(Fact::K, "texts"), (Fact::Rank, "rank")] {
            let value = record.config[key].to_string();
            facts.note(fact, value.clone(), value);
        }
    }
    note_labeller(&mut facts, run.record(LABEL)?.as_ref(), labeller);
    if let Some(record) = run.record(METRICS)? {
        note_scores(&mut facts, &record);
    }
    Ok(facts)
}

fn note_images(facts: &mut RunFacts, record: &StageRecord) -> Result<()> {
    let Provenance { data, .. } = Provenance::of(record)?;
    let place = data.map(|data| format!(" of {}", ending(&data.path))).unwrap_or_default();
    let identity = record.inputs.get("dataset").cloned().unwrap_or_default();
    facts.note(Fact::Images, format!("{}{place} ({})", record.rows, short(&identity)), identity);
    let layers = record.config["layers"].as_str().unwrap_or_default().to_owned();
    facts.note(Fact::Layers, layers.clone(), layers);
    // Named only where it is not the default.
    let precision = record.config.get("precision").cloned().unwrap_or_else(|| json!(Precision::Float32));
    let precision = precision.as_str().unwrap_or_default().to_owned();
    facts.note(Fact::Precision, precision.clone(), precision);
    Ok(())
}

fn note_pool(facts: &mut RunFacts, record: &StageRecord) {
    let identity = record.inputs.get("descriptions").cloned().unwrap_or_default();
    let file = record.figures.get(POOL_FILE).and_then(Value::as_str);
    let name = match file {
        _ if identity == built_in_fingerprint() => BUILT_IN.to_owned(),
        Some(file) => format!("{} ({})", ending(Path::new(file)), short(&identity)),
        None => short(&identity).to_owned(),
    };
    facts.note(Fact::Pool, format!("{} of {name}", record.rows), identity);
}

/// Of a labeller whose labels were kept beside newer ones nothing but the name is known.
fn note_labeller(facts: &mut RunFacts, record: Option<&StageRecord>, labeller: &str) {
    let record = record.filter(|record| record.config["labeller"] == json!(labeller));
    let Some(record) = record else { return facts.note(Fact::Labeller, labeller, labeller) };
    let tables = stage(LABEL).map(|stage| stage.inputs()).unwrap_or_default();
    let files: Vec<_> = record.inputs.iter().filter(|(name, _)| !tables.contains(&name.as_str())).collect();
    let identity = json!({ "config": record.config, "files": files });
    let settings = &record.config["settings"];
    let detail = match settings["model"].as_str() {
        Some(model) => format!(" {model}"),
        None if settings == &labeller_default(labeller) && files.is_empty() => String::new(),
        None => format!(" ({})", short(&hash(&identity))),
    };
    facts.note(Fact::Labeller, format!("{labeller}{detail}"), identity.to_string());
}

/// A labeller's settings by default.
fn labeller_default(name: &str) -> Value {
    let settings = Settings::default().label;
    name.parse::<headspan_label::LabellerName>().map_or(Value::Null, |name| name.labeller().slice(&settings))
}

fn note_scores(facts: &mut RunFacts, record: &StageRecord) {
    let scores = &record.config["scores"];
    let mut words = format!("{} of {} texts", scores["association_threshold"], scores["texts"]);
    let usual = metrics_slice(&Settings::default()).is_ok_and(|usual| usual == record.config);
    if !usual {
        words.push_str(&format!(" ({})", short(&hash(&record.config))));
    }
    facts.note(Fact::Scores, words, record.config.to_string());
}

fn hash(value: &Value) -> String {
    Fingerprint::builder("fact", 1).config(value).finish().to_string()
}

/// Enough of a hash to tell two things apart.
fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

/// The last two parts of a path: enough to recognise it.
fn ending(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).filter(|part| part != "/").collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_by_their_ends() {
        assert_eq!(ending(Path::new("/data/imagenet/val")), "imagenet/val");
        assert_eq!(ending(Path::new("/data")), "data");
        assert_eq!(ending(Path::new("pool.csv")), "pool.csv");
        assert_eq!(short("0123456789ab"), "01234567");
        assert_eq!(short(""), "");
    }
}
