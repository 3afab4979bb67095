//! Who we are to others, and whom we take: a CA's certificates, our own certificate, and its key, from three PEM files.
//!
//! Guarantees: an [`Identity`] is whole. Its key is its certificate's, the certificate is good at that moment, was signed by the CA
//! that the other end is held against, and is meant for our end of the connection. What is wrong is told with file and remedy.
//! TLS 1.3 alone: both ends are ours. No session is ever resumed, so that every connection shows its certificate anew.

use super::certificate::Certificate;
use super::{Tls, provider};
use crate::clock::date;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, Error, InconsistentKeys, RootCertStore, ServerConfig};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a file that are read. A bundle of a hundred CAs has less.
const LARGEST: u64 = 1 << 20;

/// Where an identity is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Certificates of the CAs whose certificates are taken.
    pub ca: PathBuf,
    /// Our own certificate, and after it those between it and the CA, if there are any.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Which end of a connection we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that listens, and demands a certificate of everybody.
    Server,
    /// The one that connects, under exactly this name.
    Client {
        /// The only DNS name that the certificate may have.
        name: String,
    },
    /// The one that connects, for a person: under one name, whichever it is.
    Operator,
}

/// One of the three files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The CA's certificates.
    Ca,
    /// Our certificate.
    Cert,
    /// Its key.
    Key,
}

impl Which {
    /// As the configuration calls it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Cert => "cert",
            Self::Key => "key",
        }
    }
}

/// Why files are of no use: a sentence with the file and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Unfit {
    /// The file that it is about.
    pub which: Which,
    /// What is wrong with it, and what to do.
    pub text: String,
}

/// An identity that can be used.
pub struct Identity {
    pub(super) end: End,
    certificate: Certificate,
    authorities: Vec<Certificate>,
    serial: u64,
}

pub(super) enum End {
    Server(Arc<ServerConfig>),
    Client(Tls),
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the files and holds them against each other. `now`: seconds since 1970; `serial`: tells this identity from others.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(files: &Files, role: &Role, now: i64, serial: u64) -> Result<Self, Unfit> {
        let (roots, authorities) = roots(&files.ca, now)?;
        let (chain, certificate) = chain(&files.cert, now)?;
        let key = key(&files.key)?;
        let cert = files.cert.display();
        let unusable = |which, error: Error| match &error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Unfit {
                which: Which::Key,
                text: format!("{} is not the key of {cert}; put certificate and key of one issue in place", files.key.display()),
            },
            error => Unfit { which, text: format!("{cert} and {} cannot be used: {error}", files.key.display()) },
        };
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()).map_err(|error| unusable(Which::Key, error))?;
        let unfit = |text: String| Unfit { which: Which::Cert, text: format!("{cert} {text}") };
        fits(role, &certificate).map_err(unfit)?;
        verify(role, &roots, &chain, &certificate, now).map_err(|error| unfit(words(&error, &files.ca)))?;
        let end = match role {
            Role::Server => server(roots, chain, key).map(|config| End::Server(Arc::new(config))),
            Role::Client { .. } | Role::Operator => client(roots, chain, key).map(|config| End::Client(Tls::of(config))),
        };
        Ok(Self { end: end.map_err(|error| unusable(Which::Cert, error))?, certificate, authorities, serial })
    }

    /// Our own certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Those of the CAs that we take, as far as they have not run out.
    #[must_use]
    pub fn authorities(&self) -> &[Certificate] {
        &self.authorities
    }

    /// Tells it from those before and after it.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Makes connections under it; nothing for a server.
    #[must_use]
    pub fn client(&self) -> Option<Tls> {
        match &self.end {
            End::Client(tls) => Some(tls.clone()),
            End::Server(_) => None,
        }
    }
}

fn roots(path: &Path, now: i64) -> Result<(Arc<RootCertStore>, Vec<Certificate>), Unfit> {
    let unfit = |text| Unfit { which: Which::Ca, text };
    let shown = path.display();
    let (mut roots, mut authorities, mut over) = (RootCertStore::empty(), Vec::new(), 0);
    for der in certificates(Which::Ca, path)? {
        let certificate = Certificate::parse(&der).map_err(|why| unfit(format!("{shown}: a certificate in it is of no use: {why}")))?;
        // What rustls trusts, it trusts for ever: it does not ask a CA's certificate for its dates.
        if certificate.not_after <= now {
            over += 1;
            continue;
        }
        roots.add(der).map_err(|error| unfit(format!("{shown}: a certificate in it is of no use: {error}")))?;
        authorities.push(certificate);
    }
    match (authorities.is_empty(), over) {
        (false, _) => Ok((Arc::new(roots), authorities)),
        (true, 0) => Err(unfit(format!("{shown} holds no certificate; `ca` must be a file in PEM form"))),
        (true, _) => Err(unfit(format!("{shown} holds only certificates that have run out; put the new CA's into it"))),
    }
}

