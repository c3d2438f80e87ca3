//! A server of one small run, asked without a network.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
};
use headspan_images::{DecodeLimits, RgbImage8, decode_rgb};
use headspan_query::{AccessError, RunAccess};
use headspan_query::{ExploreModel, ExploreRun, png};
use headspan_serve::{Explorer, ExplorerSettings};
use serde_json::Value;
use tower::ServiceExt;

use crate::support::{Case, Failure, SKIPPED, scene};

pub(crate) const RUN: &str = "/r/scenes/scenes-4";

impl RunAccess for Case {
    fn run(&self) -> &ExploreRun {
        &self.run
    }

    fn model(&self) -> Result<&ExploreModel, AccessError> {
        Ok(&self.model)
    }

    fn image_bytes(&self, index: u64) -> Result<Vec<u8>, AccessError> {
        if index == SKIPPED {
            return Err(AccessError::new("the image is damaged"));
        }
        png(&scene(index).0).map_err(AccessError::new)
    }

    fn decode(&self, bytes: &[u8]) -> Result<RgbImage8, AccessError> {
        let limits = DecodeLimits { max_pixels: 1_000_000 };
        decode_rgb(bytes, &limits).map_err(AccessError::new)
    }
}

pub(crate) struct Site {
    pub(crate) case: Arc<Case>,
    router: Router,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Site {
    pub(crate) fn new(settings: ExplorerSettings) -> Result<Self, Failure> {
        let case = Arc::new(Case::new()?);
        let router = Explorer::new(vec![Arc::clone(&case) as Arc<dyn RunAccess>], settings).router();
        Ok(Self { case, router, runtime: tokio::runtime::Runtime::new()? })
    }

    /// Sends a request to the name that a browser on this machine has for the server.
    pub(crate) fn send(&self, mut request: Request<Body>) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
        request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("localhost:7478"));
        self.send_as_it_is(request)
    }

    pub(crate) fn send_as_it_is(&self, request: Request<Body>) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await?;
            let (parts, body) = response.into_parts();
            Ok((parts.status, parts.headers, to_bytes(body, 64 << 20).await?.to_vec()))
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<(StatusCode, String), Failure> {
        let (status, _, body) = self.send(Request::get(path).body(Body::empty())?)?;
        Ok((status, String::from_utf8(body)?))
    }

    pub(crate) fn json(&self, path: &str) -> Result<Value, Failure> {
        let (status, body) = self.get(path)?;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Hands in a file and returns where the answer leads.
    pub(crate) fn upload(&self, file: &[u8], next: &str) -> Result<(StatusCode, String), Failure> {
        let (status, headers, body) = self.send(form(file, next)?)?;
        let place = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((status, place.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned())))
    }
}

/// The form that hands in a file, as a browser sends it.
pub(crate) fn form(file: &[u8], next: &str) -> Result<Request<Body>, Failure> {
    let mut form = Vec::new();
    form.extend_from_slice(b"--edge\r\nContent-Disposition: form-data; name=\"next\"\r\n\r\n");
    form.extend_from_slice(next.as_bytes());
    form.extend_from_slice(b"\r\n--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n");
    form.extend_from_slice(file);
    form.extend_from_slice(b"\r\n--edge--\r\n");
    let request = Request::post("/upload").header(header::CONTENT_TYPE, "multipart/form-data; boundary=edge");
    Ok(request.body(Body::from(form))?)
}

/// A site for the tests that only read: a case takes seconds to make.
pub(crate) fn shared() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| match Site::new(ExplorerSettings::default()) {
        Ok(site) => site,
        Err(error) => panic!("the demo model is not usable: {error}"),
    })
}
