//! Blocks of remote files in memory: one store of them for the process, so that memory does not grow with files.

use std::{
    num::NonZeroUsize,
    ops::Range,
    sync::{
        Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use lru::LruCache;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    address::Address,
    disk,
    error::StoreError,
    provider::{Object, Provider},
    runtime::{spawn, wait},
};

/// Bytes of a block. Half a request a mebibyte, and a column of one head of a part (10,000 images, 64 numbers) is two of them.
pub(crate) const BLOCK: u64 = 2 << 20;
/// Blocks that are fetched before they are asked for, where a file is read forwards: 12 MiB on the way hide 50 ms of a store
/// at 240 MiB a second.
pub(crate) const AHEAD: u64 = 6;
/// Blocks that are kept: 128 MiB. The compiler evaluates this; zero would not compile.
const ROOM: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Requests on the way at once.
const REQUESTS: usize = 16;

/// A remote file, and where its bytes come from.
pub(crate) struct Source {
    address: Address,
    provider: Arc<dyn Provider>,
    object: Object,
    /// What tells this version of this file from all others.
    id: [u8; 32],
    on_disk: bool,
}

impl Source {
    pub(crate) fn new(address: Address, provider: Arc<dyn Provider>, object: Object, on_disk: bool) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [&address.root, &address.key, &address.query, object.version.as_deref().unwrap_or("")] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.update(&object.size.to_le_bytes());
        if object.version.is_none() {
            // Another file may be there each time.
            static OPENED: AtomicU64 = AtomicU64::new(0);
            hasher.update(&OPENED.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        }
        // Without a version, blocks on disk could be those of a file that was there before.
        let on_disk = on_disk && object.version.is_some();
        Self { address, provider, id: *hasher.finalize().as_bytes(), on_disk, object }
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    pub(crate) fn size(&self) -> u64 {
        self.object.size
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.object.version.as_deref()
    }

    pub(crate) fn id(&self) -> &[u8; 32] {
        &self.id
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        self.on_disk
    }

    pub(crate) fn shown(&self) -> String {
        self.address.shown()
    }

    /// Number of blocks.
    fn blocks(&self) -> u64 {
        self.object.size.div_ceil(BLOCK)
    }

    async fn fetch(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let _turn = turn().await;
        let expected = range.end - range.start;
        let bytes = self.provider.range(&self.address.key, range, self.version()).await;
        let bytes = bytes.map_err(|error| match error {
            // It was there when it was opened.
            StoreError::NotFound { address } => StoreError::ChangedWhileRead { address },
            error => error,
        })?;
        if bytes.len() as u64 != expected {
            return Err(StoreError::ChangedWhileRead { address: self.shown() });
        }
        Ok(bytes)
    }

    async fn block(&self, number: u64) -> Result<Bytes, StoreError> {
        let name = number.to_string();
        if self.on_disk
            && let Some(bytes) = disk::BLOCKS.get(&self.id, &name)
        {
            return Ok(bytes);
        }
        let bytes = self.fetch(number * BLOCK..((number + 1) * BLOCK).min(self.object.size)).await?;
        if self.on_disk {
            disk::BLOCKS.put(&self.id, &name, &bytes);
        }
        Ok(bytes)
    }
}

/// Waits until not too many requests are on the way.
pub(crate) async fn turn() -> Option<SemaphorePermit<'static>> {
    static ON_THE_WAY: Semaphore = Semaphore::const_new(REQUESTS);
    // It fails only for a semaphore that was closed, which this one never is.
    ON_THE_WAY.acquire().await.ok()
}

/// A block that is here or on its way.
#[derive(Default)]
struct Slot {
    state: Mutex<Option<Result<Bytes, StoreError>>>,
    arrived: Condvar,
}

impl Slot {
    fn fill(&self, bytes: Result<Bytes, StoreError>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(bytes);
        self.arrived.notify_all();
    }

    fn has_failed(&self) -> bool {
        matches!(&*self.state.lock().unwrap_or_else(PoisonError::into_inner), Some(Err(_)))
    }

    fn wait(&self) -> Result<Bytes, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(bytes) = &*state {
                return bytes.clone();
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Fills a slot even if the request panics: readers wait for it.
struct Filling {
    slot: Arc<Slot>,
    address: String,
}

impl Drop for Filling {
    fn drop(&mut self) {
        let source = Arc::new(std::io::Error::other("the request ended without an answer"));
        self.slot.fill(Err(StoreError::Failed { address: std::mem::take(&mut self.address), source }));
    }
}

type Blocks = LruCache<([u8; 32], u64), Arc<Slot>>;

static BLOCKS: LazyLock<Mutex<Blocks>> = LazyLock::new(|| Mutex::new(LruCache::new(ROOM)));

fn blocks() -> MutexGuard<'static, Blocks> {
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a block is here or on its way.
pub(crate) fn is_known(source: &Source, number: u64) -> bool {
    blocks().contains(&(source.id, number))
}

/// A block, fetched if it is not at hand. So many behind it are fetched too.
pub(crate) fn get(source: &Arc<Source>, number: u64, ahead: u64) -> Result<Bytes, StoreError> {
    let slot = slot(source, number)?;
    // From the last on: in the order of use the nearest is the youngest.
    for next in (number + 1..=number + ahead).rev().filter(|next| *next < source.blocks()) {
        self::slot(source, next)?;
    }
    slot.wait()
}

/// Bytes that nothing near them was read of: a thumbnail out of a shard.
pub(crate) fn exact(source: &Arc<Source>, range: Range<u64>) -> Result<Bytes, StoreError> {
    let own = Arc::clone(source);
    wait(async move { own.fetch(range).await }).map_err(|error| failed(source, error))?
}

/// These bytes, from disk if they are there; with `keep`, they are there afterwards. For columns of a table, which are asked for again
/// as they are and not by blocks.
pub(crate) fn kept(source: &Arc<Source>, range: Range<u64>, keep: bool) -> Result<Bytes, StoreError> {
    let name = format!("{}-{}", range.start, range.end);
    let expected = range.end - range.start;
    if source.on_disk
        && let Some(bytes) = disk::BLOCKS.get(&source.id, &name).filter(|bytes| bytes.len() as u64 == expected)
    {
        return Ok(bytes);
    }
    let bytes = exact(source, range)?;
    if keep && source.on_disk {
        disk::BLOCKS.put(&source.id, &name, &bytes);
    }
    Ok(bytes)
}

/// The place of a block. Whoever asks first has it fetched.
fn slot(source: &Arc<Source>, number: u64) -> Result<Arc<Slot>, StoreError> {
    let mut blocks = blocks();
    // A failure is for those who waited: whoever comes later asks again, also for what was fetched ahead.
    if let Some(slot) = blocks.get(&(source.id, number)).filter(|slot| !slot.has_failed()) {
        return Ok(Arc::clone(slot));
    }
    let slot = Arc::new(Slot::default());
    blocks.put((source.id, number), Arc::clone(&slot));
    drop(blocks);
    let filling = Filling { slot: Arc::clone(&slot), address: source.shown() };
    let own = Arc::clone(source);
    spawn(async move {
        let bytes = own.block(number).await;
        filling.slot.fill(bytes);
    })
    .map_err(|error| failed(source, error))?;
    Ok(slot)
}

fn failed(source: &Source, error: std::io::Error) -> StoreError {
    StoreError::Failed { address: source.shown(), source: Arc::new(error) }
}
