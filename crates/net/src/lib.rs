//! The HTTP client of headspan and its rule for retries, for everything that leaves this machine: weights from a hub and
//! questions to a language model.
//!
//! - [`client`] makes a client. Proxies come from `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` (HTTP, HTTPS, SOCKS);
//!   certificates from the system, or from `SSL_CERT_FILE` and `SSL_CERT_DIR`.
//! - [`send`] says which failures of a request pass and which do not; [`read_body`] reads an answer up to a limit.
//! - [`retried`] tries again by a [`RetryRule`]: waits that double, `Retry-After`, a limit on the time.
//! - [`shown`] is an address as messages show it: without a password or a query.
//!
//! It uses none of our crates. `hub` and `label` use it.

mod address;
mod body;
mod certificates;
mod client;
mod error;
mod proxy;
mod retry;
mod send;

pub use address::shown;
pub use body::{BodyError, read_body};
pub use client::{ClientSettings, Redirects, client, install_tls};
pub use error::{Cause, NetError};
pub use retry::{Failure, GaveUp, RetryRule, Stopped, retried, retry_after};
pub use send::send;
