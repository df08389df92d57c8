//! What protects a connection: the values of `sslmode`, and the TLS client for each of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::verifier::AnyName;
use crate::sql::StoreError;

/// The values of `sslmode`, with the meaning that PostgreSQL's own clients give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    /// Without TLS.
    Disable,
    /// Without TLS; with TLS if the server refuses that.
    Allow,
    /// With TLS; without it if the server has none.
    Prefer,
    /// With TLS, to any server.
    Require,
    /// With TLS, to a server whose certificate is signed by a known authority.
    VerifyCa,
    /// The same, and the certificate has the name of the host.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err("sslmode is disable, allow, prefer, require, verify-ca or verify-full"
                    .to_owned());
            }
        })
    }
}

/// How one connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Plain,
    Tls,
}

impl SslMode {
    /// Returns the channel to try first, and the one to try if the server refuses the first.
    pub(super) const fn channels(self) -> (Channel, Option<Channel>) {
        match self {
            Self::Disable => (Channel::Plain, None),
            Self::Allow => (Channel::Plain, Some(Channel::Tls)),
            Self::Prefer => (Channel::Tls, Some(Channel::Plain)),
            Self::Require | Self::VerifyCa | Self::VerifyFull => (Channel::Tls, None),
        }
    }
}

/// The authorities whose signature makes a certificate trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authorities {
    /// Those of the operating system.
    System,
    /// Those in a file of certificates in PEM.
    File(PathBuf),
}

/// Makes the TLS clients of connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls(MakeRustlsConnect);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the authorities and makes the client that a mode asks for. `None` for the authorities
    /// is a connection to any server.
    ///
    /// # Errors
    ///
    /// [`StoreError::Authorities`] if the file has no certificates, or the system none.
    pub(super) fn new(
        mode: SslMode,
        authorities: Option<&Authorities>,
    ) -> Result<Self, StoreError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(mode, authorities, &provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|why| refused("the protocol versions of TLS", why))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self(MakeRustlsConnect::new(config)))
    }

    pub(super) fn connector(&self) -> MakeRustlsConnect {
        self.0.clone()
    }
}

fn verifier(
    mode: SslMode,
    authorities: Option<&Authorities>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, StoreError> {
    match authorities {
        None => Ok(Arc::new(AnyName::of_anyone(provider))),
        Some(Authorities::System) => {
            let system = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
            Ok(Arc::new(system.map_err(|why| refused("the authorities of the system", why))?))
        }
        Some(Authorities::File(file)) => {
            let signed = WebPkiServerVerifier::builder_with_provider(
                Arc::new(read(file)?),
                Arc::clone(provider),
            )
            .build()
            .map_err(|why| refused(file.display(), why))?;
            match mode {
                SslMode::VerifyFull => Ok(signed),
                _ => Ok(Arc::new(AnyName::signed_by(signed, provider))),
            }
        }
    }
}

/// Reads a file of certificates.
fn read(file: &Path) -> Result<RootCertStore, StoreError> {
    let mut authorities = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|why| refused(file.display(), why))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|why| refused(file.display(), why))?;
        authorities.add(certificate).map_err(|why| refused(file.display(), why))?;
    }
    if authorities.is_empty() {
        return Err(refused(file.display(), "it has no certificate in PEM"));
    }
    Ok(authorities)
}

fn refused(what: impl fmt::Display, why: impl fmt::Display) -> StoreError {
    StoreError::Authorities { what: what.to_string(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_channels() {
        use Channel::{Plain, Tls};
        for (text, channels) in [
            ("disable", (Plain, None)),
            ("allow", (Plain, Some(Tls))),
            ("prefer", (Tls, Some(Plain))),
            ("require", (Tls, None)),
            ("verify-ca", (Tls, None)),
            ("verify-full", (Tls, None)),
        ] {
            assert_eq!(text.parse::<SslMode>().map(SslMode::channels), Ok(channels), "{text}");
        }
        assert!("verify_full".parse::<SslMode>().is_err());
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root.crt");
        let authorities = Authorities::File(file.clone());
        let refused = || {
            let error = Tls::new(SslMode::VerifyFull, Some(&authorities)).unwrap_err();
            assert!(matches!(error, StoreError::Authorities { .. }), "{error:?}");
            error.to_string()
        };
        assert!(refused().contains("root.crt"));
        std::fs::write(&file, "no certificate").unwrap();
        assert!(refused().contains("no certificate in PEM"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, broken).unwrap();
        assert!(refused().contains("root.crt"));
    }
}
