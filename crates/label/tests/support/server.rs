//! A server on loopback that answers as a test says, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::any,
};
use headspan_artifacts::with_causes;
use headspan_label::OpenAiSettings;
use serde_json::Value;

use crate::support::{completion, good_answer, heads, label, settings};

/// A variable that Cargo sets for every test, and its value, in the place of a key.
pub(crate) const KEY: (&str, &str) = ("CARGO_PKG_NAME", env!("CARGO_PKG_NAME"));

/// One request as the server saw it.
pub(crate) struct Request {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

type Answering = Box<dyn Fn(&Request) -> Response + Send + Sync>;

pub(crate) struct Server {
    answer: Answering,
    pub(crate) requests: Mutex<Vec<Request>>,
}

impl Server {
    /// A server, and settings that ask it.
    pub(crate) async fn start(
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> (Arc<Self>, OpenAiSettings) {
        let server = Arc::new(Self { answer: Box::new(answer), requests: Mutex::default() });
        let app = Router::new().fallback(any(serve)).with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        // Waits are short, so that only what never answers is slow.
        (server, OpenAiSettings { timeout_secs: 5.0, ..settings(format!("http://{address}/v1")) })
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.lock().expect("no panic before").len()
    }
}

async fn serve(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let request = Request { uri, headers, body: serde_json::from_slice(&body).unwrap_or_default() };
    let response = (server.answer)(&request);
    server.requests.lock().expect("no panic before").push(request);
    response
}

#[expect(clippy::needless_pass_by_value, reason = "texts and JSON, owned or not")]
pub(crate) fn reply(status: u16, body: impl ToString) -> Response {
    (StatusCode::from_u16(status).expect("a status"), body.to_string()).into_response()
}

pub(crate) fn good(request: &Request) -> Response {
    reply(200, completion(&good_answer(&request.body)))
}

/// The property of one head after labelling it, or the error and its causes.
pub(crate) async fn labelled(settings: &OpenAiSettings) -> Result<String, String> {
    let cache = tempfile::tempdir().expect("a folder");
    let rows = label(settings, &heads(1), cache.path()).await.map_err(|error| with_causes(&error))?;
    let row = &rows[0];
    assert_eq!(row.consistent, [Some(true), Some(true), Some(false)], "{:?}", row.description);
    row.property.clone().ok_or_else(|| row.description.clone().unwrap_or_default())
}
