use std::path::PathBuf;

use headspan_net::{Cause, NetError};

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Whoever was told of progress asked to stop.
    #[error("stopped; what has come is kept, and the same call continues it")]
    Stopped,
    /// The operating system refused; the source names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// No request can be made, or none to this server.
    #[error(transparent)]
    Net(#[from] NetError),
    /// An answer that is not a hub's.
    #[error("the answer from `{url}` cannot be used: {what}")]
    Answer {
        /// The address.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The network is not to be used.
    #[error("`{url}` cannot be fetched: HF_HUB_OFFLINE is set")]
    Offline {
        /// The address.
        url: String,
    },
    /// No such file.
    #[error("`{url}` does not exist (status 404)")]
    NotFound {
        /// The address.
        url: String,
    },
    /// Not allowed.
    #[error("access to `{url}` is denied (status {status})")]
    Forbidden {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// Another refusal.
    #[error("`{url}` answered with status {status}")]
    Status {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// Every try failed.
    #[error("`{url}` could not be fetched in {tries} tries")]
    GaveUp {
        /// The address.
        url: String,
        /// How often it was tried.
        tries: u32,
        /// Why the last try failed.
        source: Cause,
    },
    /// The bytes are not those that the hub states.
    #[error("`{url}` arrived damaged twice: {what} is {found}, expected {expected}; nothing was kept")]
    Damaged {
        /// The address.
        url: String,
        /// `SHA-256` or `size`.
        what: &'static str,
        /// What arrived.
        found: String,
        /// What should have.
        expected: String,
    },
    /// Another process fetches the same file.
    #[error("another process is fetching `{path}`")]
    Busy {
        /// The unfinished file.
        path: PathBuf,
    },
}
