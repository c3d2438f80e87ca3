use std::{
    error::Error,
    io::{self, ErrorKind},
};

/// Why a file of a store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Something like an address that is none.
    #[error("`{address}` is not an address: {why}")]
    Address {
        /// As it was typed, without secrets.
        address: String,
        /// What is wrong, or how an address looks.
        why: &'static str,
    },
    /// There is no such file.
    #[error("`{address}` does not exist")]
    NotFound {
        /// The address.
        address: String,
    },
    /// The store does not accept who asks.
    #[error("`{address}`: the store refuses access{}", if *known { "" } else { "; it does not accept the credentials" })]
    Denied {
        /// The address.
        address: String,
        /// Whether the store knows who asks.
        known: bool,
        /// What the store said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The condition of a write does not hold.
    #[error("`{address}` was written by another program meanwhile")]
    Changed {
        /// The address.
        address: String,
    },
    /// The file is another one since it was opened.
    #[error("`{address}` changed while it was read")]
    ChangedWhileRead {
        /// The address.
        address: String,
    },
    /// What the store cannot do.
    #[error("`{address}`: {what}")]
    Unsupported {
        /// The address.
        address: String,
        /// What that is.
        what: &'static str,
    },
    /// Settings of the store cannot be used.
    #[error("`{address}`: the settings of its store cannot be used")]
    Settings {
        /// The address.
        address: String,
        /// What is wrong with them.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store gave no usable answer, however often it was asked.
    #[error("`{address}` cannot be reached")]
    Failed {
        /// The address.
        address: String,
        /// What happened last.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Address { .. } => ErrorKind::InvalidInput,
            StoreError::NotFound { .. } => ErrorKind::NotFound,
            StoreError::Denied { .. } => ErrorKind::PermissionDenied,
            StoreError::Changed { .. } => ErrorKind::AlreadyExists,
            StoreError::ChangedWhileRead { .. } => ErrorKind::StaleNetworkFileHandle,
            StoreError::Unsupported { .. } => ErrorKind::Unsupported,
            StoreError::Settings { .. } => ErrorKind::InvalidInput,
            StoreError::Failed { .. } => ErrorKind::HostUnreachable,
        };
        Self::new(kind, error)
    }
}

/// Whether an error came from a store, and is not that a file is missing there: then the file is not at fault, and what was
/// asked may succeed another time.
pub fn is_of_the_store(error: &io::Error) -> bool {
    let store = error.get_ref().and_then(|inner| inner.downcast_ref::<StoreError>());
    store.is_some_and(|error| !matches!(error, StoreError::NotFound { .. }))
}
