//! TLS: the certificate of the service, and its replacement without a restart.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::watched::Watched;

/// The files of a certificate, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the service, followed by those that connect it with an authority.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC1, without a password.
    pub key: PathBuf,
}

/// Why the files cannot be used. No message contains anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {why}", path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        why: io::Error,
    },
    /// A file is not PEM.
    #[error("{}: not PEM", path.display())]
    Syntax {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file of the certificate has none.
    #[error("{}: has no certificate (-----BEGIN CERTIFICATE-----)", path.display())]
    NoCertificate {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file of the key has none.
    #[error("{}: has no private key (-----BEGIN PRIVATE KEY-----)", path.display())]
    NoKey {
        /// The path of the file.
        path: PathBuf,
    },
    /// The key is not that of the certificate, or its kind is not supported.
    #[error("{} and {}: {why}", files.certificate.display(), files.key.display())]
    Unusable {
        /// Both files.
        files: TlsFiles,
        /// The error of rustls.
        why: rustls::Error,
    },
}

/// The certificate that new connections get. Cheap to clone; clones share it.
///
/// Connections are TLS 1.2 or 1.3, and carry HTTP/1.1.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    // A standard lock: it is held to copy one pointer, and never across an await. A connection keeps
    // the certificate with which it began.
    now: Arc<RwLock<Arc<ServerConfig>>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    ///
    /// [`TlsError`] says which file is wrong and why.
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let now = Arc::new(RwLock::new(Arc::new(config(&files)?)));
        Ok(Self { files, now })
    }

    /// Reads the files again after each change of one of them, until the future is dropped. Files
    /// that cannot be used change nothing: new connections get the certificate of before, and the log
    /// has the error. That is also what happens between the replacement of one file and of the other.
    pub async fn follow(&self, every: Duration) {
        let files = vec![self.files.certificate.clone(), self.files.key.clone()];
        let mut watched = Watched::new(files, every);
        loop {
            watched.changed().await;
            let files = self.files.clone();
            // Another thread waits for the disk.
            match tokio::task::spawn_blocking(move || config(&files)).await {
                Ok(Ok(config)) => {
                    let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
                    *now = Arc::new(config);
                    tracing::info!("the certificate was read again");
                }
                Ok(Err(error)) => tracing::error!(%error, "the certificate stays as it is"),
                Err(error) => tracing::error!(%error, "the certificate stays as it is"),
            }
        }
    }

    /// Returns what accepts a connection with the certificate of now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

fn config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = key(&files.key)?;
    let unusable = |why| TlsError::Unusable { files: files.clone(), why };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    // A client that offers only HTTP/2 is refused during the handshake, and not by what it then reads.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |why| failure(path, why);
    let found = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|why| match why {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        why => failure(path, why),
    })
}

/// Explains an error without what the file has: its lines may be those of a key.
fn failure(path: &Path, why: pem::Error) -> TlsError {
    let path = path.to_owned();
    match why {
        pem::Error::Io(why) => TlsError::Io { path, why },
        _ => TlsError::Syntax { path },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn files_that_cannot_be_used_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let files = made(folder.path());
        Tls::read(files.clone()).unwrap();
        let [certificate, key] =
            [&files.certificate, &files.key].map(|file| std::fs::read_to_string(file).unwrap());
        let (_, secret) = key.split_once('\n').unwrap();
        let (first_line, _) = secret.split_once('\n').unwrap();
        let read = |certificate: &str, key: &str| {
            std::fs::write(&files.certificate, certificate).unwrap();
            std::fs::write(&files.key, key).unwrap();
            let error = Tls::read(files.clone()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(first_line));
            error
        };
        assert!(matches!(read("", &key), TlsError::NoCertificate { .. }));
        assert!(matches!(read(&certificate, ""), TlsError::NoKey { .. }));
        assert!(matches!(read(&key, &key), TlsError::NoCertificate { .. }));
        assert!(matches!(read(&certificate, &certificate), TlsError::NoKey { .. }));
        let torn = &key[..key.len() / 2];
        assert!(matches!(read(&certificate, torn), TlsError::Syntax { .. }));
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let wrong = read(&certificate, &other.signing_key.serialize_pem());
        assert!(matches!(wrong, TlsError::Unusable { .. }), "{wrong}");
        std::fs::remove_file(&files.key).unwrap();
        assert!(matches!(Tls::read(files.clone()), Err(TlsError::Io { .. })));
    }
}
