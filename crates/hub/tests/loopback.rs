//! Fetching from a server on loopback that has a hub's layout, with the faults that networks have.

use std::{
    net::SocketAddr,
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
use headspan_hub::{HubError, HubSettings, cached, fetch_file};
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
}

struct Server {
    fault: Fault,
    content: Vec<u8>,
    requests: AtomicU64,
    downloads: AtomicU64,
    bytes: AtomicU64,
}

impl Server {
    async fn start(fault: Fault) -> (Arc<Self>, HubSettings, tempfile::TempDir) {
        let content: Vec<u8> = (0..300_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let counter = || AtomicU64::new(0);
        let server = Arc::new(Self { fault, content, requests: counter(), downloads: counter(), bytes: counter() });
        let app = Router::new().fallback(axum::routing::any(answer)).with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().expect("a folder");
        let settings = HubSettings {
            endpoint: format!("http://{address}"),
            cache: folder.path().join("hub"),
            token: None,
            retries: 3,
            backoff_ms: 1,
        };
        (server, settings, folder)
    }

    fn sha256(&self) -> String {
        Sha256::digest(&self.content).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

async fn answer(
    State(server): State<Arc<Server>>,
    method: Method,
    headers: HeaderMap,
    path: axum::http::Uri,
) -> Response {
    let number = server.requests.fetch_add(1, Ordering::SeqCst);
    let status = |status: StatusCode| Response::builder().status(status).body(Body::empty()).expect("a response");
    match server.fault {
        Fault::Missing => return status(StatusCode::NOT_FOUND),
        Fault::Gated => return status(StatusCode::FORBIDDEN),
        Fault::Busy if number < 2 => return status(StatusCode::SERVICE_UNAVAILABLE),
        _ => {}
    }
    if !path.path().starts_with("/cdn/") {
        // As the hub does for large files: its own answer has the facts, the bytes are elsewhere.
        return Response::builder()
            .status(StatusCode::FOUND)
            .header("x-repo-commit", COMMIT)
            .header("x-linked-etag", format!("\"{}\"", server.sha256()))
            .header("x-linked-size", server.content.len())
            .header(header::LOCATION, "/cdn/blob")
            .body(Body::empty())
            .expect("a response");
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
    headspan_hub::install_tls();
    fetch_file(settings, "org/model", "main", "open_clip_model.safetensors", &|_, _| {}).await
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
    assert!(fetch(&settings).await.expect_err("gated").to_string().contains("HF_TOKEN"));
}

#[tokio::test]
async fn nobody_there_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = HubSettings {
        endpoint: "http://127.0.0.1:9".to_owned(),
        cache: folder.path().to_owned(),
        token: None,
        retries: 1,
        backoff_ms: 1,
    };
    let message = fetch(&settings).await.expect_err("nobody").to_string();
    assert!(message.contains("in 2 tries") && message.contains("--checkpoint"), "{message}");
}
