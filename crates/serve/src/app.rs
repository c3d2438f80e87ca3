use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use headspan_artifacts::HeadId;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::{
    files::{image, seen, upload, uploaded},
    handlers::{analysis, head, nothing, overview},
    origin::Hosts,
    pages,
    token::{allowed, refusal},
    uploads::Uploads,
    work::Work,
};
use headspan_query::RunAccess;

/// How the explorer serves.
#[derive(Debug, Clone)]
pub struct ExplorerSettings {
    /// Questions answered at once.
    pub workers: NonZeroUsize,
    /// Questions accepted at once, those that wait included; more are turned away with 429.
    pub accepted: usize,
    /// Longest time for an answer.
    pub patience: Duration,
    /// Largest upload in bytes.
    pub upload_bytes: usize,
    /// Most pixels of an upload.
    pub upload_pixels: u64,
    /// Bytes of decoded uploads kept.
    pub kept_bytes: usize,
    /// Token that every request must carry, if any: `Authorization: Bearer`, or `Basic` with any name and the token as the
    /// password, which is what a browser asks for.
    pub token: Option<String>,
    /// Address that it listens on: a request may name it, or a loopback address, as its host; any address if it is unspecified.
    pub listen: IpAddr,
    /// Names that a request may name as its host beside `localhost`. A page of a name that is not here cannot read a run
    /// although it resolves to this machine (DNS rebinding).
    pub host_names: Vec<String>,
}

impl Default for ExplorerSettings {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            accepted: 256,
            patience: Duration::from_secs(30),
            upload_bytes: 16 << 20,
            upload_pixels: 40_000_000,
            kept_bytes: 128 << 20,
            token: None,
            listen: Ipv4Addr::LOCALHOST.into(),
            host_names: Vec::new(),
        }
    }
}

/// The explorer over one or several runs.
#[derive(Clone)]
pub struct Explorer {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    /// Runs by `dataset/model`.
    pub(super) runs: BTreeMap<String, Arc<dyn RunAccess>>,
    pub(super) uploads: Uploads,
    pub(super) work: Work,
    hosts: Hosts,
    pub(super) settings: ExplorerSettings,
}

impl Explorer {
    /// An explorer over runs.
    pub fn new(runs: Vec<Arc<dyn RunAccess>>, settings: ExplorerSettings) -> Self {
        let work = Work::new(settings.workers.get(), settings.accepted, settings.patience);
        let runs = runs.into_iter().map(|run| (run.run().name(), run)).collect();
        let uploads = Uploads::new(settings.kept_bytes);
        let hosts = Hosts::new(settings.listen, &settings.host_names);
        Self { shared: Arc::new(Shared { runs, uploads, work, hosts, settings }) }
    }

    /// The application; to be served on a listener.
    pub fn router(&self) -> Router {
        let shared = Arc::clone(&self.shared);
        let router = self.pages().layer(middleware::from_fn_with_state(shared, guard));
        HEADERS.into_iter().fold(router, |router, (name, value)| {
            router.layer(SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value)))
        })
    }

    /// The pages without a guard, for whoever holds the explorer itself.
    pub(super) fn pages(&self) -> Router {
        Router::new()
            .route("/", get(overview))
            .route("/{page}", get(overview))
            .route("/r/{dataset}/{model}/{page}", get(analysis))
            .route("/r/{dataset}/{model}/head/{page}", get(head))
            .route("/r/{dataset}/{model}/image/{page}", get(image))
            .route("/r/{dataset}/{model}/seen/{page}", get(seen))
            .route("/upload/{page}", get(uploaded))
            .route("/upload", post(upload))
            .route("/assets/{page}", get(pages::asset))
            .fallback(nothing)
            .layer(DefaultBodyLimit::max(self.shared.settings.upload_bytes))
            .with_state(Arc::clone(&self.shared))
    }
}

/// Headers that keep a page to itself.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Lets a request through that names a host of the explorer, and carries the token where one is set.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (uri, headers) = (request.uri(), request.headers());
    if let Err(refused) = shared.hosts.check(request.method(), uri, headers) {
        refused.response(uri.path())
    } else if allowed(headers, shared.settings.token.as_deref()) {
        next.run(request).await
    } else {
        refusal(uri.path())
    }
}

/// A head's page.
pub(super) fn head_path(run: &str, head: HeadId) -> String {
    format!("/r/{run}/head/{head}")
}
