use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::{
    address::Address,
    error::StoreError,
    files::{self, Metadata},
    provider::{Provider, When},
    runtime::{spawn, wait},
};

/// A lease that was not renewed for so long belongs to nobody. Tests wait less: `HEADSPAN_LEASE_SECONDS`, the same for all processes.
fn life() -> Duration {
    static LIFE: LazyLock<Duration> = LazyLock::new(|| {
        let set = std::env::var("HEADSPAN_LEASE_SECONDS").ok().and_then(|text| text.parse::<u32>().ok());
        Duration::from_secs(set.map_or(90, |seconds| seconds.max(3)).into())
    });
    *LIFE
}

/// Time between two renewals: 20 s.
fn pulse() -> Duration {
    life() * 2 / 9
}

/// Why a lease was not given.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process has it, or one that excludes it.
    #[error("`{address}` is held by {owner}, and is free {} s after that process ended", life().as_secs())]
    Held {
        /// Address of the other's lease.
        address: String,
        /// What the other wrote about itself.
        owner: String,
    },
    /// The store failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A lock among machines: a small file in a store, which its holder renews, and which ends with its holder even if that is
/// killed. Time is measured by the store's clock.
#[derive(Debug)]
pub struct Lease {
    address: Address,
    /// None once the lease is lost or ended.
    version: Arc<Known>,
    ended: Arc<AtomicBool>,
}

type Known = Mutex<Option<Renewed>>;

fn locked(known: &Known) -> MutexGuard<'_, Option<Renewed>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lease as this process last wrote it.
#[derive(Debug, Clone)]
struct Renewed {
    version: String,
    /// Before it was written: the store's time of it is later.
    at: Instant,
}

impl Lease {
    /// Takes the lease `name` in a remote folder, unless somebody has it or one that `excludes` says to exclude it. Fails at
    /// once, and leaves nothing then. Of two that exclude one another and are taken at the same moment, at most one is given.
    pub fn take(folder: &Path, name: &str, excludes: impl Fn(&str) -> bool) -> Result<Self, LeaseError> {
        let path = folder.join(name);
        let address =
            Address::of(&path).map_err(io::Error::from)?.ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
        let at = Instant::now();
        let renewed = Renewed { version: first(&path, &address)?, at };
        let lease = Self { address, version: Arc::new(Mutex::new(Some(renewed))), ended: Arc::default() };
        // Only now: whoever comes later sees this one.
        let now = files::metadata(&path)?.modified;
        for other in files::read_dir(folder)? {
            let other_name = other.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let is_probe = other.path.extension().is_some_and(|ending| ending == "probe");
            let is_lease = other_name != name && !is_probe;
            if is_lease && excludes(&other_name) && is_alive(&other.metadata, now) {
                return Err(held(&other.path));
            }
        }
        lease.keep_alive()?;
        Ok(lease)
    }

    /// Whether the lease is still this process's: a process that slept, or could not reach the store for so long that others may take
    /// the lease, may have lost it.
    pub fn is_held(&self) -> bool {
        let renewed = locked(&self.version);
        renewed.as_ref().is_some_and(|renewed| renewed.at.elapsed() < life())
    }

