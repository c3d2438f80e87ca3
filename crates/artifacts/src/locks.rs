//! Locks of a run: files that the operating system locks, or leases where the run lies in a store.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use fs_err as fs;
use headspan_store::{Lease, LeaseError, shown};

use crate::{
    error::{ArtifactError, CommitError, Result},
    files::{is_remote, names_in, remove},
    run::RunDirectory,
};

/// Folder of a run's leases.
const LEASES: &str = ".locks";
const RUN: &str = "run";
const JOBS: &str = "jobs";
const NOTES: &str = "notes";

/// A held lock. The operating system frees it when the process ends, however it ends; a lease ends a while after that.
#[derive(Debug)]
pub struct RunLock {
    _held: Held,
}

#[derive(Debug)]
enum Held {
    Files { _files: Vec<File> },
    Lease { _lease: Arc<Lease> },
}

impl RunDirectory {
    /// Takes the run for this process alone. Fails at once if another holds it or any shard of it.
    pub fn lock(&self) -> Result<RunLock> {
        if self.is_remote() {
            return self.lease(RUN, |other| other.starts_with("shard-"));
        }
        Ok(RunLock { _held: Held::Files { _files: vec![self.lock_file(RUN, false)?] } })
    }

    /// Takes one shard `index` of `count` (job arrays): several processes may hold different shards of one run, none may
    /// hold the whole run meanwhile.
    pub fn lock_shard(&self, index: u64, count: u64) -> Result<RunLock> {
        let shard = format!("shard-{index}-of-{count}");
        if self.is_remote() {
            return self.lease(&shard, |other| other == RUN);
        }
        let shared = self.lock_file(RUN, true)?;
        Ok(RunLock { _held: Held::Files { _files: vec![shared, self.lock_file(&shard, false)?] } })
    }

    /// Takes the record of jobs: of two processes that submit the same run, one does. Shards may be held meanwhile.
    pub fn lock_jobs(&self) -> Result<RunLock> {
        if self.is_remote() {
            return self.lease(JOBS, |_other| false);
        }
        Ok(RunLock { _held: Held::Files { _files: vec![self.lock_file(JOBS, false)?] } })
    }

    /// Takes the notes for the moment that one is added: two people, or two servers, add after each other. The run may be held meanwhile.
    pub fn lock_notes(&self) -> Result<RunLock> {
        if self.is_remote() {
            return self.lease(NOTES, |_other| false);
        }
        Ok(RunLock { _held: Held::Files { _files: vec![self.lock_file(NOTES, false)?] } })
    }

    fn lock_file(&self, name: &str, shared: bool) -> Result<File> {
        fs::create_dir_all(self.path())?;
        let path = self.path().join(format!(".{name}.lock"));
        let mut file: File =
            fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?.into_parts().0;
        let taken = if shared { file.try_lock_shared() } else { file.try_lock() };
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // The holder's number only makes the message better; without it the message still says what to do.
                if file.read_to_string(&mut owner).is_err() || owner.trim().is_empty() {
                    "unknown".clone_into(&mut owner);
                }
                return Err(ArtifactError::Locked { path, owner: owner.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        if !shared {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())?;
        }
        Ok(file)
    }

    fn lease(&self, name: &str, excludes: impl Fn(&str) -> bool) -> Result<RunLock> {
        let lease = match Lease::take(&self.path().join(LEASES), name, excludes) {
            Ok(lease) => Arc::new(lease),
            Err(LeaseError::Held { address, owner }) => {
                let owner = owner.strip_prefix("process ").unwrap_or(&owner).to_owned();
                return Err(ArtifactError::Locked { path: address.into(), owner });
            }
            Err(LeaseError::Io(error)) => return Err(error.into()),
        };
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|one| one.lease.strong_count() > 0);
        taken.push(Taken { run: self.path().to_owned(), lease: Arc::downgrade(&lease) });
        Ok(RunLock { _held: Held::Lease { _lease: lease } })
    }

    /// Removes the leases of processes that were killed; only the holder of the whole run's lock may call it. A process that takes
    /// a shard at this moment sees the run's lock and gives up.
    pub(crate) fn sweep_leases(&self) -> Result<()> {
        let folder = self.path().join(LEASES);
        for name in names_in(&folder)? {
            if name != RUN && name != JOBS && name != NOTES {
                remove(&folder.join(name))?;
            }
        }
        Ok(())
    }
}

/// A lease of this process.
struct Taken {
    run: PathBuf,
    lease: Weak<Lease>,
}

static TAKEN: Mutex<Vec<Taken>> = Mutex::new(Vec::new());

/// An error if this process had a lease on the run that a file belongs to, and lost it: while it slept, another process took the run.
pub(crate) fn check_held(file: &Path) -> io::Result<()> {
    let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut leases = taken.iter().filter(|one| file.starts_with(&one.run)).filter_map(|one| one.lease.upgrade());
    if leases.all(|lease| lease.is_held()) {
        return Ok(());
    }
    Err(io::Error::other(CommitError::LostLock { file: shown(file) }))
}

impl RunDirectory {
    /// Whether the run lies in a store and not on a disk.
    pub fn is_remote(&self) -> bool {
        is_remote(self.path())
    }
}
