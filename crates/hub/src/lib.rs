//! Fetches model files from a hub into the cache that Python's `huggingface_hub` also uses. Weights that are there already are
//! found without a network, and weights fetched here are found by Python.
//!
//! - [`cached`] finds a file in the cache; [`Snapshot`] fetches the files of one commit; [`fetch_file`] and [`fetch_url`] fetch one.
//! - A download continues where it was cut off. Large files are checked against the SHA-256 that the hub states.
//! - [`HubSettings`] follow `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and `HF_TOKEN`. The token goes to the hub alone.
//!
//! It uses `net` for requests, and knows nothing about models. `pipeline` uses it for the models of the registry.

mod cache;
mod download;
mod error;
mod facts;
mod request;
mod settings;
mod snapshot;

/// For `tools/fuzz` alone.
#[cfg(fuzzing)]
pub mod fuzzing {
    use reqwest::header::HeaderMap;

    /// The names that an answer's headers give to a file and to a folder of the cache.
    pub fn names(headers: &HeaderMap) -> [Option<String>; 2] {
        [crate::facts::etag(headers), crate::facts::commit(headers, "http://hub/x", "main").ok()]
    }
}

pub use cache::cached;
pub use download::{Progress, fetch_url};
pub use error::HubError;
pub use settings::HubSettings;
pub use snapshot::{Snapshot, fetch_file};
