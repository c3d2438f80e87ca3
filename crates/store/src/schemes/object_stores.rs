//! Amazon S3 and what speaks its protocol, Google Cloud Storage and Azure Blob Storage.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use headspan_net::{ClientSettings, Redirects};
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, RetryConfig, UpdateVersion,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::MicrosoftAzureBuilder,
    client::{HttpClient, HttpConnector},
    gcp::GoogleCloudStorageBuilder,
    path::Path,
};

use super::aws_profile;
use crate::{
    address::Address,
    error::StoreError,
    provider::{Listing, Object, Provider, When},
};

/// Longest pause between two parts of an answer.
const PAUSE: Duration = Duration::from_secs(30);

/// A bucket or container.
struct Bucket {
    root: String,
    store: Box<dyn ObjectStore>,
}

/// Settings as Amazon's own tools take them: the environment, then the profile, then the machine's or the container's role.
pub(super) fn s3(address: &Address) -> Result<Arc<dyn Provider>, StoreError> {
    let mut builder = AmazonS3Builder::from_env();
    let profile = aws_profile::read().map_err(|source| settings(address, source))?;
    for (key, value) in profile.settings() {
        // Keys of an environment and of a profile are not mixed.
        if builder.get_config_value(&key).is_none() && !(aws_profile::is_key(&key) && has_keys(&builder)) {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let plain = endpoint.iter().filter_map(|key| builder.get_config_value(key)).any(|url| url.starts_with("http://"));
    let store = builder.with_url(&address.root).with_allow_http(plain).with_retry(retry());
    finished(address, store.with_http_connector(Connector { plain }).build())
}

fn has_keys(builder: &AmazonS3Builder) -> bool {
    let from_elsewhere = std::env::var_os("AWS_ACCESS_KEY_ID").is_some();
    from_elsewhere && builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).is_some()
}

/// Settings as Google's own tools take them: `GOOGLE_APPLICATION_CREDENTIALS`, what `gcloud auth` left, the machine's account.
pub(super) fn google(address: &Address) -> Result<Arc<dyn Provider>, StoreError> {
    let builder = GoogleCloudStorageBuilder::from_env().with_url(&address.root).with_retry(retry());
    let builder = match std::env::var("STORAGE_EMULATOR_HOST") {
        Ok(host) if !host.is_empty() => {
            let url = if host.contains("://") { host } else { format!("http://{host}") };
            let options = ClientOptions::new().with_allow_http(true);
            builder.with_base_url(&url).with_skip_signature(true).with_client_options(options)
        }
        _ => builder,
    };
    finished(address, builder.with_http_connector(Connector { plain: false }).build())
}

/// Settings as Azure's own tools take them: `AZURE_STORAGE_…`, what `az login` left, the machine's identity.
pub(super) fn azure(address: &Address) -> Result<Arc<dyn Provider>, StoreError> {
    let plain = std::env::var("AZURE_STORAGE_ENDPOINT").is_ok_and(|url| url.starts_with("http://"));
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(&address.root).with_allow_http(plain);
    if let Ok(endpoint) = std::env::var("AZURE_STORAGE_ENDPOINT") {
        builder = builder.with_endpoint(endpoint);
    }
    finished(address, builder.with_retry(retry()).with_http_connector(Connector { plain }).build())
}

fn finished(
    address: &Address,
    store: Result<impl ObjectStore, Error>,
) -> Result<Arc<dyn Provider>, StoreError> {
    let store = store.map_err(|error| settings(address, cleaned(&error)))?;
    Ok(Arc::new(Bucket { root: address.root.clone(), store: Box::new(store) }))
}

fn settings(address: &Address, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Settings { address: address.shown(), source: source.into() }
}

/// A store that asks for less haste gets it: waits double from a tenth of a second to 15 seconds.
fn retry() -> RetryConfig {
    let longest = Duration::from_secs(15);
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: longest, base: 2.0 };
    RetryConfig { backoff, max_retries: 12, retry_timeout: Duration::from_secs(180) }
}

