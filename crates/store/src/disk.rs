//! Blocks of remote runs on disk. Nothing depends on them: whatever fails here, the block is fetched.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use bytes::Bytes;

/// Bytes of all blocks, unless `HEADSPAN_CACHE_BYTES` says another number.
const LIMIT: u64 = 4 << 30;
/// Bytes that are written before the cache is looked through again.
const PACE: u64 = 256 << 20;

/// Folder of the cache: `HEADSPAN_CACHE`, else `headspan` in the user's folder of caches.
fn folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME").or_else(|| set("USERPROFILE"))?.join(".cache")));
    Some(set("HEADSPAN_CACHE").or_else(|| Some(user()?.join("headspan")))?.join("blocks"))
}

fn limit() -> u64 {
    std::env::var("HEADSPAN_CACHE_BYTES").ok().and_then(|text| text.parse().ok()).unwrap_or(LIMIT)
}

fn place(id: &[u8; 32], number: u64) -> Option<PathBuf> {
    let name: String = id[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(folder()?.join(name).join(number.to_string()))
}

/// A block, if it is there whole.
pub(crate) fn get(id: &[u8; 32], number: u64) -> Option<Bytes> {
    let path = place(id, number)?;
    let stored = fs_err::read(&path).ok()?;
    let (bytes, sum) = stored.split_last_chunk::<32>()?;
    if blake3::hash(bytes).as_bytes() != sum {
        return None;
    }
    // Blocks that were used last go last.
    let used = fs_err::OpenOptions::new().append(true).open(&path).and_then(|file| file.file().set_modified(SystemTime::now()));
    if let Err(error) = used {
        tracing::debug!(%error, "a block of the cache keeps its old time");
    }
    let length = bytes.len();
    Some(Bytes::from(stored).slice(..length))
}

/// Keeps a block.
pub(crate) fn put(id: &[u8; 32], number: u64, bytes: &[u8]) {
    static WRITTEN: AtomicU64 = AtomicU64::new(PACE);
    let Some(path) = place(id, number) else { return };
    if let Err(error) = write(&path, bytes) {
        tracing::debug!(%error, "a block is not kept on disk");
        return;
    }
    let written = WRITTEN.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
    if written >= PACE {
        WRITTEN.store(0, Ordering::Relaxed);
        if let Some(folder) = folder()
            && let Err(error) = shrink(&folder, limit())
        {
            tracing::debug!(%error, "the cache of blocks was not looked through");
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs_err::create_dir_all(folder)?;
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut stored = Vec::with_capacity(bytes.len() + 32);
    stored.extend_from_slice(bytes);
    stored.extend_from_slice(blake3::hash(bytes).as_bytes());
    fs_err::write(&unfinished, stored)?;
    fs_err::rename(&unfinished, path)
}

/// Removes the blocks that were used longest ago until nine tenths of the limit are left.
fn shrink(folder: &Path, limit: u64) -> io::Result<()> {
    let (mut files, mut total) = (Vec::new(), 0);
    for of_file in fs_err::read_dir(folder)? {
        let of_file = of_file?.path();
        for block in fs_err::read_dir(&of_file)? {
            let block = block?;
            let Ok(found) = block.metadata() else { continue };
            total += found.len();
            files.push((found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len(), block.path()));
        }
    }
    if total <= limit {
        return Ok(());
    }
    files.sort();
    for (_used, length, path) in files {
        if total <= limit / 10 * 9 {
            break;
        }
        // Another process may have removed it.
        if fs_err::remove_file(&path).is_ok() {
            total -= length;
        }
        if let Some(of_file) = path.parent() {
            // It is removed once it is empty.
            drop(std::fs::remove_dir(of_file));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_that_were_used_longest_ago_go() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        for (number, age) in [(0, 30), (1, 10), (2, 20)] {
            let path = root.path().join(format!("f{number}")).join("0");
            write(&path, &[0; 68])?;
            let used = SystemTime::now() - std::time::Duration::from_secs(age);
            fs_err::OpenOptions::new().append(true).open(&path)?.file().set_modified(used)?;
        }
        shrink(root.path(), 300)?;
        assert_eq!(fs_err::read_dir(root.path())?.count(), 3);
        shrink(root.path(), 250)?;
        let left: Vec<_> = ["f0", "f1", "f2"].into_iter().filter(|name| root.path().join(name).exists()).collect();
        assert_eq!(left, ["f1", "f2"]);
        Ok(())
    }
}
