//! HTTP/1.1 requests to one server over connections that are kept, by TCP or TLS.
//!
//! Guarantees: no proxy, no redirect; a request is sent a second time only when a kept connection turned out to be closed before
//! anything was sent on it; no more of an answer is read than the caller wants; dropping this closes the connections that are
//! idle. Left to the caller: the deadline, and what an answer means.

use crate::dial::Dial;
use crate::http::{self, Answer, parse};
use crate::tls::Tls;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::rt::ReadBufCursor;
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Longer than anybody waits between two requests who asks again and again. A server may close them earlier, which is noticed.
const IDLE: Duration = Duration::from_secs(150);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum Error {
    #[error("no connection")]
    Connect(#[source] legacy::Error),
    #[error("no HTTP answer")]
    Request(#[source] legacy::Error),
    #[error("the answer cannot be read")]
    Body(#[source] http::Error),
}

/// Connections to one server.
#[derive(Clone, Debug)]
pub struct Kept {
    uri: Uri,
    agent: &'static str,
    client: Client<Connector, Full<Bytes>>,
}

impl Kept {
    /// To `url`, and below it to `path`; at most `idle` connections are kept. `agent` names the program that asks. An `https` URL needs
    /// a way to shake hands; for an `http` one it is left aside.
    ///
    /// # Errors
    /// When the URL is none, or there is no TLS for it; in words.
    pub fn new(url: &str, path: &str, tls: Option<Tls>, idle: usize, agent: &'static str) -> Result<Self, String> {
        let parts = parse(url)?;
        let scheme = if parts.secure { "https" } else { "http" };
        let base = parts.path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let uri = format!("{scheme}://{}{base}{path}", parts.authority);
        let uri = uri.parse().map_err(|error| format!("{uri:?} is not a URL ({error})"))?;
        let tls = if parts.secure { Some(tls.ok_or_else(|| format!("{url:?} needs TLS, and there is none"))?) } else { None };
        let connector = Connector { dial: Dial::new(&parts.address)?, host: parts.host, tls };
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(idle);
        Ok(Self { uri, agent, client: builder.build(connector) })
    }

    /// Where it asks.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Puts JSON there, and reads up to `most` bytes of the answer. The future does not need this any more.
    pub fn put(&self, json: Vec<u8>, most: usize) -> impl Future<Output = Result<Answer, Error>> + Send + 'static {
        self.ask(Method::PUT, json, most)
    }

    /// As [`Kept::put`], with JSON by `POST`.
    pub fn post(&self, json: Vec<u8>, most: usize) -> impl Future<Output = Result<Answer, Error>> + Send + 'static {
        self.ask(Method::POST, json, most)
    }

    /// Gets what is there, up to `most` bytes.
    pub fn get(&self, most: usize) -> impl Future<Output = Result<Answer, Error>> + Send + 'static {
        self.ask(Method::GET, Vec::new(), most)
    }

    fn ask(&self, method: Method, json: Vec<u8>, most: usize) -> impl Future<Output = Result<Answer, Error>> + Send + 'static {
        let mut request = Request::new(Full::from(json));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(self.agent));
        let answer = self.client.request(request);
        async move {
            let sort = |error: legacy::Error| if error.is_connect() { Error::Connect(error) } else { Error::Request(error) };
            http::read(answer.await.map_err(sort)?, most).await.map_err(Error::Body)
        }
    }
}

#[derive(Clone, Debug)]
struct Connector {
    dial: Dial,
    host: String,
    tls: Option<Tls>,
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let stream = this.dial.connect().await?;
            Ok(Stream(TokioIo::new(match this.tls {
                None => Box::new(stream),
                Some(tls) => Box::new(tls.connect(&this.host, stream).await?),
            })))
        })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A connection, whatever carries it.
struct Stream(TokioIo<Box<dyn Duplex>>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_put_below_the_url() {
        for (url, wanted) in [
            ("http://lb-1:7443", "http://lb-1:7443/v1/x"),
            ("http://lb-1:7443/", "http://lb-1:7443/v1/x"),
            ("http://[::1]/warden/?a=b", "http://[::1]/warden/v1/x"),
        ] {
            assert_eq!(Kept::new(url, "/v1/x", None, 1, "test").unwrap().uri().to_string(), wanted, "{url}");
        }
        assert!(Kept::new("https://lb-1/", "/v1/x", None, 1, "test").unwrap_err().contains("needs TLS"));
        assert!(Kept::new("lb-1", "/v1/x", None, 1, "test").is_err());
    }
}
