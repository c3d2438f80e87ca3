//! Runs on machines that something else schedules (design section 5).
//!
//! [`Work`] describes the extraction of a run as shards: independent, and safe to lose, to repeat or to run twice at once. It says which
//! of them are missing. An [`Engine`] runs them where the user has machines; [`Jobs`] is the run's record of what an engine was asked
//! to do, and [`jobs_status`] says what became of it. headspan schedules nothing itself.
//!
//! A new engine is a file here and its line in the table [`ENGINES`].

mod jobs;
mod rate;
pub mod slurm;
mod states;
mod work;

use std::{collections::BTreeMap, io};

pub use jobs::{Jobs, ShardTask, Submission, Task};
pub(crate) use rate::shards_of_bytes;
pub use rate::{Rate, Rates, ShardCount};
pub use states::{JobsStatus, RestStatus, ShardState, ShardStatus, TaskState, jobs_status, task_states};
pub use work::{ShardParts, Work};

/// What runs shards somewhere else.
pub trait Engine: Sync {
    /// Its name in commands and records.
    fn name(&self) -> &'static str;

    /// States of those of these tasks that the engine still knows. None where the engine is not on this machine.
    fn states(&self, tasks: &[&str]) -> Result<Option<BTreeMap<String, TaskState>>, EngineError>;
}

/// All engines.
pub static ENGINES: &[&dyn Engine] = &[&slurm::Slurm];

/// The engine of a name.
pub fn engine(name: &str) -> Option<&'static dyn Engine> {
    ENGINES.iter().copied().find(|engine| engine.name() == name)
}

/// What goes wrong between headspan and an engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A program of the engine is not on this machine.
    #[error("`{program}` is not on this machine")]
    NoProgram {
        /// The program.
        program: &'static str,
    },
    /// A program of the engine cannot be started.
    #[error("`{program}` cannot be started")]
    Start {
        /// The program.
        program: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program of the engine does not end.
    #[error("`{program}` did not answer within {seconds} s")]
    Silent {
        /// The program.
        program: &'static str,
        /// How long headspan waited.
        seconds: u64,
    },
    /// A program of the engine failed.
    #[error("`{program}` failed: {message}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it said.
        message: String,
    },
    /// A program of the engine answered with something else than it should.
    #[error("`{program}` answered {answer:?}")]
    Answer {
        /// The program.
        program: &'static str,
        /// Its answer.
        answer: String,
    },
    /// A value cannot stand in a script.
    #[error("{what} {value:?} cannot stand in a script: {why}")]
    Script {
        /// What the value is.
        what: String,
        /// The value.
        value: String,
        /// Why not.
        why: &'static str,
    },
}
