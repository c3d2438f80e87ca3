use std::path::PathBuf;

use crate::{
    cache::RepositoryCache,
    download::{Expected, Progress, download},
    error::HubError,
    facts::facts,
    request::Connection,
    settings::HubSettings,
};

/// A repository at one commit, so that files fetched one after another belong together even if the hub moves on.
pub struct Snapshot<'a> {
    connection: Connection<'a>,
    cache: RepositoryCache,
    repository: &'a str,
    revision: &'a str,
    commit: String,
}

impl<'a> Snapshot<'a> {
    /// Asks the hub, by way of one of the files, which commit the revision is now.
    pub async fn latest(
        settings: &'a HubSettings,
        repository: &'a str,
        revision: &'a str,
        file: &str,
    ) -> Result<Self, HubError> {
        let url = address(settings, repository, revision, file);
        let connection = Connection::new(settings, &url)?;
        let commit = connection.retried(&url, || facts(&connection, &url, revision)).await?.commit;
        Ok(Self { connection, cache: RepositoryCache::new(settings, repository), repository, revision, commit })
    }

    /// Fetches one file unless the cache has it of this commit, and returns where it is.
    pub async fn fetch(&self, file: &str, progress: Progress<'_>) -> Result<PathBuf, HubError> {
        if let Some(path) = self.cache.find_at(&self.commit, file) {
            return Ok(path);
        }
        let connection = &self.connection;
        let url = address(connection.settings, self.repository, &self.commit, file);
        let facts = connection.retried(&url, || facts(connection, &url, &self.commit)).await?;
        let blob = self.cache.blob(&facts.etag);
        if !blob.is_file() {
            let expected = Expected { size: facts.size, sha256: facts.sha256 };
            download(connection, &url, &blob, &expected, progress).await?;
        }
        Ok(self.cache.link(&self.commit, file, &facts.etag)?)
    }

    /// Makes this commit the one that the cache finds for the revision. To be called once every file is there: until then
    /// the cache keeps what it had.
    pub fn keep(&self) -> Result<(), HubError> {
        Ok(self.cache.point(self.revision, &self.commit)?)
    }
}

/// Fetches one file of a repository and returns where it is. A file that the cache has is not fetched again.
///
/// Files that belong together are fetched by one [`Snapshot`].
pub async fn fetch_file(
    settings: &HubSettings,
    repository: &str,
    revision: &str,
    file: &str,
    progress: Progress<'_>,
) -> Result<PathBuf, HubError> {
    if let Some(path) = RepositoryCache::new(settings, repository).find(revision, file) {
        return Ok(path);
    }
    let snapshot = Snapshot::latest(settings, repository, revision, file).await?;
    let path = snapshot.fetch(file, progress).await?;
    snapshot.keep()?;
    Ok(path)
}

fn address(settings: &HubSettings, repository: &str, revision: &str, file: &str) -> String {
    format!("{}/{repository}/resolve/{revision}/{file}", settings.endpoint)
}
