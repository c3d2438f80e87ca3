//! Tables that answer questions about a run, and whether the run is still as it was when they were made.

use std::collections::BTreeMap;

use headspan_artifacts::{RunDirectory, StageState, Table, made_from as footer};

use crate::{
    error::Result,
    stages::{IMAGES, LABEL, METRICS, TEXTS, TEXTSPAN},
};

/// A table that a command writes into a run, and that no stage reads (docs/decisions/0019-answers-beside-the-stages.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Name of the file without its ending; of those that have one, the name of the record as well.
    pub name: &'static str,
    /// The command that makes it anew, after `headspan`, without the run.
    pub command: &'static str,
    has_record: bool,
}

/// All answers of one run.
pub static ANSWERS: [Answer; 7] = [
    Answer { name: "zeroshot", command: "zeroshot", has_record: true },
    Answer { name: "ablations", command: "ablate", has_record: true },
    Answer { name: "reconstruction", command: "ablate --reconstruct", has_record: true },
    Answer { name: "pruning", command: "prune", has_record: false },
    Answer { name: "repair", command: "repair", has_record: false },
    Answer { name: "weights", command: "weights", has_record: false },
    Answer { name: "stability", command: "stability", has_record: false },
];

/// Records of a run that answers may be made from.
const RECORDS: [&str; 6] = [IMAGES, TEXTS, TEXTSPAN, LABEL, METRICS, Table::Classes.name()];

/// An answer that a run has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeAnswer {
    /// Which one.
    pub answer: Answer,
    /// Names of the records that are others than those it was made from. Empty if it is about the run as it is, or if nothing says what it
    /// was made from.
    pub changed: Vec<&'static str>,
}

impl MadeAnswer {
    /// Done, or stale if the run has changed since.
    pub fn state(&self) -> StageState {
        if self.changed.is_empty() { StageState::Done } else { StageState::Stale }
    }
}

/// The answers that a run has.
pub fn answers(run: &RunDirectory) -> Result<Vec<MadeAnswer>> {
    let (now, mut found) = (records(run)?, Vec::new());
    for answer in ANSWERS {
        let table = run.path().join(format!("{}.parquet", answer.name));
        if !run.has(&table)? {
            continue;
        }
        let inputs = if answer.has_record {
            run.record(answer.name)?.map(|record| record.inputs).unwrap_or_default()
        } else {
            footer(&table)?
        };
        found.push(MadeAnswer { answer, changed: changed(&now, &inputs, "") });
    }
    Ok(found)
}

/// Fingerprints of all records that answers may be made from, as they are now.
pub(crate) fn records(run: &RunDirectory) -> Result<BTreeMap<String, String>> {
    made_from(run, &RECORDS)
}

/// Fingerprints of these records, those that the run has.
pub(crate) fn made_from(run: &RunDirectory, records: &[&str]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for name in records {
        if let Some(record) = run.record(name)? {
            found.insert((*name).to_owned(), record.fingerprint);
        }
    }
    Ok(found)
}

/// Those of the inputs `PREFIXNAME` that are records of the run and are others now.
pub(crate) fn changed(
    now: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, String>,
    prefix: &str,
) -> Vec<&'static str> {
    let is_other = |name: &&str| {
        let then = inputs.get(&format!("{prefix}{name}"));
        then.is_some() && now.get(*name) != then
    };
    RECORDS.into_iter().filter(is_other).collect()
}

/// In words, what is wrong with an answer whose run has changed.
pub(crate) fn told(changed: &[&str]) -> Option<String> {
    (!changed.is_empty()).then(|| format!("This was measured before {} of the run changed.", changed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_a_name_of_its_own() {
        let mut names: Vec<&str> = ANSWERS.iter().map(|answer| answer.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ANSWERS.len());
    }

    #[test]
    fn what_changed_is_told_in_words() {
        assert_eq!(told(&[]), None);
        assert_eq!(
            told(&["texts", "label"]).as_deref(),
            Some("This was measured before texts, label of the run changed.")
        );
    }
}
