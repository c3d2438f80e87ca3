use serde::{Deserialize, Serialize};

/// How often something unusual was found, and where first: a warning for each would flood the log.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    count: usize,
    first: Option<String>,
}

impl Tally {
    /// Counts one more; `what` names it, and is asked of the first alone.
    pub(super) fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(what);
    }

    /// Adds what was counted elsewhere, later than this.
    pub(super) fn join(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }

    /// `N of what; the first: …`, if there is any.
    pub(super) fn warning(&self, of_what: &str) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(format!("{} {of_what}; the first: {first}", self.count))
    }
}
