use std::path::Path;

use crate::{
    error::StoreError,
    schemes::{SCHEMES, Scheme},
};

/// A file or folder that is not of this machine's file system.
#[derive(Clone)]
pub struct Address {
    pub(crate) scheme: &'static Scheme,
    /// Scheme and store, such as `s3://bucket`.
    pub(crate) root: String,
    /// What the store calls it, without a slash at either end. Empty for the store itself.
    pub(crate) key: String,
    /// What follows `?`, which may be a secret; empty without one.
    pub(crate) query: String,
}

impl Address {
    /// Reads an address. None for a path of the file system.
    pub fn of(path: &Path) -> Result<Option<Self>, StoreError> {
        let Some((scheme, rest)) = path.to_str().and_then(split) else { return Ok(None) };
        let malformed = |why| StoreError::Address { address: shown(path), why };
        // Only web servers have queries; in a key of an object store `?` is a character like others.
        let (rest, query) = if scheme.has_queries { rest.split_once('?').unwrap_or((rest, "")) } else { (rest, "") };
        let rest = rest.trim_end_matches('/');
        let parts = rest.match_indices('/').nth(scheme.parts_of_root - 1);
        let (root, key) = parts.map_or((rest, ""), |(at, _slash)| (&rest[..at], &rest[at + 1..]));
        if root.is_empty() || root.split('/').count() < scheme.parts_of_root || root.split('/').any(str::is_empty) {
            return Err(malformed(scheme.form));
        }
        if root.contains('@') && scheme.has_queries {
            return Err(malformed("a password belongs into the environment, not into an address"));
        }
        let name = scheme.names.first().copied().unwrap_or_default();
        // `http` and `https` are two servers; the other names of a scheme are spellings.
        let name = if scheme.has_queries { path.to_str().and_then(|text| text.split(':').next()).unwrap_or(name) } else { name };
        Ok(Some(Self { scheme, root: format!("{name}://{root}"), key: key.to_owned(), query: query.to_owned() }))
    }

    /// The address without what may be a secret.
    pub fn shown(&self) -> String {
        let query = if self.query.is_empty() { "" } else { "?…" };
        if self.key.is_empty() { format!("{}{query}", self.root) } else { format!("{}/{}{query}", self.root, self.key) }
    }

    /// The same store, another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// As a path that gives this address again.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let slash = if self.key.is_empty() { "" } else { "/" };
        format!("{}{slash}{}{query}", self.root, self.key).into()
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.shown())
    }
}

/// Whether a path is an address of a scheme that is known.
pub fn is_address(path: &Path) -> bool {
    path.to_str().and_then(split).is_some()
}

/// A path for messages: an address without its query, any other as it is.
pub fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if !is_address(path) {
        return text;
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("", &text));
    let has_queries = split(&text).is_some_and(|(scheme, _rest)| scheme.has_queries);
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _query)) if has_queries => (rest, "?…"),
        _ => (rest, ""),
    };
    let (host, key) = rest.split_once('/').map_or((rest, ""), |(host, _key)| (host, &rest[host.len()..]));
    let host = if has_queries { host.rsplit_once('@').map_or(host, |(_secret, host)| host) } else { host };
    format!("{scheme}://{host}{key}{query}")
}

/// Scheme of an address, and what follows it.
fn split(text: &str) -> Option<(&'static Scheme, &str)> {
    let (name, rest) = text.split_once("://")?;
    let scheme = SCHEMES.iter().find(|scheme| scheme.names.iter().any(|known| known.eq_ignore_ascii_case(name)))?;
    Some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, String)> {
        Address::of(Path::new(text)).ok().flatten().map(|address| (address.root, address.key))
    }

    #[test]
    fn addresses_have_a_store_and_a_key() {
        for (text, root, key) in [
            ("s3://bucket/a/b c.tar", "s3://bucket", "a/b c.tar"),
            ("s3a://bucket", "s3://bucket", ""),
            ("S3://bucket/a?b/", "s3://bucket", "a?b"),
            ("gs://b/x", "gs://b", "x"),
            ("https://host:81/a/b.tar?sig=1", "https://host:81", "a/b.tar"),
            ("http://host/a", "http://host", "a"),
            ("hf://datasets/owner/name@main/data/x.parquet", "hf://datasets/owner/name@main", "data/x.parquet"),
        ] {
            assert_eq!(parts(text), Some((root.to_owned(), key.to_owned())), "{text}");
        }
    }

    #[test]
    fn paths_are_no_addresses_and_halves_of_addresses_are_refused() {
        for text in ["a/b", "/a", "c:/x", "memory://x", "ftp://x/y", "s3:/x"] {
            assert!(matches!(Address::of(Path::new(text)), Ok(None)), "{text}");
        }
        for text in ["s3://", "s3:///a", "hf://datasets/owner", "hf://x", "https://user:secret@host/a"] {
            let error = Address::of(Path::new(text)).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("is not an address") && !error.contains("secret@"), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown(Path::new("https://u:p@host/a.tar?sig=1")), "https://host/a.tar?…");
        assert_eq!(shown(Path::new("s3://bucket/a?b")), "s3://bucket/a?b");
        assert_eq!(shown(Path::new("a?b")), "a?b");
    }
}
