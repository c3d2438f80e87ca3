//! Certificates that the environment names. On Linux, reqwest's verifier reads the same two variables itself, but leaves out
//! what it cannot read without a word; on macOS and Windows it does not read them.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use fs_err as fs;
use reqwest::Certificate;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::error::NetError;

const FILE: &str = "SSL_CERT_FILE";
const FOLDERS: &str = "SSL_CERT_DIR";
/// All authorities of the web take 0.3 MB.
const LARGEST: u64 = 64 << 20;

/// What the verifier has to be given besides the certificates that it finds.
pub(crate) fn extra() -> Result<Vec<Certificate>, NetError> {
    let (file, folders) = (env::var_os(FILE), env::var_os(FOLDERS));
    if let Some(folders) = folders.as_deref().filter(|_| file.is_none()) {
        check_folders(folders)?;
    }
    let Some(file) = file else { return Ok(Vec::new()) };
    let certificates = read(Path::new(&file))?;
    if cfg!(not(any(target_vendor = "apple", windows))) {
        return Ok(Vec::new());
    }
    certificates.iter().map(|der| Certificate::from_der(der).map_err(NetError::Client)).collect()
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let unusable =
        |what: &'static str, source| NetError::Certificates { variable: FILE, path: path.to_owned(), what, source };
    let metadata = fs::metadata(path).map_err(|error| unusable("cannot be read", Some(error)))?;
    // A pipe would be waited for, and a device need not end.
    if !metadata.is_file() {
        return Err(unusable("is not a file", None));
    }
    if metadata.len() > LARGEST {
        return Err(unusable("is too large for a file of certificates", None));
    }
    let bytes = fs::read(path).map_err(|error| unusable("cannot be read", Some(error)))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).flatten().collect();
    if found.is_empty() { Err(unusable("holds no certificate in PEM format", None)) } else { Ok(found) }
}

fn check_folders(folders: &OsStr) -> Result<(), NetError> {
    let folders: Vec<PathBuf> = env::split_paths(folders).filter(|path| !path.as_os_str().is_empty()).collect();
    match folders.first() {
        Some(first) if !folders.iter().any(|folder| folder.is_dir()) => Err(NetError::Certificates {
            variable: FOLDERS,
            path: first.clone(),
            what: "is not a folder",
            source: None,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = include_bytes!("../tests/certificates/authority.pem");

    #[test]
    fn a_file_needs_one_certificate() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("certificates.pem");
        let mut damaged = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n".to_vec();
        for (bytes, found) in [(CERTIFICATE, Ok(1)), (&b""[..], Err("holds no")), (&damaged[..], Err("holds no"))] {
            fs::write(&path, bytes).expect("written");
            let result = read(&path).map(|certificates| certificates.len()).map_err(|error| error.to_string());
            match found {
                Ok(count) => assert_eq!(result, Ok(count)),
                Err(part) => assert!(result.as_ref().is_err_and(|message| message.contains(part)), "{result:?}"),
            }
        }
        damaged.extend_from_slice(CERTIFICATE);
        fs::write(&path, damaged).expect("written");
        assert_eq!(read(&path).expect("the second can be read").len(), 1);
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let message = read(folder.path()).expect_err("a folder").to_string();
        assert!(message.contains(FILE) && message.contains("is not a file"), "{message}");
        let message = read(&folder.path().join("none")).expect_err("missing").to_string();
        assert!(message.contains(FILE) && message.contains("cannot be read"), "{message}");
    }
}
