//! Amazon S3 and what speaks its protocol, Google Cloud Storage and Azure Blob Storage.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use headspan_net::{ClientSettings, Redirects};
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, CredentialProvider, Error, GetOptions, GetRange, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::MicrosoftAzureBuilder,
    client::{HttpClient, HttpConnector},
    gcp::GoogleCloudStorageBuilder,
    path::Path,
};

use super::aws_profile;
use crate::{
    address::Address,
    error::{Cause, StoreError},
    provider::{Listing, Object, Provider, When},
};

/// Longest pause between two parts of an answer.
const PAUSE: Duration = Duration::from_secs(30);
/// Wait before the second try.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Tries of a request whose answer breaks off.
const TRIES: u32 = 8;
/// Longest wait for a machine's own role. Off the cloud, nobody answers.
const ROLE: Duration = Duration::from_secs(2);

/// A bucket or container.
pub(crate) struct Bucket {
    root: String,
    store: Box<dyn ObjectStore>,
}

/// Settings as Amazon's own tools take them: the environment, then the profile, then the machine's or the container's role.
pub(super) fn s3(address: &Address) -> Result<Arc<dyn Provider>, StoreError> {
    let mut builder = AmazonS3Builder::from_env();
    let profile = aws_profile::read().map_err(|source| settings(address, Arc::new(source)))?;
    // Keys of an environment and of a profile are not mixed.
    let has_keys = builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).is_some();
    for (key, value) in profile.settings() {
        if builder.get_config_value(&key).is_none() && !(has_keys && aws_profile::is_key(&key)) {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let plain = endpoint.iter().filter_map(|key| builder.get_config_value(key)).any(|url| url.starts_with("http://"));
    let builder = builder.with_url(&address.root).with_allow_http(plain).with_http_connector(Connector { plain });
    let found = builder.clone().with_retry(short()).build().map_err(|error| settings(address, cleaned(&error)))?;
    let builder = builder.with_credentials(Arc::new(Asking(Arc::clone(found.credentials()))));
    finished(address, builder.with_retry(retry()).build())
}

/// Settings as Google's own tools take them: `GOOGLE_APPLICATION_CREDENTIALS`, what `gcloud auth` left, the machine's account.
pub(super) fn google(address: &Address) -> Result<Arc<dyn Provider>, StoreError> {
    let builder = GoogleCloudStorageBuilder::from_env().with_url(&address.root);
    let builder = match std::env::var("STORAGE_EMULATOR_HOST") {
        Ok(host) if !host.is_empty() => {
            let url = if host.contains("://") { host } else { format!("http://{host}") };
            let options = ClientOptions::new().with_allow_http(true);
            builder.with_base_url(&url).with_skip_signature(true).with_client_options(options)
        }
        _ => builder,
    };
    let builder = builder.with_http_connector(Connector { plain: false });
    let found = builder.clone().with_retry(short()).build().map_err(|error| settings(address, cleaned(&error)))?;
    let builder = builder.with_credentials(Arc::new(Asking(Arc::clone(found.credentials()))));
    finished(address, builder.with_retry(retry()).build())
}

/// Settings as Azure's own tools take them: `AZURE_STORAGE_…`, what `az login` left, the machine's identity.
pub(super) fn azure(address: &Address) -> Result<Arc<dyn Provider>, StoreError> {
    let plain = std::env::var("AZURE_STORAGE_ENDPOINT").is_ok_and(|url| url.starts_with("http://"));
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(&address.root).with_allow_http(plain);
    if let Ok(endpoint) = std::env::var("AZURE_STORAGE_ENDPOINT") {
        builder = builder.with_endpoint(endpoint);
    }
    let builder = builder.with_http_connector(Connector { plain });
    let found = builder.clone().with_retry(short()).build().map_err(|error| settings(address, cleaned(&error)))?;
    let builder = builder.with_credentials(Arc::new(Asking(Arc::clone(found.credentials()))));
    finished(address, builder.with_retry(retry()).build())
}

fn finished(address: &Address, store: Result<impl ObjectStore, Error>) -> Result<Arc<dyn Provider>, StoreError> {
    let store = store.map_err(|error| settings(address, cleaned(&error)))?;
    Ok(Arc::new(Bucket::new(address.root.clone(), store)))
}

fn settings(address: &Address, source: Cause) -> StoreError {
    StoreError::Settings { address: address.shown(), source }
}

/// A store that asks for less haste gets it: waits double from a tenth of a second to 15 seconds.
fn retry() -> RetryConfig {
    let longest = Duration::from_secs(15);
    let backoff = BackoffConfig { init_backoff: FIRST_WAIT, max_backoff: longest, base: 2.0 };
    RetryConfig { backoff, max_retries: 12, retry_timeout: Duration::from_secs(180) }
}

/// For questions who asks: where nobody answers, there is no role.
fn short() -> RetryConfig {
    RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(10), ..retry() }
}

