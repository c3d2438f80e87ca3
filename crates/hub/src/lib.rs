//! Fetches model files from a hub into the cache that Python's `huggingface_hub` also uses, so that weights that are there
//! already are found without a network, and weights fetched here are found by Python.
//!
//! A download continues where it was cut off, and large files are checked against the SHA-256 that the hub states.

mod cache;
mod download;
mod error;
mod facts;
mod request;
mod settings;
mod snapshot;

pub use cache::cached;
pub use download::{Progress, fetch_url};
pub use error::HubError;
pub use settings::HubSettings;
pub use snapshot::{Snapshot, fetch_file};

/// Installs the process's TLS implementation (ring); to be called before the first request. Later calls do nothing.
pub fn install_tls() {
    // The only error is that one is installed already, which is what is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}
