/// How often something unusual was found, and where first: a warning for each would flood the log.
#[derive(Debug, Default)]
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

    /// `N of what; the first: …`, if there is any.
    pub(super) fn warning(&self, of_what: &str) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(format!("{} {of_what}; the first: {first}", self.count))
    }
}
