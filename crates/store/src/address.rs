use std::path::{Path, PathBuf};

use crate::{
    error::StoreError,
    queries,
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
        let query = if query.is_empty() && scheme.has_queries { queries::of(path) } else { query.to_owned() };
        let rest = rest.trim_end_matches('/');
        let parts = rest.match_indices('/').nth(scheme.parts_of_root - 1);
        let (root, key) = parts.map_or((rest, ""), |(at, _slash)| (&rest[..at], &rest[at + 1..]));
        if root.is_empty() || root.split('/').count() < scheme.parts_of_root || root.split('/').any(str::is_empty) {
            return Err(malformed(scheme.form));
        }
        if scheme.parts_of_root == 1 && root.contains('@') {
            return Err(malformed("a password belongs into the environment, not into an address"));
        }
        let name = scheme.names.first().copied().unwrap_or_default();
        // `http` and `https` are two servers; the other names of a scheme are spellings.
        let name = if scheme.has_queries {
            path.to_str().and_then(|text| text.split(':').next()).unwrap_or(name)
        } else {
            name
        };
        Ok(Some(Self { scheme, root: format!("{name}://{root}"), key: key.to_owned(), query }))
    }

    /// An error if nothing can be written there, whoever asks: web servers and data sets of Hugging Face are read.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        if self.scheme.is_writable { Ok(()) } else { Err(StoreError::read_only(self.shown())) }
    }

    /// The address without what may be a secret.
    pub fn shown(&self) -> String {
        if self.key.is_empty() { self.root.clone() } else { format!("{}/{}", self.root, self.key) }
    }

    /// The same store, another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// As a path.
    pub(crate) fn path(&self) -> PathBuf {
        self.shown().into()
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

/// A path for messages: an address without its query and without a password, any other as it is.
pub fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let Some((scheme, rest)) = split(&text) else { return text };
    if scheme.parts_of_root > 1 {
        return text;
    }
    let name = &text[..text.len() - rest.len()];
    let rest = rest.split_once('?').filter(|_| scheme.has_queries).map_or(rest, |(rest, _query)| rest);
    let (host, key) = rest.split_once('/').map_or((rest, ""), |(host, _key)| (host, &rest[host.len()..]));
    let host = host.rsplit_once('@').map_or(host, |(_secret, host)| host);
    format!("{name}{host}{key}")
}

/// An address without its query, which may be a signature: this process remembers it for that file, or for all files of that
/// pattern. So no path of the program holds one, and none is written to a record or a log. Other paths stay as they are.
pub fn set_query_aside(path: &Path) -> PathBuf {
    let text = path.to_str().unwrap_or_default();
    match split(text) {
        Some((scheme, rest)) if scheme.has_queries && rest.contains('?') => {
            let (plain, query) = text.split_once('?').unwrap_or((text, ""));
            queries::remember(plain, query);
            plain.into()
        }
        _ => path.to_owned(),
    }
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
        for text in [
            "s3://",
            "s3:///a",
            "hf://datasets/owner",
            "hf://x",
            "https://user:secret@host/a",
            "s3://key:secret@bucket",
        ] {
            let error = Address::of(Path::new(text)).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("is not an address") && !error.contains("secret@"), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown(Path::new("https://u:p@host/a.tar?sig=1")), "https://host/a.tar");
        assert_eq!(shown(Path::new("s3://bucket/a?b")), "s3://bucket/a?b");
        assert_eq!(shown(Path::new("a?b")), "a?b");
    }

    #[test]
    fn a_query_is_set_aside_and_belongs_to_its_files() -> Result<(), StoreError> {
        let query = |text: &str| Ok(Address::of(Path::new(text))?.map(|address| address.query).unwrap_or_default());
        let pattern = set_query_aside(Path::new("https://aside/x/train-{0..9}.tar?sig=1"));
        assert_eq!(pattern, Path::new("https://aside/x/train-{0..9}.tar"));
        assert_eq!(
            set_query_aside(Path::new("https://aside/x/train-7.tar?sig=2")),
            Path::new("https://aside/x/train-7.tar")
        );
        for (text, expected) in
            [("x/train-3.tar", "sig=1"), ("x/train-7.tar", "sig=2"), ("x/test-3.tar", ""), ("y", "")]
        {
            assert_eq!(query(&format!("https://aside/{text}"))?, expected, "{text}");
        }
        assert_eq!(query("https://aside/x/train-3.tar?own=1")?, "own=1");
        assert_eq!(set_query_aside(Path::new("s3://b/a?b")), Path::new("s3://b/a?b"));
        Ok(())
    }
}
