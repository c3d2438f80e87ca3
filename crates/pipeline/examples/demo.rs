//! The demo of the README as a program of its own: both built-in models over rendered scenes, then their comparison.
//!
//!     cargo run --release -p headspan-pipeline --example demo -- target/demo-runs

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use headspan_pipeline::{
    DataOverrides, ModelChoice, ModelSource, Overrides, Pipeline, PipelineError, SettingsFiles, Silent, TextsOverrides,
    Wanted, compare, demo,
};

fn main() -> Result<(), PipelineError> {
    let runs = std::env::args_os().nth(1).map_or_else(|| "runs".into(), std::path::PathBuf::from);
    let scenes = demo::scenes(&runs)?;
    let overrides = Overrides {
        runs: Some(runs),
        dataset: Some(demo::DATASET.to_owned()),
        data: Some(DataOverrides { path: Some(scenes.images), classes: Some(scenes.classes), limit: None }),
        texts: Some(TextsOverrides { file: Some(scenes.descriptions) }),
        ..Overrides::default()
    };
    let settings = SettingsFiles::new("configs".as_ref())?.overrides(&overrides)?.settings()?;
    let mut pipeline = Pipeline::new(&settings, &Silent);
    for model in &demo::MODELS {
        let source = ModelSource::Folder(model.unpack(&settings.runs)?);
        pipeline.run(&ModelChoice { id: model.id.to_owned(), source }, Wanted::All)?;
    }
    let compared = compare(&settings, None)?;
    println!("{} runs compared in {}", compared.runs.len(), compared.page.display());
    Ok(())
}
