//! The schemes of addresses: a file for each way of reaching a store, and the table of them.

mod aws_profile;
pub(crate) mod object_stores;
mod web;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{address::Address, error::StoreError, provider::Provider};

/// A way of reaching files.
pub(crate) struct Scheme {
    /// Its spellings in addresses; the first is the one that addresses get.
    pub(crate) names: &'static [&'static str],
    /// Parts of an address, divided by slashes, that name the store.
    pub(crate) parts_of_root: usize,
    /// Whether `?` begins a query, as on the web.
    pub(crate) has_queries: bool,
    /// Whether files can be written there, by whoever may.
    pub(crate) is_writable: bool,
    /// How an address looks, for messages.
    pub(crate) form: &'static str,
    /// Makes the way to the store of an address.
    open: fn(&Address) -> Result<Arc<dyn Provider>, StoreError>,
}

/// All schemes.
pub(crate) static SCHEMES: &[Scheme] = &[
    Scheme {
        names: &["s3", "s3a"],
        parts_of_root: 1,
        has_queries: false,
        is_writable: true,
        form: "expected `s3://BUCKET/KEY`",
        open: object_stores::s3,
    },
    Scheme {
        names: &["gs", "gcs"],
        parts_of_root: 1,
        has_queries: false,
        is_writable: true,
        form: "expected `gs://BUCKET/KEY`",
        open: object_stores::google,
    },
    Scheme {
        names: &["az", "azure", "abfs", "abfss"],
        parts_of_root: 1,
        has_queries: false,
        is_writable: true,
        form: "expected `az://CONTAINER/KEY`",
        open: object_stores::azure,
    },
    Scheme {
        names: &["https", "http"],
        parts_of_root: 1,
        has_queries: true,
        is_writable: false,
        form: "expected `https://HOST/PATH`",
        open: web::server,
    },
    Scheme {
        names: &["hf"],
        parts_of_root: 3,
        has_queries: false,
        is_writable: false,
        form: "expected `hf://datasets/OWNER/NAME` or `hf://datasets/OWNER/NAME@REVISION`, and a path below it",
        open: web::data_set,
    },
];

/// The way to a store, made once: it holds connections and credentials.
pub(crate) fn provider(address: &Address) -> Result<Arc<dyn Provider>, StoreError> {
    static OPEN: Mutex<BTreeMap<String, Arc<dyn Provider>>> = Mutex::new(BTreeMap::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    // A query may be what the server asks for instead of a password.
    let key = format!("{}?{}", address.root, address.query);
    if let Some(provider) = open.get(&key) {
        return Ok(Arc::clone(provider));
    }
    let provider = (address.scheme.open)(address)?;
    open.insert(key, Arc::clone(&provider));
    Ok(provider)
}
