//! `classes.parquet`: an embedding for each class.

use std::collections::BTreeMap;

use headspan_artifacts::{ClassRow, Table};
use headspan_headspace::unit_feature;
use headspan_metrics::{CLASSIFICATION_VERSION, ClassificationError};
use serde_json::{Value, json};

use crate::{
    classification::{
        made::Made,
        names::{NamedClass, named_classes},
        templates::{Templates, filled},
    },
    error::{PipelineError, Result},
    progress::Progress,
    session::Session,
    stages::TEXTS,
};

/// Texts of one forward pass.
const TEXTS_AT_ONCE: usize = 256;

/// The classes of a run, and what they were made with.
pub(super) struct Classes {
    pub(super) rows: Vec<ClassRow>,
    pub(super) fingerprint: String,
}

/// The classes with these templates. Without templates, those that the run has, whatever they were made with, unless other names are given.
pub(super) fn classes(session: &Session, templates: Option<&Templates>, progress: &dyn Progress) -> Result<Classes> {
    let run = session.run().directory();
    let made = |slice: Value, inputs: BTreeMap<String, String>| Made {
        run,
        name: Table::Classes.name(),
        version: CLASSIFICATION_VERSION,
        slice,
        inputs,
    };
    let inputs = weights(session)?;
    if templates.is_none()
        && session.settings().data.classes.is_none()
        && let Some(record) = run.record(Table::Classes.name())?
    {
        let recorded = made(record.config, inputs.clone());
        if let Some(rows) = recorded.fresh()? {
            return Ok(Classes { rows, fingerprint: recorded.fingerprint().to_string() });
        }
    }
    let named = named_classes(session)?;
    if named.len() < 2 {
        return Err(ClassificationError::FewClasses { classes: named.len() }.into());
    }
    let texts = templates.cloned().unwrap_or_default().read()?;
    let made = made(json!({ "classes": named, "templates": texts }), inputs);
    let rows = made.rows(|| embedded(session, &named, &texts, progress))?;
    Ok(Classes { rows, fingerprint: made.fingerprint().to_string() })
}

/// Hashes of the weights and of the tokenizer, as the run's records have them.
fn weights(session: &Session) -> Result<BTreeMap<String, String>> {
    let texts = session.run().directory().record(TEXTS)?;
    let hash = |inputs: &BTreeMap<String, String>, name: &str| Some((name.to_owned(), inputs.get(name)?.clone()));
    let checkpoint = hash(&session.record().inputs, "checkpoint");
    let tokenizer = texts.and_then(|record| hash(&record.inputs, "tokenizer"));
    Ok(checkpoint.into_iter().chain(tokenizer).collect())
}

/// Embeds the classes: the mean of the unit features of the filled templates, scaled to unit norm (Radford et al. 2021, section 3.1.4).
fn embedded(
    session: &Session,
    named: &[NamedClass],
    templates: &[String],
    progress: &dyn Progress,
) -> Result<Vec<ClassRow>> {
    let model = session.model()?;
    let meter = progress.begin(&format!("{} classes", session.run().directory().id().model()), "texts");
    let total = (named.len() * templates.len()) as u64;
    let (mut done, mut cut, mut rows) = (0, 0, Vec::with_capacity(named.len()));
    let at_once = (TEXTS_AT_ONCE / templates.len()).max(1);
    for some in named.chunks(at_once) {
        let texts: Vec<String> = some.iter().flat_map(|(_, name)| filled(templates, name)).collect();
        let mut features = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TEXTS_AT_ONCE) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            features.extend(model.embed(&texts)?);
            done += texts.len() as u64;
            if meter.report(done, total).is_break() {
                return Err(PipelineError::Stopped);
            }
        }
        for ((id, name), features) in some.iter().zip(features.chunks_exact(templates.len())) {
            cut += features.iter().filter(|(_, is_cut)| *is_cut).count();
            let mut sum = vec![0.0_f64; features[0].0.len()];
            for (feature, _) in features {
                sum.iter_mut().zip(feature).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            let mean: Vec<f32> = sum.iter().map(|sum| (sum / templates.len() as f64) as f32).collect();
            let none = || headspan_query::ExploreError::NoFeature { what: format!("the class {name:?}") };
            let embedding = unit_feature(&mean).ok_or_else(none)?;
            let (class_id, name) = (id.clone(), name.clone());
            rows.push(ClassRow { class_index: rows.len() as u32, class_id, name, embedding });
        }
    }
    if cut > 0 {
        tracing::warn!("{cut} of {total} texts of classes are longer than the model's context and were cut off");
    }
    Ok(rows)
}