/// Gives credentials, or says that there are none.
#[derive(Debug)]
struct Asking<C>(Arc<dyn CredentialProvider<Credential = C>>);

#[async_trait]
impl<C: std::fmt::Debug + Send + Sync> CredentialProvider for Asking<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        let none = |error: Error| Error::Unauthenticated {
            path: String::new(),
            source: Box::new(NoCredentials(said(&error))),
        };
        self.0.get_credential().await.map_err(none)
    }
}

/// There are no credentials.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoCredentials(String);

/// Makes the client that everything else in headspan uses, with its proxies and certificates.
#[derive(Debug)]
pub(crate) struct Connector {
    /// Whether the store is reached by plain HTTP, which needs no certificates.
    pub(crate) plain: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // The library waits a second for the connection to a machine's own role, and longer for any other.
        let wait = |options: &ClientOptions| options.get_config_value(&ClientConfigKey::ConnectTimeout);
        let is_of_role = wait(options) == wait(&ClientOptions::new().with_connect_timeout(Duration::from_secs(1)));
        let whole = is_of_role.then_some(ROLE);
        let settings = ClientSettings { redirects: Redirects::None, pause: Some(PAUSE), whole };
        let url = if self.plain { "http://" } else { "https://" };
        let client = headspan_net::client(&settings, url)
            .map_err(|source| Error::Generic { store: "client", source: source.into() })?;
        Ok(HttpClient::new(client))
    }
}

#[async_trait]
impl Provider for Bucket {
    async fn head(&self, key: &str) -> Result<Object, StoreError> {
        self.again(key, || async {
            let found = self.store.head(&self.path(key)?).await;
            found.map(object).map_err(|error| self.failed(key, &error))
        })
        .await
    }

    async fn start(&self, key: &str, length: u64) -> Result<(Object, Bytes), StoreError> {
        let started = self.again(key, || async {
            let options = GetOptions { range: Some(GetRange::Bounded(0..length)), ..GetOptions::default() };
            let failed = |error: Error| self.failed(key, &error);
            let found = self.store.get_opts(&self.path(key)?, options).await.map_err(failed)?;
            let object = object(found.meta.clone());
            Ok((object, found.bytes().await.map_err(failed)?))
        });
        match started.await {
            // An empty file has no first byte.
            Err(StoreError::Failed { address, source }) => match self.head(key).await {
                Ok(object) if object.size == 0 => Ok((object, Bytes::new())),
                _ => Err(StoreError::Failed { address, source }),
            },
            other => other,
        }
    }

    async fn range(&self, key: &str, range: Range<u64>, version: Option<&str>) -> Result<Bytes, StoreError> {
        let failed = |error: Error| {
            if is_precondition(&error) {
                StoreError::ChangedWhileRead { address: self.shown(key) }
            } else {
                self.failed(key, &error)
            }
        };
        self.again(key, || async {
            let options = GetOptions {
                range: Some(GetRange::Bounded(range.clone())),
                if_match: version.map(str::to_owned),
                ..GetOptions::default()
            };
            let found = self.store.get_opts(&self.path(key)?, options).await.map_err(failed)?;
            found.bytes().await.map_err(failed)
        })
        .await
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Listing, StoreError> {
        self.again(folder, || self.list_once(folder, deep)).await
    }

    async fn put(&self, key: &str, bytes: Bytes, when: When) -> Result<Option<String>, StoreError> {
        // Where the answer to a put breaks off, it was a refusal: that of a success has no body.
        self.again(key, || async {
            let mode = match &when {
                When::Always => PutMode::Overwrite,
                When::New => PutMode::Create,
                When::Still(version) => PutMode::Update(UpdateVersion { e_tag: Some(version.clone()), version: None }),
            };
            let options = PutOptions { mode, ..PutOptions::default() };
            let payload = PutPayload::from_bytes(bytes.clone());
            let put = self.store.put_opts(&self.path(key)?, payload, options).await;
            put.map(|put| put.e_tag).map_err(|error| match error {
                Error::AlreadyExists { .. } | Error::Precondition { .. } => {
                    StoreError::Changed { address: self.shown(key) }
                }
                error => self.failed(key, &error),
            })
        })
        .await
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.again(key, || async {
            match self.store.delete(&self.path(key)?).await {
                Err(Error::NotFound { .. }) => Ok(()),
                other => other.map_err(|error| self.failed(key, &error)),
            }
        })
        .await
    }
}

impl Bucket {
    pub(crate) fn new(root: String, store: impl ObjectStore) -> Self {
        Self { root, store: Box::new(store) }
    }

