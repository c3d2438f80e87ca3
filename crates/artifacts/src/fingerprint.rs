use std::{
    fmt,
    io::{self, Read},
    path::Path,
};

use serde::{Deserialize, Serialize};

/// Identity of a stage's result: a hash of the stage's version, the slice of the configuration that it reads, and the
/// fingerprints of its inputs (design section 2). Hexadecimal BLAKE3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Starts the fingerprint of a stage. Raise `version` when the stage's results change for the same inputs.
    pub fn builder(stage: &str, version: u32) -> FingerprintBuilder {
        let mut hasher = blake3::Hasher::new();
        absorb(&mut hasher, "stage", stage.as_bytes());
        absorb(&mut hasher, "version", &version.to_le_bytes());
        FingerprintBuilder { hasher }
    }

    /// The hash as 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Collects what a stage's result depends on; the order of the calls matters.
#[derive(Debug)]
pub struct FingerprintBuilder {
    hasher: blake3::Hasher,
}

impl FingerprintBuilder {
    /// Adds the slice of the configuration that the stage reads. JSON objects keep their keys sorted, so the text is the
    /// same for the same values.
    #[must_use]
    pub fn config(mut self, slice: &serde_json::Value) -> Self {
        absorb(&mut self.hasher, "config", slice.to_string().as_bytes());
        self
    }

    /// Adds an input by name: another stage's fingerprint, a file's hash.
    #[must_use]
    pub fn input(mut self, name: &str, hash: &str) -> Self {
        absorb(&mut self.hasher, name, hash.as_bytes());
        self
    }

    /// Ends the fingerprint.
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.hasher.finalize().to_hex().to_string())
    }
}

/// Bytes of a file that are hashed together.
const PIECE: u64 = 16 << 20;

/// Length-prefixed, so that no two different sequences of values give the same bytes.
fn absorb(hasher: &mut blake3::Hasher, name: &str, value: &[u8]) {
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(&(value.len() as u64).to_le_bytes());
    hasher.update(value);
}

/// BLAKE3 of a file's bytes, on all cores. Read piece by piece: a map of the file would count as memory of its whole size.
pub fn hash_file(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut file = fs_err::File::open(path)?;
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if (&mut file).take(PIECE).read_to_end(&mut piece)? == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update_rayon(&piece);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_ingredient_changes_the_fingerprint() {
        let base = Fingerprint::builder("textspan", 1).config(&json!({"k": 60})).input("moments", "aa").finish();
        let others = [
            Fingerprint::builder("textspan", 2).config(&json!({"k": 60})).input("moments", "aa").finish(),
            Fingerprint::builder("textspan", 1).config(&json!({"k": 61})).input("moments", "aa").finish(),
            Fingerprint::builder("textspan", 1).config(&json!({"k": 60})).input("moments", "ab").finish(),
            Fingerprint::builder("textspan", 1).config(&json!({"k": 60})).input("texts", "aa").finish(),
            Fingerprint::builder("label", 1).config(&json!({"k": 60})).input("moments", "aa").finish(),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn key_order_does_not_matter() -> Result<(), serde_json::Error> {
        let one: serde_json::Value = serde_json::from_str(r#"{"a": 1, "b": 2}"#)?;
        let two: serde_json::Value = serde_json::from_str(r#"{"b": 2, "a": 1}"#)?;
        assert_eq!(
            Fingerprint::builder("s", 1).config(&one).finish(),
            Fingerprint::builder("s", 1).config(&two).finish()
        );
        Ok(())
    }
}
