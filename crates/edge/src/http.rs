//! One HTTP/1.1 question over a connection of its own: by TCP, by TLS, or over a Unix socket.
//!
//! Guarantees: every question opens a connection and closes it, so that what is learnt includes accepting one; no proxy, no
//! redirect, no retry; no more of a body is read than the caller wants. Left to the caller: the deadline, and what an
//! answer means. A library's client was tried: it kept pools that had to be switched off, and cost a third more a question.

use crate::chain::Chain;
use crate::dial::Dial;
use crate::tls::Tls;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum Error {
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("no TLS connection")]
    Tls(#[source] io::Error),
    #[error("no HTTP answer")]
    Request(#[source] hyper::Error),
    #[error("the answer broke off")]
    Body(#[source] hyper::Error),
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// As much of the body as was wanted.
    pub body: Vec<u8>,
    /// False when there is more of it.
    pub whole: bool,
}

/// A question that is ready to be asked, as often as wanted.
#[derive(Clone, Debug)]
pub struct Question {
    host: String,
    authority: String,
    path: String,
    agent: &'static str,
    over: Over,
    tls: Option<Tls>,
}

#[derive(Clone, Debug)]
enum Over {
    Tcp(Dial),
    Unix(PathBuf),
}

/// What a URL says.
pub(crate) struct Parts {
    pub(crate) secure: bool,
    pub(crate) host: String,
    pub(crate) authority: String,
    pub(crate) address: String,
    pub(crate) path: String,
}

impl Question {
    /// For `url`, over the Unix socket `socket` where one is given; `agent` names the program that asks. An `https` URL
    /// trusts the certificates of the file `ca`, or else the system's.
    ///
    /// # Errors
    /// When the URL is none of `http` and `https`, or there is nobody to trust; in words.
    pub fn get(url: &str, socket: Option<PathBuf>, ca: Option<PathBuf>, agent: &'static str) -> Result<Self, String> {
        let Parts { secure, host, authority, address, path } = parse(url)?;
        let over = match socket {
            Some(socket) => Over::Unix(socket),
            None => Over::Tcp(Dial::new(&address)?),
        };
        let tls = if secure { Some(Tls::trusting(ca.as_deref()).map_err(|error| Chain(&error).to_string())?) } else { None };
        Ok(Self { host, authority, path, agent, over, tls })
    }

    /// Asks once, and reads up to `most` bytes of the body.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ask(&self, most: usize) -> Result<Answer, Error> {
        self.send(Request::new(Full::default()), most).await
    }

    /// As [`Question::ask`], by a `POST` of JSON.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post(&self, json: Vec<u8>, most: usize) -> Result<Answer, Error> {
        let mut request = Request::new(Full::from(json));
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.send(request, most).await
    }

    async fn send(&self, request: Request<Full<Bytes>>, most: usize) -> Result<Answer, Error> {
        match &self.over {
            Over::Tcp(dial) => self.send_over(dial.connect().await.map_err(Error::Connect)?, request, most).await,
            Over::Unix(path) => self.send_over(UnixStream::connect(path).await.map_err(Error::Connect)?, request, most).await,
        }
    }

    async fn send_over<S>(&self, stream: S, request: Request<Full<Bytes>>, most: usize) -> Result<Answer, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match &self.tls {
            None => self.exchange(stream, request, most).await,
            Some(tls) => self.exchange(tls.connect(&self.host, stream).await.map_err(Error::Tls)?, request, most).await,
        }
    }

    async fn exchange<S>(&self, stream: S, mut request: Request<Full<Bytes>>, most: usize) -> Result<Answer, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Error::Request)?;
        *request.uri_mut() = Uri::try_from(&self.path).unwrap_or_default();
        for (name, value) in [(HOST, self.authority.as_str()), (USER_AGENT, self.agent), (CONNECTION, "close")] {
            if let Ok(value) = value.parse() {
                request.headers_mut().insert(name, value);
            }
        }
        let answer = async {
            let response = sender.send_request(request).await.map_err(Error::Request)?;
            read(response, most).await
        };
        tokio::pin!(answer, connection);
        // The connection must be driven while the answer is awaited; its own error shows in the answer.
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    }
}

