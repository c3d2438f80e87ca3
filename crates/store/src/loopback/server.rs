//! A small S3, which is a web server too, with the faults that networks and stores have.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::Response,
};

/// What the next request meets.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// An answer with this status.
    Status(u16, &'static str),
    /// The body breaks off after so many bytes.
    Cut(usize),
    /// The answer comes late.
    Late(Duration),
    /// The file is another one before the answer.
    Changed,
}

#[derive(Default)]
pub(super) struct Inside {
    files: BTreeMap<String, Vec<u8>>,
    /// Counts writes: part of etags.
    writes: BTreeMap<String, u64>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) no_ranges: bool,
    /// Method and path of each request.
    pub(super) requests: Vec<String>,
    /// Ranges of bytes that were asked for.
    pub(super) ranges: Vec<Range<usize>>,
}

/// The server, which ends with the test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
}

impl Server {
    pub(super) fn start(files: &[(&str, &[u8])]) -> io::Result<Self> {
        let inside: Arc<Mutex<Inside>> = Arc::default();
        for (name, bytes) in files {
            lock(&inside).put(name, bytes.to_vec());
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let app = Router::new().fallback(axum::routing::any(answer)).with_state(Arc::clone(&inside));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async move { axum::serve(tokio::net::TcpListener::from_std(listener)?, app).await })
        });
        Ok(Self { address, inside })
    }

    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        lock(&self.inside)
    }

    pub(super) fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inside().faults.extend(faults);
    }

    pub(super) fn requests(&self) -> usize {
        self.inside().requests.len()
    }

    /// Address of a file as on the web.
    pub(super) fn web(&self, name: &str) -> std::path::PathBuf {
        format!("http://{}/{name}", self.address).into()
    }
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inside {
    fn put(&mut self, name: &str, bytes: Vec<u8>) {
        *self.writes.entry(name.to_owned()).or_default() += 1;
        self.files.insert(name.to_owned(), bytes);
    }

    fn etag(&self, name: &str) -> Option<String> {
        self.files
            .contains_key(name)
            .then(|| format!("\"{}-{name}\"", self.writes.get(name).copied().unwrap_or(0)).replace('/', "-"))
    }

    /// Keys directly below a folder and folders there, or all keys, as S3 lists them.
    fn listed(&self, query: &str) -> String {
        let of = |name: &str| {
            let value =
                query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
            value.replace("%2F", "/")
        };
        let (prefix, flat) = (format!("bucket/{}", of("prefix")), of("delimiter") == "/");
        let (mut contents, mut folders) = (String::new(), std::collections::BTreeSet::new());
        for (name, bytes) in self.files.iter().filter(|(name, _bytes)| name.starts_with(&prefix)) {
            let (key, rest) = (&name["bucket/".len()..], &name[prefix.len()..]);
            match rest.split_once('/').filter(|_folder| flat) {
                Some((folder, _rest)) => drop(folders.insert(format!("{}{folder}/", &prefix["bucket/".len()..]))),
                None => contents.push_str(&format!(
                    "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>",
                    bytes.len()
                )),
            }
        }
        let folders: String = folders
            .iter()
            .map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"))
            .collect();
        format!("<ListBucketResult>{contents}{folders}</ListBucketResult>")
    }

    fn write(
        &mut self,
        method: &Method,
        name: &str,
        headers: &HeaderMap,
        body: &Bytes,
        fault: Option<&Fault>,
    ) -> Response {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let now = self.etag(name);
        let is_other = header(header::IF_MATCH).is_some_and(|expected| now.as_deref() != Some(expected));
        if is_other || (header(header::IF_NONE_MATCH).is_some() && now.is_some()) {
            return refused(412, "<Error><Code>PreconditionFailed</Code></Error>", fault);
        }
        if method == Method::DELETE {
            self.files.remove(name);
            return plain(204, "");
        }
        self.put(name, body.to_vec());
        with(Response::builder().header(header::ETAG, self.etag(name).unwrap_or_default()), Body::empty())
    }
}

fn with(builder: axum::http::response::Builder, body: Body) -> Response {
    builder.body(body).expect("a response")
}

/// An answer that breaks off.
fn cut(builder: axum::http::response::Builder, body: &Bytes, after: usize) -> Response {
    let start = futures::stream::iter([Ok(body.slice(..after))]);
    let end = futures::stream::once(async {
        // What was sent before must have arrived.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(io::Error::other("cut"))
    });
    let body_of = Body::from_stream(futures::StreamExt::chain(start, end));
    with(builder.header(header::CONTENT_LENGTH, body.len()), body_of)
}

/// A refusal, which may break off as well.
fn refused(status: u16, text: &'static str, fault: Option<&Fault>) -> Response {
    match fault {
        Some(Fault::Cut(_)) => cut(Response::builder().status(status), &Bytes::from_static(text.as_bytes()), 9),
        _ => plain(status, text),
    }
}

fn plain(status: u16, text: &str) -> Response {
    with(Response::builder().status(status), Body::from(text.to_owned()))
}

async fn answer(
    State(inside): State<Arc<Mutex<Inside>>>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let name = uri.path().trim_start_matches('/').replace("%20", " ");
    let fault = {
        let mut inside = lock(&inside);
        inside.requests.push(format!("{method} {uri}"));
        inside.faults.pop_front()
    };
    match &fault {
        Some(Fault::Status(status, text)) => return plain(*status, text),
        Some(Fault::Late(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Changed) => {
            let mut inside = lock(&inside);
            let bytes = inside.files.get(&name).cloned().unwrap_or_default();
            inside.put(&name, bytes);
        }
        Some(Fault::Cut(_)) | None => {}
    }
    let mut inside = lock(&inside);
    if uri.query().is_some_and(|query| query.contains("list-type")) {
        let list = inside.listed(uri.query().unwrap_or_default());
        return if matches!(fault, Some(Fault::Cut(_))) {
            cut(Response::builder(), &list.into(), 9)
        } else {
            plain(200, &list)
        };
    }
    if method == Method::PUT || method == Method::DELETE {
        return inside.write(&method, &name, &headers, &body, fault.as_ref());
    }
    let Some(etag) = inside.etag(&name) else {
        return refused(404, "<Error><Code>NoSuchKey</Code></Error>", fault.as_ref());
    };
    if headers.get(header::IF_MATCH).is_some_and(|expected| *expected != etag) {
        return plain(412, "<Error><Code>PreconditionFailed</Code></Error>");
    }
    let bytes = inside.files.get(&name).cloned().unwrap_or_default();
    let builder =
        Response::builder().header(header::ETAG, &etag).header(header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT");
    if method == Method::HEAD {
        return with(builder.header(header::CONTENT_LENGTH, bytes.len()), Body::empty());
    }
    let range =
        headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let range = range.and_then(|(start, end)| Some((start.parse().ok()?, end.parse::<usize>().ok()? + 1)));
    let Some((start, end)) = range.filter(|_range| !inside.no_ranges) else { return with(builder, Body::from(bytes)) };
    if start >= bytes.len() {
        return with(
            builder
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{}", bytes.len())),
            Body::empty(),
        );
    }
    let end = end.min(bytes.len());
    inside.ranges.push(start..end);
    let builder = builder.status(StatusCode::PARTIAL_CONTENT);
    let builder = builder.header(header::CONTENT_RANGE, format!("bytes {start}-{}/{}", end - 1, bytes.len()));
    let part = Bytes::from(bytes[start..end].to_vec());
    match fault {
        Some(Fault::Cut(after)) if after < part.len() => cut(builder, &part, after),
        _ => with(builder, Body::from(part)),
    }
}
