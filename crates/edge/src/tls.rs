//! TLS: the one place that chooses the provider, the roots, and who is taken for whom.
//!
//! The provider is aws-lc-rs, rustls's own default and the one that is kept up. [`Tls`] is for those who ask, of whomever: the roots
//! are a private CA's, or those that the system's package `ca-certificates` keeps, read once, when the connector is made. Where both
//! ends show a certificate, an [`Identity`] is what one end shows and takes, a [`Keeper`] renews it without a restart, and an
//! [`Acceptor`] is the end that listens.

mod certificate;
mod identity;
mod keeper;
mod server;

pub use certificate::Certificate;
pub use identity::{Files, Identity, Role, Unfit, Which};
pub use keeper::{Current, Keeper, Look, Watch, now};
pub use server::{Accepted, Acceptor, Refused};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where Debian, and most others, keep the roots that are generally trusted.
pub const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why nobody can be trusted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum Error {
    #[error("{}: the certificates cannot be read{}", .0.display(), remedy(.0))]
    Read(PathBuf, #[source] rustls::pki_types::pem::Error),
    #[error("{}: holds no certificate in PEM form{}", .0.display(), remedy(.0))]
    Empty(PathBuf),
    #[error("{}: a certificate in it cannot be used", .0.display())]
    Unfit(PathBuf, #[source] rustls::Error),
    #[error("the TLS provider cannot be used")]
    Provider(#[source] rustls::Error),
}

fn remedy(path: &Path) -> &'static str {
    if path == Path::new(SYSTEM_ROOTS) { "; install the package ca-certificates, or name the CA" } else { "" }
}

/// Makes TLS connections that trust certain roots.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts the certificates of the PEM file `ca`, or else [`SYSTEM_ROOTS`].
    ///
    /// # Errors
    /// When there is none, or one of a named file cannot be used.
    pub fn trusting(ca: Option<&Path>) -> Result<Self, Error> {
        let file = ca.unwrap_or(Path::new(SYSTEM_ROOTS));
        let read = |error| Error::Read(file.to_owned(), error);
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).map_err(read)? {
            match roots.add(certificate.map_err(read)?) {
                // Of the system's hundred and forty, one that rustls cannot use is nobody's mistake.
                Ok(()) | Err(_) if ca.is_none() => {}
                Ok(()) => {}
                Err(error) => return Err(Error::Unfit(file.to_owned(), error)),
            }
        }
        if roots.is_empty() {
            return Err(Error::Empty(file.to_owned()));
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::Provider)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::of(config))
    }

    fn of(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Every question shakes hands anew: a resumed session would not show that the certificate has run out.
        config.resumption = rustls::client::Resumption::disabled();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Shakes hands over `stream` with a server that must show a certificate for `host`, a name or an IP address.
    ///
    /// # Errors
    /// What the handshake failed with; the innermost error says why.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(&self, host: &str, stream: S) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.0.connect(name, stream).await
    }
}

/// What went wrong between two ends that both show a certificate, in words for whoever connects; nothing where it was not about TLS.
#[must_use]
pub fn words(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let error = causes.find_map(|error| {
        // An IO error shows what it wraps, and that one's source, as its own: the thing itself has to be asked for.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref());
        error.downcast_ref::<rustls::Error>().or(inner)
    })?;
    Some(match error {
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => "it refuses our certificate: it has run out",
        rustls::Error::AlertReceived(AlertDescription::UnknownCA) => "it refuses our certificate: it trusts another CA",
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => "it wants a certificate and was shown none",
        rustls::Error::AlertReceived(AlertDescription::BadCertificate | AlertDescription::UnsupportedCertificate) => {
            "it refuses our certificate"
        }
        rustls::Error::AlertReceived(_) => "it broke off the TLS handshake",
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has run out"
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "its certificate is not good yet: the clock here or there is wrong"
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate was not signed by our CA"
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "its certificate is for another name"
        }
        rustls::Error::InvalidCertificate(_) => "its certificate is of no use",
        rustls::Error::InvalidMessage(_) => "it does not speak TLS",
        _ => "the TLS handshake failed",
    })
}

/// The one provider of cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Chain;

    #[test]
    fn a_file_without_certificates_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing.pem");
        let error = Tls::trusting(Some(&missing)).unwrap_err();
        let text = Chain(&error).to_string();
        assert!(text.contains("missing.pem: the certificates cannot be read") && text.contains("No such file"), "{text}");
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "# nothing here\n").unwrap();
        let text = Tls::trusting(Some(&empty)).unwrap_err().to_string();
        assert!(text.contains("empty.pem: holds no certificate in PEM form"), "{text}");
        let broken = directory.path().join("broken.pem");
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let text = Tls::trusting(Some(&broken)).unwrap_err().to_string();
        assert!(text.contains("broken.pem: a certificate in it cannot be used"), "{text}");
    }
}
