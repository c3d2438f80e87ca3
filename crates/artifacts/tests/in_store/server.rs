//! A store that speaks enough of S3 for these tests: objects with versions, conditions, ranges and listings. It counts requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, io,
    net::TcpListener,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, Response, StatusCode, Uri},
};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const PORT: &str = "TEST_STORE_PORT";

/// The store of one test.
#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Object>,
    versions: u64,
    requests: Vec<String>,
    /// What happens before the next conditional write of a key that ends so.
    before: Option<(String, Meanwhile)>,
}

/// What somebody else does meanwhile.
pub(crate) enum Meanwhile {
    Writes(Vec<u8>),
    Removes,
    /// The write is done, and its answer is lost.
    LosesTheAnswer,
}

struct Object {
    bytes: Bytes,
    version: u64,
    modified: SystemTime,
}

/// Runs a test in a process of its own, whose environment says where the store is. `test` is the name of the test that calls this.
pub(crate) fn in_store(test: &str, body: fn(&Server) -> Outcome) -> Outcome {
    if let Ok(port) = env::var(PORT) {
        return body(&Server::start(port.parse()?)?);
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let folder = tempfile::tempdir()?;
    let done = Command::new(env::current_exe()?)
        .args(["--exact", test, "--nocapture"])
        .env(PORT, &port)
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", folder.path().join("none"))
        .env("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("none"))
        .env("HEADSPAN_CACHE", folder.path())
        .env("HEADSPAN_LEASE_SECONDS", "3")
        .env("NO_PROXY", "127.0.0.1")
        .output()?;
    let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    if done.status.success() { Ok(()) } else { Err(said.concat().into()) }
}

impl Server {
    fn start(port: u16) -> io::Result<Self> {
        let server = Self(Arc::default());
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(server.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await })
        });
        Ok(server)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What somebody else does before the next conditional write of a key that ends so.
    pub(crate) fn meanwhile(&self, key: &str, what: Meanwhile) {
        self.inner().before = Some((key.to_owned(), what));
    }

    /// Bytes of an object.
    pub(crate) fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.inner().objects.get(key).map(|object| object.bytes.to_vec())
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.inner().objects.keys().cloned().collect()
    }

    /// Makes an object older.
    pub(crate) fn age(&self, key: &str, seconds: u64) {
        if let Some(object) = self.inner().objects.get_mut(key) {
            object.modified -= Duration::from_secs(seconds);
        }
    }

    /// Requests since the last call: the method and the key, with the range that was asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().requests)
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let key =
        uri.path().trim_start_matches('/').split_once('/').map(|(_bucket, key)| key.to_owned()).unwrap_or_default();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let query = uri.query().unwrap_or_default();
    let mut inner = server.inner();
    let what = if query.contains("list-type") { query.to_owned() } else { key.clone() };
    inner.requests.push(format!("{method} {what} {}", header("range").unwrap_or_default()));
    match method.as_str() {
        "PUT" => inner.put(key, body, header("if-match").as_deref(), header("if-none-match").is_some()),
        "POST" => inner.delete(&String::from_utf8_lossy(&body)),
        "DELETE" => {
            inner.objects.remove(&key);
            plain(StatusCode::NO_CONTENT, Bytes::new())
        }
        _ if query.contains("list-type") => inner.list(query),
        method => inner.get(&key, method == "HEAD", header("range").as_deref(), header("if-match")),
    }
}

impl Inner {
    fn put(&mut self, key: String, bytes: Bytes, is_still: Option<&str>, is_new: bool) -> Response<Body> {
        let is_conditional = is_still.is_some() || is_new;
        let event = self.before.take_if(|(wanted, _)| is_conditional && key.ends_with(wanted.as_str()));
        match &event {
            Some((_, Meanwhile::Writes(other))) => self.store(key.clone(), other.clone().into()),
            Some((_, Meanwhile::Removes)) => drop(self.objects.remove(&key)),
            Some((_, Meanwhile::LosesTheAnswer)) => self.store(key.clone(), bytes.clone()),
            None => {}
        }
        let there = self.objects.get(&key).map(|object| tag(object.version));
        let holds = if is_new { there.is_none() } else { is_still.is_none() || is_still == there.as_deref() };
        if !holds {
            return plain(StatusCode::PRECONDITION_FAILED, Bytes::new());
        }
        self.store(key, bytes);
        Response::builder().header("etag", tag(self.versions)).body(Body::empty()).unwrap_or_default()
    }

    fn store(&mut self, key: String, bytes: Bytes) {
        self.versions += 1;
        self.objects.insert(key, Object { bytes, version: self.versions, modified: SystemTime::now() });
    }

    fn delete(&mut self, list: &str) -> Response<Body> {
        let mut deleted = String::new();
        for key in list.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
            self.objects.remove(key);
            deleted.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
        }
        plain(StatusCode::OK, format!("<DeleteResult>{deleted}</DeleteResult>").into())
    }

    fn get(&self, key: &str, is_head: bool, range: Option<&str>, is_still: Option<String>) -> Response<Body> {
        let Some(object) = self.objects.get(key) else { return plain(StatusCode::NOT_FOUND, Bytes::new()) };
        if is_still.is_some_and(|version| version != tag(object.version)) {
            return plain(StatusCode::PRECONDITION_FAILED, Bytes::new());
        }
        let size = object.bytes.len();
        let asked = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let asked = asked.and_then(|(first, last)| Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?)));
        let builder = Response::builder()
            .header("etag", tag(object.version))
            .header("last-modified", httpdate::fmt_http_date(object.modified));
        let response = match asked {
            _ if is_head => builder.header("content-length", size).body(Body::empty()),
            Some((first, last)) if first < size => {
                let end = (last + 1).min(size);
                let builder = builder.status(StatusCode::PARTIAL_CONTENT);
                let builder = builder.header("content-range", format!("bytes {first}-{}/{size}", end - 1));
                builder.body(object.bytes.slice(first..end).into())
            }
            Some(_) => builder.status(StatusCode::RANGE_NOT_SATISFIABLE).body(Body::empty()),
            None => builder.body(object.bytes.clone().into()),
        };
        response.unwrap_or_default()
    }

    fn list(&self, query: &str) -> Response<Body> {
        let value = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            pair.unwrap_or_default().replace("%2F", "/")
        };
        let (prefix, delimiter) = (value("prefix"), value("delimiter"));
        let (mut files, mut folders) = (String::new(), BTreeSet::new());
        for (key, object) in self.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            match key[prefix.len()..].find('/').filter(|_| !delimiter.is_empty()) {
                Some(end) => drop(folders.insert(key[..=prefix.len() + end].to_owned())),
                None => files.push_str(&format!(
                    "<Contents><Key>{key}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                    rfc3339(object.modified),
                    tag(object.version).replace('"', "&quot;"),
                    object.bytes.len()
                )),
            }
        }
        let folders: String = folders
            .iter()
            .map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"))
            .collect();
        plain(StatusCode::OK, format!("<ListBucketResult>{files}{folders}</ListBucketResult>").into())
    }
}

fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

fn plain(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
}

/// Days of the calendar by H. Hinnant's algorithm.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = 400 * era + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.000Z", rest / 3_600, rest / 60 % 60, rest % 60)
}