pub(crate) async fn read(response: Response<Incoming>, most: usize) -> Result<Answer, Error> {
    let (head, mut incoming) = response.into_parts();
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
    let mut body = Vec::new();
    while body.len() <= most
        && let Some(frame) = incoming.frame().await
    {
        if let Some(chunk) = frame.map_err(Error::Body)?.data_ref() {
            body.extend_from_slice(&chunk[..chunk.len().min(most + 1 - body.len())]);
        }
    }
    let whole = body.len() <= most;
    body.truncate(most);
    Ok(Answer { status: head.status.as_u16(), headers, body, whole })
}

/// Whether this can be asked.
///
/// # Errors
/// What is wrong with it and the remedy.
pub fn check_url(url: &str) -> Result<(), String> {
    parse(url).and_then(|parts| Dial::new(&parts.address).map(drop))
}

pub(crate) fn parse(text: &str) -> Result<Parts, String> {
    const FORM: &str = "write it as in \"http://127.0.0.1:8080/ping\"";
    // A user or a password would be shown in every status, and now in the fault itself.
    if text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next()).is_some_and(|authority| authority.contains('@')) {
        return Err("the URL holds a user or a password, which would be shown in every status; leave it out".to_owned());
    }
    let uri: Uri = text.parse().map_err(|error| format!("{text:?} is not a URL ({error}); {FORM}"))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(other) => return Err(format!("{text:?}: `{other}` cannot be asked; {FORM}")),
        None => return Err(format!("{text:?} is not a URL; {FORM}")),
    };
    let authority = uri.authority().ok_or_else(|| format!("{text:?} names no host; {FORM}"))?;
    let port = match authority.port_u16() {
        None if authority.as_str() == authority.host() => {
            if secure {
                443
            } else {
                80
            }
        }
        Some(port) if !authority.host().is_empty() => port,
        _ => return Err(format!("{text:?} names no host, or a port that is none; {FORM}")),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(Parts {
        secure,
        host: authority.host().trim_matches(['[', ']']).to_owned(),
        authority: authority.as_str().to_owned(),
        address: format!("{}:{port}", authority.host()),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_asked_gets_a_remedy() {
        for url in ["http://127.0.0.1:28940/ping", "http://[::1]:80/", "http://localhost", "https://a.example/x?y=z#part", "HTTP://A:1/"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for (url, part) in [
            ("127.0.0.1:80/ping", "http://127.0.0.1:8080/ping"),
            ("/ping", "is not a URL"),
            ("ftp://a/", "`ftp` cannot be asked"),
            ("", "is not a URL"),
            ("http://", "write it as in"),
            ("http://:80/", "write it as in"),
            ("http://a:/", "write it as in"),
            ("http://a:0/", "is not an address"),
            ("http://a:99999/", "write it as in"),
            ("http://a b/", "is not a URL"),
            ("http://u:p@a/", "holds a user or a password"),
        ] {
            let error = check_url(url).unwrap_err();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn a_url_is_taken_apart() {
        let parts = |url: &str| parse(url).map(|parts| (parts.secure, parts.host, parts.authority, parts.address, parts.path)).unwrap();
        let owned = |secure: bool, parts: [&str; 4]| {
            let [host, authority, address, path] = parts.map(str::to_owned);
            (secure, host, authority, address, path)
        };
        assert_eq!(parts("http://a/x?y#z"), owned(false, ["a", "a", "a:80", "/x?y"]));
        assert_eq!(parts("https://[::1]/"), owned(true, ["::1", "[::1]", "[::1]:443", "/"]));
        assert_eq!(parts("http://a:81"), owned(false, ["a", "a:81", "a:81", "/"]));
    }
}
