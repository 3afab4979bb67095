//! One HTTP request over a Unix socket, with a deadline over all of it.

use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

use http_body_util::{BodyExt, Full, Limited};

/// The largest answer that is read: a status of thousands of servers is a few megabytes.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// What can go wrong. After `Connect` nothing was asked; after the others of a `POST` it is not known whether it was done.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum Error {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("the request failed")]
    Request(#[source] hyper::Error),
    #[error("the answer could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {0:?}")]
    TooLate(Duration),
}

/// Sends `GET uri` to the server behind the socket and returns its status and body.
///
/// # Errors
/// See [`Error`].
pub async fn get(socket: &Path, uri: &str, deadline: Duration) -> Result<(u16, Vec<u8>), Error> {
    within(deadline, exchange(socket, Method::GET, uri, Vec::new())).await
}

/// Sends `POST uri` with a JSON body to the server behind the socket and returns its status and body.
///
/// # Errors
/// See [`Error`].
pub async fn post(socket: &Path, uri: &str, json: Vec<u8>, deadline: Duration) -> Result<(u16, Vec<u8>), Error> {
    within(deadline, exchange(socket, Method::POST, uri, json)).await
}

async fn within<T>(deadline: Duration, exchange: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(deadline, exchange).await.map_err(|_| Error::TooLate(deadline))?
}

async fn exchange(socket: &Path, method: Method, uri: &str, json: Vec<u8>) -> Result<(u16, Vec<u8>), Error> {
    let stream = UnixStream::connect(socket).await.map_err(Error::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Error::Request)?;
    let mut request = Request::builder().method(method).uri(uri).header("host", "localhost").header("connection", "close");
    if !json.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let request = request.body(Full::new(Bytes::from(json))).map_err(|error| Error::Body(error.into()))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(Error::Request)?;
        let status = response.status().as_u16();
        let body: Limited<Incoming> = Limited::new(response.into_body(), LARGEST_ANSWER);
        let bytes = body.collect().await.map_err(Error::Body)?.to_bytes();
        Ok((status, bytes.to_vec()))
    };
    tokio::pin!(answer);
    // The connection must be driven while the answer is awaited; its own error shows up in the answer.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
