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
    handlers::{analysis, head, nothing, overview, run},
    origin::Hosts,
    pages, people,
    token::{allowed, refusal},
    uploads::Uploads,
    work::Work,
};
use headspan_metrics::{Settings as ScoreSettings, Synonyms};
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
    /// Whether pages of this machine, such as a notebook, may show the explorer in a frame.
    pub framed: bool,
    /// Name of who reviews, where a browser has given none.
    pub author: Option<String>,
    /// How agreement is computed, and how many texts of a head are reviewed.
    pub scores: ScoreSettings,
    /// Names of properties that mean the same.
    pub synonyms: Synonyms,
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
            framed: false,
            author: None,
            scores: ScoreSettings::default(),
            synonyms: Synonyms::default(),
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
        let hosts = Hosts::new(settings.listen, &settings.host_names).framed(settings.framed);
        Self { shared: Arc::new(Shared { runs, uploads, work, hosts, settings }) }
    }

    /// The application; to be served on a listener.
    pub fn router(&self) -> Router {
        let shared = Arc::clone(&self.shared);
        let router = self.pages().layer(middleware::from_fn_with_state(shared, guard));
        let headers = if self.shared.settings.framed { &FRAMED[..] } else { &ALONE[..] };
        HEADERS.iter().chain(headers).fold(router, |router, (name, value)| {
            router.layer(SetResponseHeaderLayer::overriding(name.clone(), HeaderValue::from_static(value)))
        })
    }

    /// The pages without a guard, for whoever holds the explorer itself.
    pub(super) fn pages(&self) -> Router {
        Router::new()
            .route("/", get(overview))
            .route("/{page}", get(overview))
            .route("/r/{dataset}/{model}", get(run))
            .route("/r/{dataset}/{model}/", get(run))
            .route("/r/{dataset}/{model}/{page}", get(analysis).post(people::on_run))
            .route("/r/{dataset}/{model}/head/{page}", get(head).post(people::on_head))
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

/// What a page may load, and who may show it in a frame.
macro_rules! policy {
    ($ancestors:literal) => {
        concat!(
            "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; ",
            "form-action 'self'; base-uri 'none'; frame-ancestors ",
            $ancestors
        )
    };
}

/// A page that nobody may show in a frame.
static ALONE: [(HeaderName, &str); 2] =
    [(header::CONTENT_SECURITY_POLICY, policy!("'none'")), (header::X_FRAME_OPTIONS, "DENY")];

/// A page that pages of this machine may show in a frame: notebooks in a browser, and those in an editor.
static FRAMED: [(HeaderName, &str); 1] = [(
    header::CONTENT_SECURITY_POLICY,
    policy!(
        "http://localhost:* https://localhost:* http://127.0.0.1:* https://127.0.0.1:* vscode-webview: vscode-file:"
    ),
)];

/// Headers that keep a page to itself.
static HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
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