    /// The same, after some time for a renewal that is on its way.
    pub fn is_held_again(&self) -> bool {
        let until = Instant::now() + 2 * pulse();
        while !self.is_held() {
            let is_lost = locked(&self.version).is_none();
            if is_lost || Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        true
    }

    fn keep_alive(&self) -> io::Result<()> {
        let (address, version, ended) = (self.address.clone(), Arc::clone(&self.version), Arc::clone(&self.ended));
        let provider = address.provider()?;
        spawn(async move {
            loop {
                tokio::time::sleep(pulse()).await;
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let Some(known) = locked(&version).clone() else { return };
                let at = Instant::now();
                match write(&*provider, &address, When::Still(known.version)).await {
                    Ok(renewed) => {
                        let renewed = renewed.map(|version| Renewed { version, at });
                        *locked(&version) = renewed;
                    }
                    Err(StoreError::Changed { .. } | StoreError::NotFound { .. }) => {
                        tracing::warn!("`{}` was taken by another process", address.shown());
                        *locked(&version) = None;
                    }
                    // The next renewal may succeed before the lease runs out.
                    Err(error) => tracing::debug!(%error, "a lease was not renewed"),
                }
            }
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let renewed = locked(&self.version).take();
        // What is there may be the lease of somebody else by now.
        if renewed.is_none_or(|renewed| renewed.at.elapsed() >= life()) {
            return;
        }
        let address = self.address.clone();
        let removed = address.provider().and_then(|provider| wait(async move { provider.remove(&address.key).await }));
        if let Err(error) = removed.and_then(|removed| removed.map_err(io::Error::from)) {
            tracing::debug!(%error, "a lease stays until it runs out");
        }
    }
}

/// Writes the lease if nobody alive has it. Gives its version.
fn first(path: &Path, address: &Address) -> Result<String, LeaseError> {
    let version = |put: Option<String>| put.ok_or_else(|| unversioned(path).into());
    let put = |when: When| -> io::Result<Result<Option<String>, StoreError>> {
        let (provider, address) = (address.provider()?, address.clone());
        wait(async move { write(&*provider, &address, when).await })
    };
    match put(When::New)? {
        Err(StoreError::Changed { .. }) => {}
        other => return version(other.map_err(io::Error::from)?),
    }
    // The clock of the store, by a file of our own.
    let probe = path.with_extension(format!("{}.probe", std::process::id()));
    files::put(&probe, note(), When::Always)?;
    let now = files::metadata(&probe)?.modified;
    files::remove(&probe)?;
    let found = match files::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(held(path)),
        Err(error) => return Err(error.into()),
    };
    let Some(stale) = found.version.clone().filter(|_version| !is_alive(&found, now)) else { return Err(held(path)) };
    match put(When::Still(stale))? {
        Err(StoreError::Changed { .. } | StoreError::NotFound { .. }) => Err(held(path)),
        other => version(other.map_err(io::Error::from)?),
    }
}

/// Writes the lease. If the store did so and its answer was lost, the next try finds this process's own note, which is as good.
async fn write(provider: &dyn Provider, address: &Address, when: When) -> Result<Option<String>, StoreError> {
    let note = note();
    let written = provider.put(&address.key, note.clone().into(), when).await;
    if let Err(StoreError::Changed { .. }) = written
        && let Ok((found, bytes)) = provider.start(&address.key, 1 << 10).await
        && bytes == note
    {
        return Ok(found.version);
    }
    written
}

fn is_alive(lease: &Metadata, now: Option<SystemTime>) -> bool {
    let age = lease.modified.zip(now).and_then(|(modified, now)| now.duration_since(modified).ok());
    // A store that says no times never lets a lease run out.
    age.is_none_or(|age| age < life())
}

fn held(path: &Path) -> LeaseError {
    let owner = files::read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let owner = owner.lines().next().filter(|line| !line.is_empty()).unwrap_or("another process").to_owned();
    LeaseError::Held { address: crate::shown(path), owner }
}

fn unversioned(path: &Path) -> io::Error {
    let what = "the store gives files no versions, so nothing can be locked there";
    StoreError::Unsupported { address: crate::shown(path), what }.into()
}

/// Who holds the lease. The second line makes each note, and so each version, another.
fn note() -> Vec<u8> {
    let host = fs_err::read_to_string(PathBuf::from("/proc/sys/kernel/hostname")).ok();
    let host = host.or_else(|| std::env::var("COMPUTERNAME").ok()).unwrap_or_else(|| "another machine".to_owned());
    let moment = SystemTime::UNIX_EPOCH.elapsed().map(|time| time.as_nanos()).unwrap_or_default();
    format!("process {} on {}\n{moment}\n", std::process::id(), host.trim()).into_bytes()
}
