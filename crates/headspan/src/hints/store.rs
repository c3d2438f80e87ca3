//! Hints for files at addresses.

use std::io;

use headspan_images::ReadError;
use headspan_store::StoreError;

/// What to do about a store of files.
pub(super) fn store(error: &io::Error) -> Option<String> {
    StoreError::within(error).and_then(of_store)
}

/// The same for an image that could not be read.
pub(super) fn image(error: &ReadError) -> Option<String> {
    match error {
        ReadError::Io(inner) => store(inner),
        ReadError::Parquet { source } => StoreError::within(&**source).and_then(of_store),
        _ => None,
    }
}

fn of_store(error: &StoreError) -> Option<String> {
    let hint = match error {
        StoreError::Denied { address, .. } if is_of_web(address) => {
            "the address needs a signature, or the one that it has is too old: ask for a new one"
        }
        StoreError::Denied { known: true, .. } => {
            "ask for the right to read it; stores that let nobody list them say this of a file that does not exist too"
        }
        StoreError::NoCredentials { address, .. } | StoreError::Denied { address, .. } => {
            return Some(credentials(address).to_owned());
        }
        StoreError::OtherRegion { .. } => "set AWS_REGION to the bucket's region",
        StoreError::NotFound { address } if is_of_web(address) => {
            "check the address; a web server does not list its files, so name them: `train-{000..009}.tar`"
        }
        StoreError::NotFound { address } if address.starts_with("hf://") => {
            "check the names of the data set, its revision and the file; of a gated data set, accept the terms and set HF_TOKEN"
        }
        StoreError::NotFound { .. } => "check the names of the bucket and the file, and the endpoint if there is one",
        StoreError::Unsupported { address, .. } if is_of_web(address) => {
            "download the files, or put them into a store; docs/object-stores.md says what a web server must be able to do"
        }
        StoreError::ChangedWhileRead { .. } => "run the same command again once nobody writes it",
        StoreError::Failed { address, .. } => return Some(unreachable(address)),
        _ => return None,
    };
    Some(hint.to_owned())
}

fn is_of_web(address: &str) -> bool {
    address.starts_with("http://") || address.starts_with("https://")
}

/// What may be wrong with the way to a store.
fn unreachable(address: &str) -> String {
    let endpoint = match address.split("://").next() {
        Some("s3") => Some("AWS_ENDPOINT_URL"),
        Some("gs") => Some("STORAGE_EMULATOR_HOST"),
        Some("az") => Some("AZURE_STORAGE_ENDPOINT"),
        Some("hf") => Some("HF_ENDPOINT"),
        _ => None,
    };
    let own = endpoint.map(|variable| format!(" and, for a store of your own, its endpoint ({variable})"));
    format!("check the network{}; the same command continues the run", own.unwrap_or_default())
}

/// How a store is told who asks.
fn credentials(address: &str) -> &'static str {
    match address.split("://").next() {
        Some("gs") => "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
        Some("az") => "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_TOKEN",
        Some("hf") => "set HF_TOKEN",
        _ => {
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket, set AWS_SKIP_SIGNATURE=true"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headspan_images::DatasetError;
    use headspan_pipeline::PipelineError;

    use crate::hints::hint;

    use super::*;

    fn told(error: StoreError) -> [String; 2] {
        let listed = PipelineError::Dataset(DatasetError::Io(error.clone().into()));
        let read = ReadError::Io(error.into());
        [hint(&listed.into()), hint(&anyhow::Error::from(read).context("image `a`"))].map(Option::unwrap_or_default)
    }

    #[test]
    fn what_a_store_says_has_its_hint_wherever_it_comes_up() {
        let source = || -> headspan_store::Cause { Arc::new(io::Error::other("x")) };
        let none = |address: &str| StoreError::NoCredentials { address: address.to_owned(), source: source() };
        let cases = [
            (none("s3://b/a"), "AWS_PROFILE"),
            (none("gs://b/a"), "gcloud"),
            (StoreError::OtherRegion { address: "s3://b/a".to_owned(), source: source() }, "AWS_REGION"),
            (StoreError::Denied { address: "s3://b/a".to_owned(), known: true, source: source() }, "the right to read"),
            (StoreError::Denied { address: "https://h/a".to_owned(), known: true, source: source() }, "signature"),
            (StoreError::NotFound { address: "s3://b/a".to_owned() }, "names of the bucket"),
            (StoreError::NotFound { address: "http://h/a".to_owned() }, "does not list"),
            (StoreError::Failed { address: "s3://b/a".to_owned(), source: source() }, "(AWS_ENDPOINT_URL); the same"),
            (StoreError::Failed { address: "az://b/a".to_owned(), source: source() }, "(AZURE_STORAGE_ENDPOINT)"),
            (StoreError::Failed { address: "https://h/a".to_owned(), source: source() }, "the network; the same"),
        ];
        for (error, part) in cases {
            for hint in told(error) {
                assert!(hint.contains(part), "{part}: {hint}");
            }
        }
    }
}
