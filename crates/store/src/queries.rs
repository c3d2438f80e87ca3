//! Queries of addresses, such as signatures: kept here and nowhere else in the program.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Queries by what the addresses that they belong to begin with.
static QUERIES: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Keeps the query of an address, or of all files of a pattern.
pub(crate) fn remember(address: &str, query: &str) {
    let beginning = address.find(['{', '*']).map_or(address, |at| &address[..at]);
    let mut queries = QUERIES.lock().unwrap_or_else(PoisonError::into_inner);
    queries.insert(beginning.to_owned(), query.to_owned());
}

/// The query of the longest beginning; empty without one.
pub(crate) fn of(path: &Path) -> String {
    let text = path.to_str().unwrap_or_default();
    let queries = QUERIES.lock().unwrap_or_else(PoisonError::into_inner);
    let fitting = queries.iter().filter(|(beginning, _query)| text.starts_with(beginning.as_str()));
    fitting
        .max_by_key(|(beginning, _query)| beginning.len())
        .map(|(_beginning, query)| query.clone())
        .unwrap_or_default()
}
