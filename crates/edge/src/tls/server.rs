//! The listening end of a handshake in which both sides show a certificate.
//!
//! Guarantees: who is accepted has shown a certificate of our CA that is good at this moment, and it can be read; who is refused
//! hears why, as far as TLS has a word for it. Left to the caller: the deadline.

use super::certificate::Certificate;
use super::identity::{End, Identity};
use super::keeper::Current;
use rustls::{CertificateError, Error};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client that was refused may take to read why.
const LAST_WORD: Duration = Duration::from_secs(1);
/// What it may have sent meanwhile.
const UNREAD: u64 = 64 * 1024;

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum Refused {
    #[error("we have no certificate ourselves")]
    NotReady,
    #[error("it shows no certificate")]
    NoCertificate,
    #[error("its certificate was signed by another CA")]
    OtherAuthority,
    #[error("its certificate has run out")]
    RunOut,
    #[error("its certificate is not good yet: the clock here or there is wrong")]
    NotYet,
    #[error("its certificate is of no use here")]
    OfNoUse(#[source] Error),
    #[error("it does not finish the handshake in time")]
    Slow,
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
}

impl Refused {
    /// A stable word for it.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotReady => "not_ready",
            Self::NoCertificate => "no_certificate",
            Self::OtherAuthority => "other_ca",
            Self::RunOut => "expired",
            Self::NotYet => "not_yet_valid",
            Self::OfNoUse(_) => "unusable",
            Self::Slow => "slow",
            Self::Handshake(_) => "failed",
        }
    }
}

/// Somebody who was let in.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// The certificate that was shown.
    pub peer: Arc<Certificate>,
    /// The serial of the identity that we showed.
    pub serial: u64,
}

/// Lets in who shows a good certificate, under whichever identity is in use.
#[derive(Clone, Debug)]
pub struct Acceptor(Current);

impl Acceptor {
    /// Under this identity.
    #[must_use]
    pub const fn new(current: Current) -> Self {
        Self(current)
    }

    /// The serial of the identity that is in use.
    #[must_use]
    pub fn serial(&self) -> Option<u64> {
        self.0.borrow().as_deref().map(Identity::serial)
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// Why nobody was let in; the connection is closed.
    pub async fn accept(&self, stream: TcpStream) -> Result<Accepted, Refused> {
        let current = self.0.borrow().clone();
        let Some((End::Server(config), serial)) = current.as_deref().map(|identity| (&identity.end, identity.serial())) else {
            return Err(Refused::NotReady);
        };
        let accepting = TlsAcceptor::from(Arc::clone(config)).accept(stream).into_fallible();
        let stream = match accepting.await {
            Ok(stream) => stream,
            Err((error, stream)) => {
                part(stream).await;
                return Err(refused(error));
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = Certificate::parse(shown.ok_or(Refused::NoCertificate)?);
        let peer = Arc::new(peer.map_err(|why| Refused::OfNoUse(Error::General(why)))?);
        Ok(Accepted { stream, peer, serial })
    }
}

/// Closes in a way that leaves the last word readable: with bytes unread, the kernel would take it back.
async fn part(mut stream: TcpStream) {
    let parting = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(UNREAD), &mut tokio::io::sink()).await
    };
    // Whether it was read is the other end's business.
    drop(tokio::time::timeout(LAST_WORD, parting).await);
}

fn refused(error: io::Error) -> Refused {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::NoCertificatesPresented) => Refused::NoCertificate,
        Some(Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Refused::RunOut,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Refused::NotYet,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Refused::OtherAuthority,
            other => Refused::OfNoUse(Error::InvalidCertificate(other.clone())),
        },
        _ => Refused::Handshake(error),
    }
}
