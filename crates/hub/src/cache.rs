use std::{
    io,
    path::{Path, PathBuf},
};

use fs_err as fs;

use crate::settings::HubSettings;

/// Folder of a repository in the cache.
pub(crate) struct RepositoryCache {
    folder: PathBuf,
}

impl RepositoryCache {
    pub(crate) fn new(settings: &HubSettings, repository: &str) -> Self {
        Self { folder: settings.cache.join(format!("models--{}", repository.replace('/', "--"))) }
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    fn snapshot(&self, commit: &str, file: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(file)
    }

    /// The file as the cache has it, if it has it.
    pub(crate) fn find(&self, revision: &str, file: &str) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.reference(revision)).ok();
        let commit = commit.as_deref().map(str::trim).filter(|commit| is_plain(commit));
        self.find_at(commit.unwrap_or(revision), file)
    }

    /// The file as it is in one commit, if the cache has it.
    pub(crate) fn find_at(&self, commit: &str, file: &str) -> Option<PathBuf> {
        let path = self.snapshot(commit, file);
        path.is_file().then_some(path)
    }

    /// Puts a finished blob under its name: a relative link as `huggingface_hub` makes it, a copy where links are not to be
    /// had.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &str) -> io::Result<PathBuf> {
        let path = self.snapshot(commit, file);
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?;
        }
        let up = "../".repeat(2 + file.matches('/').count());
        if symlink(&PathBuf::from(format!("{up}blobs/{etag}")), &path).is_err() {
            fs::copy(self.blob(etag), &path)?;
        }
        Ok(path)
    }

    /// Makes a commit the one that `find` takes for the revision.
    pub(crate) fn point(&self, revision: &str, commit: &str) -> io::Result<()> {
        let reference = self.reference(revision);
        // A commit needs no reference to itself, but a stale reference would hide what was fetched.
        if commit == revision && !reference.is_file() {
            return Ok(());
        }
        fs::create_dir_all(reference.parent().unwrap_or(Path::new(".")))?;
        fs::write(reference, commit)
    }
}

/// Whether a text is safe as the name of one folder.
pub(crate) fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    fs::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_target: &Path, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A file that is in the cache already; no network is used.
pub fn cached(settings: &HubSettings, repository: &str, revision: &str, file: &str) -> Option<PathBuf> {
    RepositoryCache::new(settings, repository).find(revision, file)
}
