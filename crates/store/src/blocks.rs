//! Blocks of remote files in memory: one store of them for the process, so that memory does not grow with files.

use std::{
    io,
    num::NonZeroUsize,
    ops::Range,
    sync::{Arc, Condvar, LazyLock, Mutex, PoisonError},
};

use bytes::Bytes;
use lru::LruCache;
use tokio::sync::Semaphore;

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
const AHEAD: u64 = 6;
/// Blocks that are kept: 128 MiB.
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
        // Without a version, blocks on disk could be those of a file that was there before.
        let on_disk = on_disk && object.version.is_some();
        Self { address, provider, id: *hasher.finalize().as_bytes(), on_disk, object }
    }

    pub(crate) fn size(&self) -> u64 {
        self.object.size
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.object.version.as_deref()
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

    async fn fetch(&self, range: Range<u64>) -> io::Result<Bytes> {
        static ON_THE_WAY: Semaphore = Semaphore::const_new(REQUESTS);
        let _turn = ON_THE_WAY.acquire().await.map_err(io::Error::other)?;
        let expected = range.end - range.start;
        let bytes = self.provider.range(&self.address.key, range, self.version()).await?;
        if bytes.len() as u64 != expected {
            return Err(StoreError::ChangedWhileRead { address: self.shown() }.into());
        }
        Ok(bytes)
    }

    async fn block(&self, number: u64) -> io::Result<Bytes> {
        if self.on_disk
            && let Some(bytes) = disk::get(&self.id, number)
        {
            return Ok(bytes);
        }
        let bytes = self.fetch(number * BLOCK..((number + 1) * BLOCK).min(self.object.size)).await?;
        if self.on_disk {
            disk::put(&self.id, number, &bytes);
        }
        Ok(bytes)
    }
}

/// A block that is here or on its way.
#[derive(Default)]
struct Slot {
    state: Mutex<Option<Result<Bytes, io::Error>>>,
    arrived: Condvar,
}

type Blocks = LruCache<([u8; 32], u64), Arc<Slot>>;

static BLOCKS: LazyLock<Mutex<Blocks>> = LazyLock::new(|| Mutex::new(LruCache::new(ROOM)));

/// A block, fetched if it is not at hand. With `ahead`, those behind it are fetched too.
pub(crate) fn get(source: &Arc<Source>, number: u64, ahead: bool) -> io::Result<Bytes> {
    let slot = slot(source, number)?;
    if ahead {
        // From the last on: in the order of use the nearest is the youngest.
        for next in (number + 1..=number + AHEAD).rev().filter(|next| *next < source.blocks()) {
            drop(self::slot(source, next)?);
        }
    }
    let mut state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match &*state {
            None => state = slot.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(Ok(bytes)) => return Ok(bytes.clone()),
            Some(Err(_error)) => break,
        }
    }
    // Failures are not kept: the next reader asks again. Of several readers that wait, one is given the error itself.
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner).pop(&(source.id, number));
    let again = || StoreError::Failed { address: source.shown(), source: "another thread was refused these bytes".into() };
    match state.replace(Err(again().into())) {
        Some(Err(error)) => Err(error),
        _ => Err(again().into()),
    }
}

/// Bytes that nothing near them was read of: a thumbnail out of a shard.
pub(crate) fn exact(source: &Arc<Source>, range: Range<u64>) -> io::Result<Bytes> {
    let source = Arc::clone(source);
    wait(async move { source.fetch(range).await })?
}

/// The place of a block. Whoever asks first has it fetched.
fn slot(source: &Arc<Source>, number: u64) -> io::Result<Arc<Slot>> {
    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(slot) = blocks.get(&(source.id, number)) {
        return Ok(Arc::clone(slot));
    }
    let slot = Arc::new(Slot::default());
    blocks.put((source.id, number), Arc::clone(&slot));
    drop(blocks);
    let (source, filled) = (Arc::clone(source), Arc::clone(&slot));
    spawn(async move {
        let bytes = source.block(number).await;
        *filled.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
        filled.arrived.notify_all();
    })?;
    Ok(slot)
}