    /// The library tries requests again, and goes on with files that broke off. It gives up where a list breaks off, or what the store
    /// says of a request that it refuses: then nobody knows what it was.
    async fn again<T, F>(&self, key: &str, mut once: impl FnMut() -> F + Send) -> Result<T, StoreError>
    where
        T: Send,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let mut wait = FIRST_WAIT;
        for _try in 1..TRIES {
            match once().await {
                Err(StoreError::Failed { source, .. }) if source.to_string().contains("response body") => {
                    tracing::debug!("an answer about `{}` broke off", self.shown(key));
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                other => return other,
            }
        }
        once().await
    }

    async fn list_once(&self, folder: &str, deep: bool) -> Result<Listing, StoreError> {
        let prefix = if folder.is_empty() { None } else { Some(self.path(folder)?) };
        let failed = |error| self.failed(folder, &error);
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

    fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.root)
    }

    fn path(&self, key: &str) -> Result<Path, StoreError> {
        let why = "a key has names between single slashes, and none of them is `.` or `..`";
        Path::parse(key).map_err(|_why| StoreError::Address { address: self.shown(key), why })
    }

    fn failed(&self, key: &str, error: &Error) -> StoreError {
        let (address, source) = (self.shown(key), cleaned(error));
        match error {
            Error::NotFound { .. } => StoreError::NotFound { address },
            Error::Unauthenticated { source: none, .. } if none.is::<NoCredentials>() => {
                StoreError::NoCredentials { address, source }
            }
            Error::PermissionDenied { .. } => {
                // What S3 says of keys that it does not know, and of signatures that do not fit.
                let said = source.to_string();
                let known = !["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"]
                    .iter()
                    .any(|code| said.contains(code));
                StoreError::Denied { address, known, source }
            }
            Error::Unauthenticated { .. } => StoreError::Denied { address, known: false, source },
            Error::NotSupported { .. } | Error::NotImplemented { .. } => {
                StoreError::Unsupported { address, what: "the store cannot do this" }
            }
            // A list of nothing is empty, so this is the bucket.
            _ if source.to_string().contains("404 Not Found") => StoreError::NotFound { address: self.root.clone() },
            _ if is_of_region(&source.to_string()) => StoreError::OtherRegion { address, source },
            _ => StoreError::Failed { address, source },
        }
    }
}

/// Whether a file is another one than the version that was asked for, also where a body broke off in between.
fn is_precondition(error: &Error) -> bool {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.filter_map(|error| error.downcast_ref()).any(|error| matches!(error, Error::Precondition { .. }))
}

/// What S3 says to somebody who asks in another region than the bucket's.
fn is_of_region(said: &str) -> bool {
    ["configured region", "PermanentRedirect", "AuthorizationHeaderMalformed"].iter().any(|part| said.contains(part))
}

fn object(found: ObjectMeta) -> Object {
    let ObjectMeta { location, last_modified, size, e_tag, version: _ } = found;
    Object { key: location.into(), size, version: e_tag, modified: Some(last_modified.into()) }
}

fn cleaned(error: &Error) -> Cause {
    Arc::new(std::io::Error::other(said(error)))
}

/// What an error says, without the queries of addresses: a signature in one is a key for whoever reads the log.
fn said(error: &Error) -> String {
    let text = error.to_string();
    let word = |word: &str| if word.contains("://") { headspan_net::shown(word) } else { word.to_owned() };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
