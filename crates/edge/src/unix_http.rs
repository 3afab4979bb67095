//! One HTTP request over a Unix socket, with a deadline over all of it.

use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;

use http_body_util::{BodyExt, Empty, Limited};

/// The largest answer that is read: a status of thousands of servers is a few megabytes.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// What can go wrong. Nothing was changed on the other side: only `GET` is sent.
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
    tokio::time::timeout(deadline, exchange(socket, uri)).await.map_err(|_| Error::TooLate(deadline))?
}

async fn exchange(socket: &Path, uri: &str) -> Result<(u16, Vec<u8>), Error> {
    let stream = UnixStream::connect(socket).await.map_err(Error::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Error::Request)?;
    let request = Request::get(uri).header("host", "localhost").header("connection", "close").body(Empty::<&[u8]>::new());
    let request = request.map_err(|error| Error::Body(error.into()))?;
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
