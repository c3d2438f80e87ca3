//! What a stage is: the seam at which new ones are added.

use std::collections::BTreeMap;

use headspan_artifacts::{Row, StageRecord, Table, write_rows};
use serde_json::Value;

use crate::{error::Result, plan::StagePlan, provenance::Provenance, scope::Scope, stages::STAGES};

/// A stage of the pipeline (design section 2): a pure function of its slice of the settings and of its inputs.
///
/// A new stage is one file in `stages/` and its line in the table there.
pub trait Stage: Sync {
    /// Name in messages, records and file names.
    fn name(&self) -> &'static str;

    /// Raise it when the stage's results change for the same settings and inputs. It stands beside the algorithm.
    fn version(&self) -> u32;

    /// Stages whose tables it reads, in the order of the table of stages.
    fn inputs(&self) -> &'static [&'static str];

    /// Tables that it writes.
    fn tables(&self) -> &'static [Table];

    /// Whether it also writes activation parts.
    fn writes_parts(&self) -> bool {
        false
    }

    /// Whether it reads the weights and the images. Stages that do run together, as `headspan extract`.
    fn needs_model(&self) -> bool {
        false
    }

    /// The values that its results depend on, as they go into the fingerprint: settings resolved, never their spelling.
    fn slice(&self, scope: &Scope<'_>) -> Result<Value>;

    /// What of its slice the tables depend on that later stages read: all of it, unless a setting only decides what else is kept. Later
    /// stages stay as they are where this is the same.
    fn slice_for_later(&self, slice: Value) -> Value {
        slice
    }

    /// Hashes of files that it reads beside the tables of other stages, by name. None where the scope has no files at
    /// hand: what the stage's record says of them is then believed.
    fn files(&self, scope: &Scope<'_>) -> Result<Option<BTreeMap<String, String>>> {
        let _ = scope;
        Ok(Some(BTreeMap::new()))
    }

    /// Why results that fit settings and inputs are incomplete all the same, so that the stage runs again.
    fn unfinished(&self, scope: &Scope<'_>, record: &StageRecord) -> Option<String> {
        let _ = (scope, record);
        None
    }

    /// Rows and bytes that it will write.
    fn estimate(&self, scope: &Scope<'_>) -> Result<Estimate>;

    /// Checks results that are there already, where settings that do not change them say more about what is accepted.
    fn accept(&self, scope: &Scope<'_>) -> Result<()> {
        let _ = scope;
        Ok(())
    }

    /// Computes the results and writes the tables through the job.
    fn run(&self, job: &StageJob<'_>) -> Result<StageOutcome>;
}

/// What a stage will write, for `headspan plan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Rows of its main table.
    pub rows: u64,
    /// Bytes of all its files, without compression.
    pub bytes: u64,
}

/// What a stage did.
#[derive(Debug, Clone)]
pub enum StageOutcome {
    /// All tables are in place.
    Done(StageResult),
    /// Other processes have parts of it to do; the sentence says how far it is.
    Partial(String),
}

/// What a finished stage tells.
#[derive(Debug, Clone, Default)]
pub struct StageResult {
    /// Rows of its main table.
    pub rows: u64,
    /// Figures for the record.
    pub figures: BTreeMap<String, Value>,
    /// Lines for the reader.
    pub notes: Vec<String>,
    /// Where images and weights lie, from the stage that read them.
    pub provenance: Option<Box<Provenance>>,
}

/// One run of one stage.
pub struct StageJob<'a> {
    /// What the stage may look at.
    pub scope: &'a Scope<'a>,
    /// Its fingerprint and what went into it.
    pub plan: &'a StagePlan,
}

impl StageJob<'_> {
    /// Forgets that the stage was done. Called before its tables are replaced, so that a crash never leaves a stale table
    /// under a valid record. Calling it twice does no harm.
    pub fn begin(&self) -> Result<()> {
        Ok(self.scope.run.forget(self.plan.stage())?)
    }

    /// Replaces the table of the rows' own type.
    pub fn write<R: Row>(&self, rows: &[R]) -> Result<()> {
        self.write_as(R::TABLE, rows)
    }

    /// Replaces a table.
    pub fn write_as<R: Row>(&self, table: Table, rows: &[R]) -> Result<()> {
        self.begin()?;
        let run = self.scope.run;
        Ok(write_rows(&run.table(table), run.id(), self.plan.fingerprint(), rows)?)
    }
}

/// The stage of a name.
pub fn stage(name: &str) -> Option<&'static dyn Stage> {
    STAGES.iter().copied().find(|stage| stage.name() == name)
}
