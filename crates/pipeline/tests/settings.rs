//! Which stages a setting reruns: every setting is changed, one after another, and the stages whose fingerprint changes are
//! held against the table in `docs/settings.md`. `HEADSPAN_WRITE_DOCS=1 cargo test` writes the table anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use headspan_artifacts::{RunDirectory, RunId, StageRecord};
use headspan_images::Dataset;
use headspan_pipeline::{
    ModelChoice, ModelSource, Pools, RunModel, STAGES, Scope, Settings, Silent, Sources, StagePlan, VALUES, demo,
};
use headspan_scenes::{DatasetFormat, World, write_dataset};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");

/// Key and value of a setting, and of another that it counts only with.
type OtherValue = (&'static str, Value, Option<(&'static str, Value)>);

/// A folder with everything that settings can point at.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Result<Self, Failure> {
        let place = Self { folder: tempfile::tempdir()? };
        let world = World { seed: 3, captions: 0, ..World::default() };
        write_dataset(&world, 6, DatasetFormat::Folder, &place.path("one"))?;
        write_dataset(&World { seed: 4, ..world }, 7, DatasetFormat::Folder, &place.path("other"))?;
        fs_err::write(place.path("pool.txt"), "a cat\na dog\n")?;
        fs_err::write(place.path("prompts.csv"), "text,category\nan animal,animals\n")?;
        fs_err::write(place.path("synonyms.toml"), "")?;
        fs_err::write(place.path("labels.csv"), "model,layer,head,property\nscenes-4,0,0,sky\n")?;
        let prompts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/prompts");
        fs_err::create_dir(place.path("prompts"))?;
        for name in ["label.toml", "judge.toml"] {
            let text = fs_err::read_to_string(prompts.join(name))?;
            fs_err::write(place.path("prompts").join(name), format!("# changed\n{text}"))?;
        }
        let classes = fs_err::read_to_string(place.path("one").join("classes.txt"))?;
        fs_err::write(place.path("classes.txt"), format!("another\n{classes}"))?;
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings { runs: self.path("runs"), ..Settings::default() };
        settings.data.path = self.path("one").join("images");
        settings
    }

    /// Fingerprint of each stage, every stage before it taken as it would be made.
    fn fingerprints(&self, settings: &Settings, model: &str) -> Result<BTreeMap<&'static str, String>, Failure> {
        let source = match &settings.checkpoint {
            Some(folder) => ModelSource::Folder(folder.clone()),
            None => ModelSource::Folder(demo::BuiltInModel::find(model).ok_or(model)?.unpack(&self.path("models"))?),
        };
        let model = RunModel::open(&ModelChoice { id: model.to_owned(), source }, settings.device, &settings.model)?;
        let (dataset, pools) = (Dataset::open(&settings.data)?, Pools::read(&settings.texts)?);
        let empty = tempfile::tempdir()?;
        let run = RunDirectory::create(empty.path(), &RunId::new("any", "any")?)?;
        let scope = Scope::of_run(settings, &run, &Silent);
        let scope = scope.with(Sources { model: &model, dataset: &dataset, pools: &pools });
        let mut found = BTreeMap::new();
        for stage in STAGES.iter().copied() {
            let plan = StagePlan::of(stage, &scope)?;
            found.insert(stage.name(), plan.fingerprint().to_owned());
            run.commit(&record(&plan))?;
        }
        Ok(found)
    }

    /// Another value of each setting, by its key; and what has to be set as well for the setting to count.
    fn other_values(&self) -> Vec<OtherValue> {
        let openai = || Some(("label.labeller", json!("openai")));
        let path = |name: &str| json!(self.path(name));
        vec![
            ("runs", path("elsewhere"), None),
            ("dataset", json!("photos"), None),
            ("models", json!(["ViT-L-14"]), None),
            ("checkpoint", json!(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/scenes-6")), None),
            ("device", json!("wgpu"), None),
            ("model.architecture", json!("ViT-B-32"), None),
            ("model.quick_gelu", json!(true), None),
            ("model.image_size", json!(32), None),
            ("data.path", json!(self.path("other").join("images")), None),
            ("data.kind", json!("folder"), None),
            ("data.classes", path("classes.txt"), None),
            ("data.root", path("one"), None),
            ("data.path_column", json!("file"), None),
            ("data.class_column", json!("label"), None),
            ("data.image_column", json!("picture"), None),
            ("data.label_column", json!("class"), None),
            ("data.sample", json!({ "count": 3, "seed": 1 }), None),
            ("data.limit", json!(2), None),
            ("data.max_file_bytes", json!(1_000_000), None),
            ("images.layers", json!("last:2"), None),
            ("images.batch_size", json!(3), None),
            ("images.precision", json!("bfloat16"), None),
            ("images.part_rows", json!(5), None),
            ("images.keep", json!("moments"), None),
            ("images.strict", json!(true), None),
            ("images.workers", json!(1), None),
            ("images.decode_threads", json!(1), None),
            ("images.max_pixels", json!(1_000_000), None),
            ("images.identity_tolerance", json!(1e-3), None),
            ("images.probe_tolerance", json!(1e-3), None),
            ("texts.file", path("pool.txt"), None),
            ("texts.categories", path("prompts.csv"), None),
            ("texts.batch_size", json!(7), None),
            ("textspan.texts", json!(20), None),
            ("textspan.rank", json!(10), None),
            ("label.labeller", json!("openai"), None),
            ("label.lexicon.texts", json!(7), None),
            ("label.lexicon.weighting", json!("equal"), None),
            ("label.lexicon.minimum_agreement", json!(0.9), None),
            ("label.openai.base_url", json!("http://127.0.0.1:1/v1"), openai()),
            ("label.openai.model", json!("other"), openai()),
            ("label.openai.judges", json!(["one"]), openai()),
            ("label.openai.api_key_env", json!("KEY"), openai()),
            ("label.openai.texts", json!(7), openai()),
            ("label.openai.prompts", path("prompts"), openai()),
            ("label.openai.concurrency", json!(1), openai()),
            ("label.openai.max_retries", json!(1), openai()),
            ("label.openai.max_reasks", json!(1), openai()),
            ("label.openai.backoff_ms", json!(1), openai()),
            ("label.openai.timeout_secs", json!(1.0), openai()),
            ("label.openai.total_secs", json!(1.0), openai()),
            ("label.openai.answer_tokens", json!(100), openai()),
            ("label.openai.temperature", json!(0.5), openai()),
            ("label.openai.max_tokens", json!(1), openai()),
            ("label.openai.max_cost", json!(1.0), openai()),
            ("label.openai.price_in", json!(1.0), openai()),
            ("label.openai.price_out", json!(1.0), openai()),
            ("label.import", path("labels.csv"), Some(("label.labeller", json!("import")))),
            ("metrics.synonyms", path("synonyms.toml"), None),
            ("metrics.scores.texts", json!(4), None),
            ("metrics.scores.association_threshold", json!(2), None),
            ("metrics.scores.bootstrap_samples", json!(10), None),
            ("metrics.scores.permutations", json!(10), None),
            ("metrics.scores.confidence", json!(0.9), None),
            ("metrics.scores.seed", json!(1), None),
        ]
    }
}

fn record(plan: &StagePlan) -> StageRecord {
    StageRecord {
        stage: plan.stage().to_owned(),
        headspan: String::new(),
        fingerprint: plan.fingerprint().to_owned(),
        results: plan.results().map(str::to_owned),
        config: json!({}),
        inputs: BTreeMap::new(),
        rows: 0,
        bytes: 0,
        seconds: 0.0,
        finished_at: 0,
        figures: BTreeMap::new(),
        provenance: None,
    }
}

/// Settings with the value at a dotted key replaced.
fn with(settings: &Settings, key: &str, value: &Value) -> Result<Settings, Failure> {
    let mut all = serde_json::to_value(settings)?;
    let place = all.pointer_mut(&format!("/{}", key.replace('.', "/"))).ok_or(format!("no setting `{key}`"))?;
    *place = value.clone();
    Ok(serde_json::from_value(all)?)
}

/// Dotted keys of all settings. A table without an entry in `known` is descended into.
fn keys(value: &Value, prefix: &str, known: &BTreeSet<&str>, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) if !known.contains(prefix) => {
            for (name, inner) in map {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                keys(inner, &key, known, found);
            }
        }
        other => found.push((prefix.to_owned(), other.clone())),
    }
}

