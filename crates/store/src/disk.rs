//! What is kept on disk of remote files. Nothing depends on it: whatever fails here, it is fetched or worked out again.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use bytes::Bytes;

/// Most bytes of blocks, unless `HEADSPAN_CACHE_BYTES` says another number.
const LIMIT: u64 = 4 << 30;

/// A part of the cache, with a bound of its own.
pub(crate) struct Shelf {
    name: &'static str,
    /// Its bound is the limit divided by this.
    share: u64,
    /// Bytes that were written since the shelf was last looked through.
    written: AtomicU64,
}

/// Blocks of remote runs.
pub(crate) static BLOCKS: Shelf = Shelf::new("blocks", 1);
/// What was worked out about remote files, such as where the members of a tar are.
pub(crate) static NOTES: Shelf = Shelf::new("notes", 4);

/// Folder of what can be made again: `HEADSPAN_CACHE`, else `headspan` in the user's folder of caches. None without a home folder.
pub fn cache_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME").or_else(|| set("USERPROFILE"))?.join(".cache")));
    set("HEADSPAN_CACHE").or_else(|| Some(user()?.join("headspan")))
}

impl Shelf {
    const fn new(name: &'static str, share: u64) -> Self {
        // Looked through at the first write: other processes have written too.
        Self { name, share, written: AtomicU64::new(u64::MAX / 2) }
    }

    fn limit(&self) -> u64 {
        let set = std::env::var("HEADSPAN_CACHE_BYTES").ok().and_then(|text| text.parse().ok());
        set.unwrap_or(LIMIT) / self.share
    }

    fn place(&self, id: &[u8; 32], name: &str) -> Option<PathBuf> {
        let file: String = id[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Some(cache_folder()?.join(self.name).join(file).join(name))
    }

    /// What was kept of a file under a name, if it is there whole.
    pub(crate) fn get(&self, id: &[u8; 32], name: &str) -> Option<Bytes> {
        read(&self.place(id, name)?)
    }

    /// Keeps something of a file.
    pub(crate) fn put(&self, id: &[u8; 32], name: &str, bytes: &[u8]) {
        let limit = self.limit();
        let Some(path) = self.place(id, name).filter(|_path| bytes.len() as u64 <= limit / 2) else { return };
        if let Err(error) = write(&path, bytes) {
            tracing::debug!(%error, "`{name}` of a remote file is not kept on disk");
            return;
        }
        let written = self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
        if written >= limit / 16 {
            self.written.store(0, Ordering::Relaxed);
            if let Some(folder) = cache_folder()
                && let Err(error) = shrink(&folder.join(self.name), limit)
            {
                tracing::debug!(%error, "the cache was not looked through");
            }
        }
    }
}

fn read(path: &Path) -> Option<Bytes> {
    let stored = fs_err::read(path).ok()?;
    let (bytes, sum) = stored.split_last_chunk::<32>()?;
    if blake3::hash(bytes).as_bytes() != sum {
        return None;
    }
    // What was used last goes last.
    let used =
        fs_err::OpenOptions::new().append(true).open(path).and_then(|file| file.file().set_modified(SystemTime::now()));
    if let Err(error) = used {
        tracing::debug!(%error, "a file of the cache keeps its old time");
    }
    let length = bytes.len();
    Some(Bytes::from(stored).slice(..length))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some(folder) = path.parent() else { return Ok(()) };
    fs_err::create_dir_all(folder)?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let unfinished = path.with_extension(format!("{}-{count}.tmp", std::process::id()));
    let mut stored = Vec::with_capacity(bytes.len() + 32);
    stored.extend_from_slice(bytes);
    stored.extend_from_slice(blake3::hash(bytes).as_bytes());
    fs_err::write(&unfinished, stored)?;
    fs_err::rename(&unfinished, path)
}

/// Removes the files that were used longest ago until nine tenths of the limit are left.
fn shrink(folder: &Path, limit: u64) -> io::Result<()> {
    let (mut files, mut total) = (Vec::new(), 0);
    for of_file in fs_err::read_dir(folder)? {
        // Another process may remove files at the same time.
        let Ok(kept) = fs_err::read_dir(of_file?.path()) else { continue };
        for kept in kept.flatten() {
            let Ok(found) = kept.metadata() else { continue };
            total += found.len();
            files.push((found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len(), kept.path()));
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
    fn what_was_used_longest_ago_goes() -> io::Result<()> {
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