/// Makes the client that everything else in headspan uses, with its proxies and certificates.
#[derive(Debug)]
struct Connector {
    /// Whether the store is reached by plain HTTP, which needs no certificates.
    plain: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let settings = ClientSettings { redirects: Redirects::None, pause: Some(PAUSE), whole: None };
        let url = if self.plain { "http://" } else { "https://" };
        let client = headspan_net::client(&settings, url)
            .map_err(|source| Error::Generic { store: "client", source: source.into() })?;
        Ok(HttpClient::new(client))
    }
}

#[async_trait]
impl Provider for Bucket {
    async fn head(&self, key: &str) -> Result<Object, StoreError> {
        let found = self.store.head(&self.path(key)?).await;
        found.map(object).map_err(|error| self.failed(key, error))
    }

    async fn range(&self, key: &str, range: Range<u64>, version: Option<&str>) -> Result<Bytes, StoreError> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: version.map(str::to_owned),
            ..GetOptions::default()
        };
        let failed = |error| match error {
            Error::Precondition { .. } => StoreError::ChangedWhileRead { address: self.shown(key) },
            error => self.failed(key, error),
        };
        let found = self.store.get_opts(&self.path(key)?, options).await.map_err(failed)?;
        found.bytes().await.map_err(failed)
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Listing, StoreError> {
        let prefix = if folder.is_empty() { None } else { Some(self.path(folder)?) };
        let failed = |error| self.failed(folder, error);
        if deep {
            let files: Vec<ObjectMeta> = self.store.list(prefix.as_ref()).try_collect().await.map_err(failed)?;
            return Ok(Listing { files: files.into_iter().map(object).collect(), folders: Vec::new() });
        }
        let found = self.store.list_with_delimiter(prefix.as_ref()).await.map_err(failed)?;
        Ok(Listing {
            files: found.objects.into_iter().map(object).collect(),
            folders: found.common_prefixes.into_iter().map(String::from).collect(),
        })
    }

    async fn put(&self, key: &str, bytes: Bytes, when: When) -> Result<Option<String>, StoreError> {
        let mode = match when {
            When::Always => PutMode::Overwrite,
            When::New => PutMode::Create,
            When::Still(version) => PutMode::Update(UpdateVersion { e_tag: Some(version), version: None }),
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.store.put_opts(&self.path(key)?, PutPayload::from_bytes(bytes), options).await;
        put.map(|put| put.e_tag).map_err(|error| match error {
            Error::AlreadyExists { .. } | Error::Precondition { .. } => StoreError::Changed { address: self.shown(key) },
            error => self.failed(key, error),
        })
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        match self.store.delete(&self.path(key)?).await {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other.map_err(|error| self.failed(key, error)),
        }
    }
}

impl Bucket {
    fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.root)
    }

    fn path(&self, key: &str) -> Result<Path, StoreError> {
        let why = "a key has names between single slashes, and none of them is `.` or `..`";
        Path::parse(key).map_err(|_why| StoreError::Address { address: self.shown(key), why })
    }

    fn failed(&self, key: &str, error: Error) -> StoreError {
        let address = self.shown(key);
        match &error {
            Error::NotFound { .. } => StoreError::NotFound { address },
            Error::PermissionDenied { .. } => StoreError::Denied { address, known: true, source: cleaned(&error) },
            Error::Unauthenticated { .. } => StoreError::Denied { address, known: false, source: cleaned(&error) },
            Error::NotSupported { .. } | Error::NotImplemented { .. } => {
                StoreError::Unsupported { address, what: "the store cannot do this" }
            }
            _ => StoreError::Failed { address, source: cleaned(&error) },
        }
    }
}

fn object(found: ObjectMeta) -> Object {
    let ObjectMeta { location, last_modified, size, e_tag, version: _ } = found;
    Object { key: location.into(), size, version: e_tag, modified: Some(last_modified.into()) }
}

/// What an error says, without the queries of addresses: a signature in one is a key for whoever reads the log.
fn cleaned(error: &Error) -> Box<dyn std::error::Error + Send + Sync> {
    let text = error.to_string();
    let word = |word: &str| if word.contains("://") { headspan_net::shown(word) } else { word.to_owned() };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ").into()
}
