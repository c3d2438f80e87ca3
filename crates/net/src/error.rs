use std::{error::Error, path::PathBuf};

/// Why a try failed.
pub type Cause = Box<dyn Error + Send + Sync>;

/// What another try does not mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
    /// A variable names certificates that cannot be used.
    #[error("`{path}`, which the environment variable `{variable}` names, {what}", path = path.display())]
    Certificates {
        /// `SSL_CERT_FILE` or `SSL_CERT_DIR`.
        variable: &'static str,
        /// What it names.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// What the operating system said.
        source: Option<std::io::Error>,
    },
    /// A request that cannot be made.
    #[error("no request can be made for `{url}`")]
    Request {
        /// The address, as [`shown`](crate::shown).
        url: String,
        /// What is wrong with it.
        source: reqwest::Error,
    },
    /// The server's certificate is not signed by anyone this machine trusts, or is for another host, or has expired.
    #[error("the certificate of `{url}` is not accepted")]
    Untrusted {
        /// The address, as [`shown`](crate::shown).
        url: String,
        /// What is wrong with the certificate.
        source: Cause,
    },
    /// The server does not speak TLS.
    #[error("the server of `{url}` does not speak HTTPS")]
    NotTls {
        /// The address, as [`shown`](crate::shown).
        url: String,
        /// What arrived instead.
        source: Cause,
    },
}

/// A request to which no answer came; another try may help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("no answer")]
    Direct(#[source] reqwest::Error),
    /// The proxy is part of the path, and is often what is wrong.
    #[error("no answer through the proxy `{proxy}`")]
    Proxied { proxy: String, source: reqwest::Error },
    #[error("no answer in time")]
    Late(#[source] reqwest::Error),
}
