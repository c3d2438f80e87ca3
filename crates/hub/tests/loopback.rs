//! Fetching from a server on loopback that has a hub's layout, with the faults that networks have.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use headspan_hub::{HubError, HubSettings, Snapshot, cached, fetch_file, fetch_url};
use headspan_net::NetError;
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The first download ends halfway.
    CutOnce,
    /// Ranges are ignored, and the first download ends halfway.
    NoRanges,
    /// The bytes are never the right ones.
    Corrupt,
    /// The first two requests are refused with 503.
    Busy,
    /// No such file.
    Missing,
    /// A gated repository.
    Gated,
    /// The repository has another name now.
    Renamed,
    /// No etag is stated.
    NoEtag,
    /// The commit is a path out of the cache.
    BadCommit,
}

struct Server {
    fault: Fault,
    content: Vec<u8>,
    requests: AtomicU64,
    downloads: AtomicU64,
    bytes: AtomicU64,
    /// Requests that carried a token.
    tokens: AtomicU64,
}

impl Server {
    async fn start(fault: Fault) -> (Arc<Self>, HubSettings, tempfile::TempDir) {
        let content: Vec<u8> = (0..300_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let counter = || AtomicU64::new(0);
        let server = Arc::new(Self {
            fault,
            content,
            requests: counter(),
            downloads: counter(),
            bytes: counter(),
            tokens: counter(),
        });
        let app = Router::new().fallback(axum::routing::any(answer)).with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings_for(&format!("http://{address}"), folder.path());
        (server, settings, folder)
    }

    fn sha256(&self) -> String {
        Sha256::digest(&self.content).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn settings_for(endpoint: &str, folder: &Path) -> HubSettings {
    HubSettings {
        endpoint: endpoint.to_owned(),
        cache: folder.join("hub"),
        token: None,
        retries: 3,
        backoff_ms: 1,
        total_secs: 60,
        offline: false,
    }
}

/// The hub's own answer about a large file: the facts are here, the bytes elsewhere.
fn facts(server: &Server, path: &str) -> Response {
    let mut response = Response::builder().status(StatusCode::FOUND).header(header::LOCATION, "/cdn/blob");
    if server.fault == Fault::Renamed && path.starts_with("/org/model/") {
        let location = path.replace("/org/model/", "/new/name/");
        response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, location);
        return response.body(Body::empty()).expect("a response");
    }
    if server.fault == Fault::NoEtag {
        response = Response::builder().status(StatusCode::OK);
    } else {
        response = response.header("x-linked-etag", format!("\"{}\"", server.sha256()));
    }
    let commit = if server.fault == Fault::BadCommit { "../../../outside" } else { COMMIT };
    response = response.header("x-repo-commit", commit).header("x-linked-size", server.content.len());
    response.body(Body::empty()).expect("a response")
}

async fn answer(
    State(server): State<Arc<Server>>,
    method: Method,
    headers: HeaderMap,
    path: axum::http::Uri,
) -> Response {
    let number = server.requests.fetch_add(1, Ordering::SeqCst);
    server.tokens.fetch_add(u64::from(headers.contains_key(header::AUTHORIZATION)), Ordering::SeqCst);
    let status = |status: StatusCode| Response::builder().status(status).body(Body::empty()).expect("a response");
    match server.fault {
        Fault::Missing => return status(StatusCode::NOT_FOUND),
        Fault::Gated => return status(StatusCode::FORBIDDEN),
        Fault::Busy if number < 2 => return status(StatusCode::SERVICE_UNAVAILABLE),
        _ => {}
    }
    if !path.path().starts_with("/cdn/") {
        return facts(&server, path.path());
    }
    assert_eq!(method, Method::GET);
    let first = server.downloads.fetch_add(1, Ordering::SeqCst) == 0;
    let range =
        headers.get(header::RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-'));
    let start: usize = match server.fault {
        Fault::NoRanges => 0,
        _ => range.and_then(|start| start.parse().ok()).unwrap_or(0),
    };
    let total = server.content.len();
    let mut bytes = server.content[start..].to_vec();
    if server.fault == Fault::Corrupt {
        bytes[0] ^= 1;
    }
    let cut = first && matches!(server.fault, Fault::CutOnce | Fault::NoRanges);
    let sent = if cut { bytes.len() / 2 } else { bytes.len() };
    server.bytes.fetch_add(sent as u64, Ordering::SeqCst);
    let mut response = Response::builder().status(if start > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK });
    if start > 0 {
        response = response.header(header::CONTENT_RANGE, format!("bytes {start}-{}/{total}", total - 1));
    }
    if !cut {
        return response.body(Body::from(bytes)).expect("a response");
    }
    // Half of the bytes, then the connection breaks.
    let half = Bytes::from(bytes[..sent].to_vec());
    let broken = futures::stream::iter([Ok(half), Err(std::io::Error::other("cut"))]);
    response.body(Body::from_stream(broken)).expect("a response")
}

async fn fetch(settings: &HubSettings) -> Result<std::path::PathBuf, HubError> {
    fetch_file(
        settings,
        "org/model",
        "main",
        "open_clip_model.safetensors",
        &|_, _| std::ops::ControlFlow::Continue(()),
    )
    .await
}

/// An error and its causes, as the command line prints them.
fn told(error: &HubError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_file_is_fetched_once_into_the_layout_of_huggingface_hub() {
    let (server, settings, _folder) = Server::start(Fault::None).await;
    let path = fetch(&settings).await.expect("fetched");
    assert_eq!(fs_err::read(&path).expect("readable"), server.content);
    assert!(path.ends_with(format!("models--org--model/snapshots/{COMMIT}/open_clip_model.safetensors")));
    let blob = settings.cache.join("models--org--model/blobs").join(server.sha256());
    assert!(blob.is_file());
    let requests = server.requests.load(Ordering::SeqCst);
    assert_eq!(fetch(&settings).await.expect("cached"), path);
    assert_eq!(server.requests.load(Ordering::SeqCst), requests, "the second time needs no network");
    assert_eq!(cached(&settings, "org/model", "main", "open_clip_model.safetensors"), Some(path));
}

#[tokio::test]
async fn a_cut_download_continues_where_it_was() {
    let (server, settings, _folder) = Server::start(Fault::CutOnce).await;
    let path = fetch(&settings).await.expect("fetched in two parts");
    assert_eq!(fs_err::read(&path).expect("readable"), server.content);
    let (sent, size) = (server.bytes.load(Ordering::SeqCst), server.content.len() as u64);
    assert!(sent <= size + size / 50, "{sent} bytes were sent for {size}");
}

#[tokio::test]
async fn a_server_without_ranges_starts_again() {
    let (server, settings, _folder) = Server::start(Fault::NoRanges).await;
    let path = fetch(&settings).await.expect("fetched from the start");
    assert_eq!(fs_err::read(&path).expect("readable"), server.content);
}

#[tokio::test]
async fn corrupted_bytes_are_refused_and_not_kept() {
    let (server, settings, _folder) = Server::start(Fault::Corrupt).await;
    let message = fetch(&settings).await.expect_err("damaged").to_string();
    assert!(message.contains("SHA-256") && message.contains(&server.sha256()), "{message}");
    assert_eq!(cached(&settings, "org/model", "main", "open_clip_model.safetensors"), None);
    assert!(!settings.cache.join("models--org--model/blobs").join(server.sha256()).exists());
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let (_server, settings, _folder) = Server::start(Fault::Busy).await;
    assert!(fetch(&settings).await.is_ok());
}

#[tokio::test]
async fn what_is_not_there_or_not_open_says_so() {
    let (server, settings, _folder) = Server::start(Fault::Missing).await;
    let message = fetch(&settings).await.expect_err("missing").to_string();
    assert!(message.contains("404") && message.contains("org/model"), "{message}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1, "asking again would not help");
    let (_server, settings, _folder) = Server::start(Fault::Gated).await;
    assert!(matches!(fetch(&settings).await, Err(HubError::Forbidden { status: 401 | 403, .. })));
}

#[tokio::test]
async fn nobody_there_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = HubSettings { retries: 1, ..settings_for("http://127.0.0.1:9", folder.path()) };
    let message = told(&fetch(&settings).await.expect_err("nobody"));
    assert!(message.contains("in 2 tries") && message.to_lowercase().contains("connect"), "{message}");
}

#[tokio::test]
async fn the_token_goes_to_the_hub_and_to_nobody_else() {
    let (hub, mut settings, folder) = Server::start(Fault::None).await;
    settings.token = Some("hf_secret".to_owned());
    fetch(&settings).await.expect("fetched");
    let (tokens, requests) = (hub.tokens.load(Ordering::SeqCst), hub.requests.load(Ordering::SeqCst));
    assert_eq!(tokens, requests, "the hub is given the token");

    let (other, elsewhere, _folder) = Server::start(Fault::None).await;
    let url = format!("{}/cdn/pool.txt", elsewhere.endpoint);
    let target = folder.path().join("pool.txt");
    fetch_url(&settings, &url, &target, None, &|_, _| std::ops::ControlFlow::Continue(())).await.expect("fetched");
    assert_eq!(fs_err::read(target).expect("readable"), other.content);
    assert_eq!(other.tokens.load(Ordering::SeqCst), 0, "another host is not");
}

#[tokio::test]
async fn a_commit_that_is_a_path_is_refused() {
    let (server, settings, folder) = Server::start(Fault::BadCommit).await;
    let message = fetch(&settings).await.expect_err("a path").to_string();
    assert!(message.contains("../../../outside") && message.contains("org/model"), "{message}");
    assert_eq!(server.downloads.load(Ordering::SeqCst), 0);
    assert_eq!(fs_err::read_dir(folder.path()).expect("readable").count(), 0, "nothing is written");
}

#[tokio::test]
async fn a_renamed_repository_is_followed() {
    let (server, settings, _folder) = Server::start(Fault::Renamed).await;
    let path = fetch(&settings).await.expect("fetched from the new name");
    assert_eq!(fs_err::read(&path).expect("readable"), server.content);
    assert_eq!(cached(&settings, "org/model", "main", "open_clip_model.safetensors"), Some(path));
}

#[tokio::test]
async fn what_another_try_does_not_mend_is_tried_once() {
    let (server, settings, _folder) = Server::start(Fault::NoEtag).await;
    let message = fetch(&settings).await.expect_err("no etag").to_string();
    assert!(message.contains("no usable etag"), "{message}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);

    let scheme = HubSettings { endpoint: "ftp://127.0.0.1:9".to_owned(), ..settings.clone() };
    let token = HubSettings { token: Some("two\nlines".to_owned()), ..settings };
    for settings in [scheme, token] {
        let error = fetch(&settings).await.expect_err("no request");
        assert!(matches!(error, HubError::Net(NetError::Request { .. })), "{error}");
        let told = told(&error);
        assert!(!told.contains("two"), "the token is not printed: {told}");
    }
}

#[tokio::test]
async fn offline_uses_the_cache_alone() {
    let (server, settings, folder) = Server::start(Fault::None).await;
    let offline = HubSettings { offline: true, ..settings.clone() };
    let message = fetch(&offline).await.expect_err("offline").to_string();
    assert!(message.contains("HF_HUB_OFFLINE") && message.contains("org/model"), "{message}");
    let url = format!("{}/cdn/blob", settings.endpoint);
    let error =
        fetch_url(&offline, &url, &folder.path().join("pool.txt"), None, &|_, _| std::ops::ControlFlow::Continue(()))
            .await;
    assert!(matches!(error, Err(HubError::Offline { .. })));
    assert_eq!(server.requests.load(Ordering::SeqCst), 0, "nobody was asked");
    let path = fetch(&settings).await.expect("fetched");
    assert_eq!(fetch(&offline).await.expect("cached"), path);
}

#[tokio::test]
async fn a_revision_moves_once_its_snapshot_is_whole() {
    let (_server, settings, _folder) = Server::start(Fault::None).await;
    let old = "f".repeat(40);
    let repository = settings.cache.join("models--org--model");
    fs_err::create_dir_all(repository.join("snapshots").join(&old)).expect("a folder");
    fs_err::create_dir_all(repository.join("refs")).expect("a folder");
    fs_err::write(repository.join("snapshots").join(&old).join("config.json"), "{}").expect("written");
    fs_err::write(repository.join("refs/main"), &old).expect("written");
    let found = || cached(&settings, "org/model", "main", "config.json");
    let before = found().expect("the old one");

    let snapshot = Snapshot::latest(&settings, "org/model", "main", "config.json").await.expect("a commit");
    let config = snapshot.fetch("config.json", &|_, _| std::ops::ControlFlow::Continue(())).await.expect("fetched");
    assert!(config.ends_with(format!("snapshots/{COMMIT}/config.json")), "not the old commit's: {}", config.display());
    assert_eq!(found(), Some(before), "an unfinished fetch leaves what there was");
    snapshot.keep().expect("moved");
    assert_eq!(found(), Some(config));
}
