use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect::Policy};
use rustls::{ClientConfig, RootCertStore};

use crate::{certificates, error::NetError, proxy};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(20);

/// How a client behaves.
#[derive(Debug, Clone, Copy)]
pub struct ClientSettings {
    /// Redirects that are followed.
    pub redirects: Redirects,
    /// Longest pause between two parts of an answer.
    pub pause: Option<Duration>,
    /// Longest time for a request and its answer.
    pub whole: Option<Duration>,
}

/// Redirects that a client follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// None; the redirect is the answer.
    None,
    /// At most this many.
    Limited(usize),
    /// Those that repeat the request (307 and 308) on the same host; of others, the redirect is the answer. Headers with keys
    /// are not given to another host, and a question is not turned into a request without one.
    Repeated,
}

/// Installs the process's TLS implementation (ring). Later calls do nothing.
pub fn install_tls() {
    // The only error is that one is installed already, which is what is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// A client for requests to an address. Without usable certificates, it is made for plain HTTP alone.
pub fn client(settings: &ClientSettings, url: &str) -> Result<Client, NetError> {
    install_tls();
    proxy::check();
    if is_plain(url) && !matches!(settings.redirects, Redirects::Limited(_)) && proxy::of_text(url).is_none() {
        // Certificates take longer to read than a local server to answer, and no request will need one.
        return built(builder(settings).tls_backend_preconfigured(without_roots()));
    }
    let usual = certificates::extra().and_then(|extra| built(builder(settings).tls_certs_merge(extra)));
    match usual {
        Err(error) if is_plain(url) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no certificates; plain HTTP needs none");
            built(builder(settings).tls_backend_preconfigured(without_roots()))
        }
        other => other,
    }
}

fn builder(settings: &ClientSettings) -> ClientBuilder {
    let mut builder = Client::builder()
        .redirect(policy(settings.redirects))
        .connect_timeout(CONNECT)
        .user_agent(concat!("headspan/", env!("CARGO_PKG_VERSION")));
    if let Some(pause) = settings.pause {
        builder = builder.read_timeout(pause);
    }
    if let Some(whole) = settings.whole {
        builder = builder.timeout(whole);
    }
    builder
}

fn built(builder: ClientBuilder) -> Result<Client, NetError> {
    builder.build().map_err(NetError::Client)
}

fn policy(redirects: Redirects) -> Policy {
    match redirects {
        Redirects::None => Policy::none(),
        Redirects::Limited(count) => Policy::limited(count),
        Redirects::Repeated => Policy::custom(|attempt| {
            let repeats = matches!(attempt.status().as_u16(), 307 | 308);
            let first = attempt.previous().first();
            let same_host = first.is_some_and(|first| first.origin() == attempt.url().origin());
            if repeats && same_host && attempt.previous().len() <= 5 { attempt.follow() } else { attempt.stop() }
        }),
    }
}

fn is_plain(url: &str) -> bool {
    url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}

/// Trusts nobody, so that every certificate is refused.
fn without_roots() -> ClientConfig {
    ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}
