use std::{ops::Range, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;

/// Condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Whatever is there.
    Always,
    /// Nothing is there.
    New,
    /// This version is there.
    Still(String),
}

/// What a store says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// What the store calls it.
    pub(crate) key: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Changes whenever the file does; none where the server does not say.
    pub(crate) version: Option<String>,
    /// By the clock of the store.
    pub(crate) modified: Option<SystemTime>,
}

/// Files and folders below a folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<Object>,
    /// Keys of folders, without a slash at the end; empty where all below was asked for.
    pub(crate) folders: Vec<String>,
}

/// A store of files: one bucket, one web server, one data set.
#[async_trait]
pub(crate) trait Provider: Send + Sync {
    /// What a file is.
    async fn head(&self, key: &str) -> Result<Object, StoreError>;

    /// What a file is, and its first bytes, of which there may be fewer: in one request.
    async fn start(&self, key: &str, length: u64) -> Result<(Object, Bytes), StoreError>;

    /// Bytes of a file, which must still have the version.
    async fn range(&self, key: &str, range: Range<u64>, version: Option<&str>) -> Result<Bytes, StoreError>;

    /// What is below a folder: all, or what lies directly in it. Where nothing is, the listing is empty.
    async fn list(&self, folder: &str, deep: bool) -> Result<Listing, StoreError>;

    /// Writes a file at once. Gives its version.
    async fn put(&self, key: &str, bytes: Bytes, when: When) -> Result<Option<String>, StoreError>;

    /// Removes a file, which need not be there.
    async fn remove(&self, key: &str) -> Result<(), StoreError>;
}
