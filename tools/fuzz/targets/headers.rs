//! Bytes as the headers of an answer: names in the cache stay in it, and waits are waits.
#![no_main]

use headspan_hub::fuzzing::names;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The headers that are read.
const NAMES: [&str; 7] =
    ["etag", "x-linked-etag", "x-repo-commit", "x-linked-size", "retry-after", "retry-after-ms", "location"];

/// Each line is a header: the first byte chooses its name.
fn headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        let name = HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]);
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    for name in names(&headers).into_iter().flatten() {
        let path = std::path::Path::new(&name);
        let is_plain = path.components().count() == 1 && path.file_name().is_some_and(|own| own == name.as_str());
        assert!(is_plain && !name.contains('\\'), "`{name}` leaves its folder");
    }
    _ = headspan_net::retry_after(&headers);
}

headspan_fuzz::target!(headers);
