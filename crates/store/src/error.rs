use std::{
    error::Error,
    io::{self, ErrorKind},
    sync::Arc,
};

/// What a library or a server said. All readers that wait for the same bytes are told the same.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a file of a store cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
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
    /// There is nothing to show the store who asks.
    #[error("`{address}`: no credentials were found")]
    NoCredentials {
        /// The address.
        address: String,
        /// Where was looked last.
        source: Cause,
    },
    /// The bucket lies in another region than the one that was asked.
    #[error("`{address}` lies in another region")]
    OtherRegion {
        /// The address.
        address: String,
        /// What the store said.
        source: Cause,
    },
    /// The store does not accept who asks.
    #[error("`{address}`: the store refuses access{}", if *known { "" } else { ", as it does not accept the credentials" })]
    Denied {
        /// The address.
        address: String,
        /// Whether the store knows who asks.
        known: bool,
        /// What the store said.
        source: Cause,
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
        source: Cause,
    },
    /// The store gave no usable answer, however often it was asked.
    #[error("`{address}` cannot be reached")]
    Failed {
        /// The address.
        address: String,
        /// What happened last.
        source: Cause,
    },
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NotFound { .. } => ErrorKind::NotFound,
            StoreError::Denied { .. } | StoreError::NoCredentials { .. } => ErrorKind::PermissionDenied,
            StoreError::Changed { .. } => ErrorKind::AlreadyExists,
            StoreError::ChangedWhileRead { .. } => ErrorKind::StaleNetworkFileHandle,
            StoreError::Unsupported { .. } => ErrorKind::Unsupported,
            StoreError::Address { .. } | StoreError::Settings { .. } => ErrorKind::InvalidInput,
            StoreError::OtherRegion { .. } | StoreError::Failed { .. } => ErrorKind::HostUnreachable,
        };
        Self::new(kind, error)
    }
}

impl StoreError {
    /// Of what is only read.
    pub(crate) fn read_only(address: String) -> Self {
        Self::Unsupported { address, what: "nothing can be written there" }
    }

    /// What a store said, in an error of a file or below what a library made of it.
    pub fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        // The cause of an `io::Error` is that of the error in it, which stands for itself.
        let own = |error: &'a (dyn Error + 'static)| match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().and_then(|inner| Self::within(inner)),
            None => error.downcast_ref(),
        };
        std::iter::successors(Some(error), |error| (*error).source()).find_map(own)
    }
}

/// Whether an error came from a store, and is not that a file is missing there or cannot be named: then the file is not at fault,
/// and what was asked may succeed another time.
pub fn is_of_the_store(error: &(dyn Error + 'static)) -> bool {
    let of_the_file = |error: &StoreError| matches!(error, StoreError::NotFound { .. } | StoreError::Address { .. });
    StoreError::within(error).is_some_and(|error| !of_the_file(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_at_fault_is_found_below_other_errors() {
        let busy = || {
            io::Error::from(StoreError::Failed {
                address: "s3://b/a".to_owned(),
                source: Arc::new(io::Error::other("503")),
            })
        };
        assert!(is_of_the_store(&busy()) && is_of_the_store(&io::Error::other(busy())));
        let of_parquet = parquet::errors::ParquetError::External(Box::new(busy()));
        assert!(is_of_the_store(&of_parquet));
        let gone = io::Error::from(StoreError::NotFound { address: "s3://b/a".to_owned() });
        assert!(!is_of_the_store(&gone) && !is_of_the_store(&io::Error::from(ErrorKind::NotFound)));
        assert_eq!((gone.kind(), gone.to_string().as_str()), (ErrorKind::NotFound, "`s3://b/a` does not exist"));
    }
}