#[test]
fn every_setting_reruns_exactly_the_stages_that_the_documentation_says() -> Result<(), Failure> {
    let place = Place::new()?;
    let others = place.other_values();
    let known: BTreeSet<&str> = others.iter().map(|(key, _, _)| *key).collect();
    let mut defaults = Vec::new();
    keys(&serde_json::to_value(Settings::default())?, "", &known, &mut defaults);
    let missing: Vec<&String> =
        defaults.iter().map(|(key, _)| key).filter(|key| !known.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "settings without another value in this test: {missing:?}");

    let mut table = String::from(
        "# Settings, and the stages that each reruns\n\nWritten by `crates/pipeline/tests/settings.rs`, which changes every setting, one after another, and \
         compares fingerprints.\nAnother value than the column *values* has is refused before any work begins; `VALUES` in `crates/pipeline/src/settings/values.rs` says which.\n`images` and `texts` are the two halves of `headspan extract`. Settings of a labeller count only while it is chosen. The images are a folder here; columns count in manifests and Parquet shards.\n\n\
         | setting | default | values | reruns |\n|---|---|---|---|\n",
    );
    for (key, default) in &defaults {
        let (_, value, beside) = others.iter().find(|(own, _, _)| own == key).ok_or("no such key")?;
        let mut base = place.settings();
        if let Some((key, value)) = beside {
            base = with(&base, key, value)?;
            // The labeller `import` is refused without a file.
            if value == "import" {
                base.label.import = Some(place.path("labels.csv"));
                fs_err::write(place.path("labels-2.csv"), "model,layer,head,property\nscenes-4,0,0,sea\n")?;
            }
        }
        let changed = if key == "label.import" {
            with(&base, key, &json!(place.path("labels-2.csv")))?
        } else {
            with(&base, key, value)?
        };
        let (before, after) = (place.fingerprints(&base, "scenes-4")?, place.fingerprints(&changed, "scenes-4")?);
        let rerun: Vec<&str> =
            STAGES.iter().map(|stage| stage.name()).filter(|name| before[name] != after[name]).collect();
        let shown = if key == "runs" || key == "data.path" { String::new() } else { format!("`{default}`") };
        let shown = if key == "runs" { "`\"runs\"`".to_owned() } else { shown };
        let rerun = if rerun.is_empty() { "nothing".to_owned() } else { rerun.join(", ") };
        let values =
            VALUES.iter().find(|values| values.key == key).ok_or(format!("`{key}` is not in VALUES"))?.expected;
        table.push_str(&format!("| `{key}` | {shown} | {values} | {rerun} |\n"));
    }
    assert_eq!(VALUES.len(), defaults.len(), "VALUES has a setting that is not there, or one twice");
    if std::env::var_os("HEADSPAN_WRITE_DOCS").is_some() {
        fs_err::write(TABLE, &table)?;
    }
    let written = fs_err::read_to_string(TABLE)?;
    assert_eq!(written, table, "docs/settings.md is out of date: run this test with HEADSPAN_WRITE_DOCS=1");
    Ok(())
}

#[test]
fn the_same_layers_by_another_name_are_the_same_run() -> Result<(), Failure> {
    let place = Place::new()?;
    let named = |layers: &str| -> Result<BTreeMap<&'static str, String>, Failure> {
        place.fingerprints(&with(&place.settings(), "images.layers", &json!(layers))?, "scenes-4")
    };
    let usual = named("last:4")?;
    for same in ["all", "0,1,2,3", "3, 2,1,0", "last:9"] {
        assert_eq!(named(same)?, usual, "{same}");
    }
    assert_ne!(named("1,2,3")?, usual);
    assert_eq!(named("1,2,3")?, named("last:3")?);
    Ok(())
}
