//! One request at a time, over HTTP/1.1, HTTP/2 and HTTP/3, as a client of the stand makes it.

use anyhow::{Context, Result, anyhow, ensure};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// The list of sessions has 25 MB.
const LARGEST: usize = 256 << 20;

/// Longer than the stand waits for its slowest answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// From the first packet to the last byte.
    pub(crate) took: Duration,
}

impl Reply {
    /// A header's text, empty without it.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none; the error shows how it begins.
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {}", self.text().chars().take(80).collect::<String>()))
    }
}

/// The stand, as its clients know it.
pub(crate) struct Site {
    name: String,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    tls: ClientConfig,
    runtime: Runtime,
}

impl Site {
    /// `ca`: whom the stand's certificate has to be signed by; without, any certificate will do, as a self-signed one is promised.
    ///
    /// # Errors
    /// When the address is none or the CA cannot be read.
    pub(crate) fn new(address: &str, http: u16, https: u16, ca: Option<&Path>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let resolved = runtime.block_on(tokio::net::lookup_host((address, http))).with_context(|| format!("who is {address}?"))?;
        let http = resolved.into_iter().next().with_context(|| format!("{address} has no address"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let tls = match ca {
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(file).with_context(|| format!("{}", file.display()))? {
                    roots.add(certificate?)?;
                }
                ensure!(!roots.is_empty(), "{} holds no certificate in PEM form", file.display());
                builder.with_root_certificates(roots)
            }
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        };
        let https = SocketAddr::new(http.ip(), https);
        Ok(Self { name: address.to_owned(), http, https, tls: tls.with_no_client_auth(), runtime })
    }

    /// Over HTTP/1.1 without TLS, on a connection of its own.
    ///
    /// # Errors
    /// When there was no whole answer in time.
    pub(crate) fn ask(&self, method: Method, path: &str, body: &str) -> Result<Reply> {
        let what = format!("{method} {path}");
        self.within(&what, async {
            let stream = TcpStream::connect(self.http).await.context("connecting")?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move { drop(connection.await) });
            whole(sender.send_request(self.request(&method, path, body)?).await?).await
        })
    }

    /// A GET of that.
    ///
    /// # Errors
    /// When there was no whole answer in time.
    pub(crate) fn get(&self, path: &str) -> Result<Reply> {
        self.ask(Method::GET, path, "")
    }

    /// A GET over TLS, with HTTP/2 or HTTP/1.1 alone offered.
    ///
    /// # Errors
    /// When there was no whole answer in time.
    pub(crate) fn get_tls(&self, path: &str, two: bool) -> Result<Reply> {
        self.within(path, async {
            let mut config = self.tls.clone();
            config.alpn_protocols = vec![if two { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
            let stream = TcpStream::connect(self.https).await.context("connecting")?;
            let stream = TlsConnector::from(Arc::new(config)).connect(self.server_name()?, stream).await.context("TLS")?;
            let io = TokioIo::new(stream);
            if two {
                let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(async move { drop(connection.await) });
                let url = format!("https://{}{path}", self.name);
                whole(sender.send_request(Request::get(url).body(Full::new(Bytes::new()))?).await?).await
            } else {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
                tokio::spawn(async move { drop(connection.await) });
                whole(sender.send_request(self.request(&Method::GET, path, "")?).await?).await
            }
        })
    }

    /// A GET over QUIC.
    ///
    /// # Errors
    /// When there was no whole answer in time.
    pub(crate) fn get_quic(&self, path: &str) -> Result<Reply> {
        self.within(path, async {
            let mut config = self.tls.clone();
            config.alpn_protocols = vec![b"h3".to_vec()];
            let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).context("QUIC needs TLS 1.3")?;
            let mut endpoint = quinn::Endpoint::client(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)).context("a UDP socket")?;
            endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
            let connection = endpoint.connect(self.https, &self.name).context("QUIC")?.await.context("QUIC")?;
            let (mut driver, mut sender) = h3::client::new(h3_quinn::Connection::new(connection)).await.context("HTTP/3")?;
            let driving = tokio::spawn(async move { driver.wait_idle().await });
            let request = Request::get(format!("https://{}{path}", self.name)).body(())?;
            let mut stream = sender.send_request(request).await.context("asking")?;
            stream.finish().await.context("asking")?;
            let head = stream.recv_response().await.context("the answer's head")?;
            let mut body = Vec::new();
            while let Some(mut part) = stream.recv_data().await.context("the answer's body")? {
                use hyper::body::Buf as _;
                while part.has_remaining() {
                    let some = part.chunk().len();
                    body.extend_from_slice(part.chunk());
                    part.advance(some);
                }
            }
            drop(sender);
            driving.abort();
            endpoint.close(0_u32.into(), b"done");
            let (parts, ()) = head.into_parts();
            Ok((parts.status, parts.version, parts.headers, Bytes::from(body)))
        })
    }

    fn within<F>(&self, what: &str, work: F) -> Result<Reply>
    where
        F: Future<Output = Result<(StatusCode, Version, HeaderMap, Bytes)>>,
    {
        self.runtime.block_on(async {
            let begin = Instant::now();
            let (status, version, headers, body) =
                timeout(PATIENCE, work).await.map_err(|_| anyhow!("{what}: no answer within {PATIENCE:?}"))?.context(what.to_owned())?;
            Ok(Reply { status, version, headers, body, took: begin.elapsed() })
        })
    }

    fn server_name(&self) -> Result<ServerName<'static>> {
        ServerName::try_from(self.name.clone()).with_context(|| format!("{} is no name for TLS", self.name))
    }

    fn request(&self, method: &Method, path: &str, body: &str) -> Result<Request<Full<Bytes>>> {
        let mut builder = Request::builder().method(method).uri(path).header("host", &self.name).header("user-agent", "check-stand");
        builder = builder.header("connection", "close");
        if !body.is_empty() {
            builder = builder.header("content-type", "application/json");
        }
        Ok(builder.body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?)
    }
}

async fn whole(response: Response<Incoming>) -> Result<(StatusCode, Version, HeaderMap, Bytes)> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, LARGEST).collect().await.map_err(|error| anyhow!(error)).context("the answer broke off")?.to_bytes();
    Ok((parts.status, parts.version, parts.headers, body))
}

/// Takes any certificate, whose key has to be the server's all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