fn chain(path: &Path, now: i64) -> Result<(Vec<CertificateDer<'static>>, Certificate), Unfit> {
    let unfit = |text: String| Unfit { which: Which::Cert, text: format!("{} {text}", path.display()) };
    let chain = certificates(Which::Cert, path)?;
    let Some(leaf) = chain.first() else { return Err(unfit("holds no certificate; `cert` must be a file in PEM form".to_owned())) };
    let certificate = Certificate::parse(leaf).map_err(|why| unfit(format!("holds a certificate of no use: {why}")))?;
    if certificate.not_after <= now {
        return Err(unfit(format!("ran out on {}; issue a new one", date(certificate.not_after))));
    }
    if certificate.not_before > now {
        return Err(unfit(format!("is not good before {}; look at this machine's clock", date(certificate.not_before))));
    }
    Ok((chain, certificate))
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Unfit> {
    let unfit = |text| Unfit { which: Which::Key, text };
    let shown = path.display();
    let bytes = read(Which::Key, path)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes);
    let key = key.map_err(|_| unfit(format!("{shown} holds no private key; `key` must be a file in PEM form, without a passphrase")))?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o007 != 0 => {
            Err(unfit(format!("{shown} is open to everybody, and a private key must not be; try: chmod o= {shown}")))
        }
        _ => Ok(key),
    }
}

fn certificates(which: Which, path: &Path) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    let broken = |error| Unfit { which, text: format!("{} cannot be read: it is not in PEM form ({error})", path.display()) };
    let bytes = read(which, path)?;
    CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(broken)
}

fn read(which: Which, path: &Path) -> Result<Vec<u8>, Unfit> {
    let (shown, name) = (path.display(), which.key());
    let unfit = |text| Unfit { which, text };
    let failed = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        unfit(format!("{shown} cannot be read: {why}; let this program's user read it, or correct `{name}`"))
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    // A pipe would be waited for, and a disk would be read to its end.
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(unfit(format!("{shown} cannot be read: it is no file of at most {LARGEST} bytes; correct `{name}`")));
    }
    fs::read(path).map_err(failed)
}

/// Whether it names whom it should.
fn fits(role: &Role, certificate: &Certificate) -> Result<(), String> {
    match role {
        Role::Server if certificate.names.is_empty() && certificate.addresses.is_empty() => {
            Err("names no machine, so no client can take it; issue one with the name that clients connect to (subject alternative name)"
                .to_owned())
        }
        Role::Client { name } if certificate.names != [name.as_str()] => {
            let is = if certificate.names.is_empty() { "nobody".to_owned() } else { format!("{:?}", certificate.names.join(", ")) };
            Err(format!("names {is}, and must name {name:?} alone (subject alternative name, DNS); issue one for this machine"))
        }
        Role::Operator if certificate.names.len() != 1 => {
            Err("must name you and nobody else (one subject alternative name, DNS); issue one that the coordinator knows".to_owned())
        }
        Role::Server | Role::Client { .. } | Role::Operator => Ok(()),
    }
}

/// As the other end will do it, which is taken to trust the same CA.
fn verify(
    role: &Role,
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    certificate: &Certificate,
    now: i64,
) -> Result<(), Error> {
    let Some((leaf, between)) = chain.split_first() else { return Err(Error::NoCertificatesPresented) };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    let unusable = |error: rustls::server::VerifierBuilderError| Error::General(error.to_string());
    match role {
        Role::Client { .. } | Role::Operator => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider()).build().map_err(unusable)?;
            verifier.verify_client_cert(leaf, between, now).map(drop)
        }
        Role::Server => {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider()).build().map_err(unusable)?;
            let name = certificate.names.iter().find_map(|name| ServerName::try_from(name.clone()).ok());
            let name = name.or_else(|| certificate.addresses.first().map(|address| ServerName::from(*address)));
            let Some(name) = name else { return Err(Error::InvalidCertificate(CertificateError::NotValidForName)) };
            verifier.verify_server_cert(leaf, between, &name, &[], now).map(drop)
        }
    }
}

/// Why a verifier does not take our certificate.
fn words(error: &Error, ca: &Path) -> String {
    let ca = ca.display();
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!("was not signed by a CA of {ca}; issue it anew there, or put the CA that signed it into that file")
        }
        Error::InvalidCertificate(CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }) => {
            "is not meant for this end of a connection; issue one with serverAuth for who listens, clientAuth for who connects (extended key usage)".to_owned()
        }
        error => format!("would be refused by the other end: {error}"),
    }
}

fn server(roots: Arc<RootCertStore>, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
    let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let mut config = config.with_client_cert_verifier(verifier).with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(roots: Arc<RootCertStore>, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    config.with_root_certificates(roots).with_client_auth_cert(chain, key)
}
