//! Files of a store, put at once and on a condition (docs/decisions/0017-runs-in-object-stores.md).

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, BufWriter, ErrorKind, Read, Seek, Write},
    path::Path,
    thread,
    time::Duration,
};

use bytes::Bytes;
use headspan_store::{Blob, When, shown};
use serde::Deserialize;

use crate::{
    error::{ArtifactError, CommitError},
    files::if_there,
    locks::check_held,
    tables::read_metadata,
};

/// How often a file is put. Each time somebody else wrote or removed it in between, or the store gave no answer.
const TRIES: u32 = 6;
/// The first pause after a store gave no answer; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// A file on its way into a store.
#[derive(Debug)]
pub(crate) struct Upload {
    file: BufWriter<File>,
    /// What has to hold still when it is put.
    when: When,
    pub(crate) fingerprint: Option<String>,
}

/// What another process left where a file was to be put.
enum Theirs {
    /// Nothing: it removed what was there.
    Nothing,
    /// The same, or the results of the same work.
    Same,
    /// Something else.
    Other,
}

/// The part of a record that says what it is of.
#[derive(Deserialize)]
struct OfRecord {
    fingerprint: String,
}

impl Upload {
    /// Collects bytes in a file that has no name, so that nothing is left of it even by a process that is killed.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        let when = match if_there(Blob::open(target))? {
            None => When::New,
            Some(found) => found.version().map_or(When::Always, |version| When::Still(version.to_owned())),
        };
        Ok(Self { file: BufWriter::with_capacity(1 << 20, tempfile::tempfile()?), when, fingerprint: None })
    }

    /// Puts the file. If another process did so meanwhile, what it put stays if it is as good as this one, else that is an error.
    pub(crate) fn commit(self, target: &Path) -> io::Result<()> {
        let Self { file, mut when, fingerprint } = self;
        let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        let bytes = Bytes::from(bytes);
        let mut pause = PAUSE;
        for tried in 1.. {
            check_held(target)?;
            let error = match headspan_store::put(target, bytes.clone(), when.clone()) {
                Ok(_version) => return Ok(()),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::AlreadyExists | ErrorKind::NotFound if tried < TRIES => {
                    match left_by_others(target, &bytes, fingerprint.as_deref())? {
                        Theirs::Same => return Ok(()),
                        Theirs::Other if fingerprint.is_some() => {
                            let other = CommitError::OtherWork { file: shown(target) };
                            return Err(io::Error::new(ErrorKind::AlreadyExists, other));
                        }
                        Theirs::Other => return Err(error),
                        Theirs::Nothing => when = When::New,
                    }
                }
                // The put may have succeeded all the same: then the next one finds these bytes.
                ErrorKind::HostUnreachable if tried < TRIES => {
                    thread::sleep(pause);
                    pause *= 2;
                }
                _ => return Err(error),
            }
        }
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn left_by_others(target: &Path, mine: &[u8], fingerprint: Option<&str>) -> io::Result<Theirs> {
    if let Some(mine) = fingerprint {
        let theirs = if target.extension() == Some(OsStr::new("json")) {
            if_there(headspan_store::read(target))?
                .map(|bytes| serde_json::from_slice::<OfRecord>(&bytes).map(|record| record.fingerprint).ok())
        } else {
            if_there(of_table(target))?
        };
        return Ok(match theirs {
            None => Theirs::Nothing,
            Some(theirs) if theirs.as_deref() == Some(mine) => Theirs::Same,
            Some(_other) => Theirs::Other,
        });
    }
    Ok(match if_there(headspan_store::read(target))? {
        None => Theirs::Nothing,
        Some(theirs) if theirs == mine => Theirs::Same,
        Some(_other) => Theirs::Other,
    })
}

/// Fingerprint of a table; none if it cannot be read as one.
fn of_table(path: &Path) -> io::Result<Option<String>> {
    match read_metadata(path) {
        Ok(found) => Ok(Some(found.fingerprint)),
        Err(ArtifactError::Io(error)) => Err(error),
        Err(_no_table) => Ok(None),
    }
}
