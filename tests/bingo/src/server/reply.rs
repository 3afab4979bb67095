//! Answers: their bodies, and what lives and dies with a body.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

/// Large enough for few allocations, small enough that the allocator gives the memory back.
const PIECE: usize = 128 << 10;

/// A body that is complete in memory, in pieces that are freed as they go out.
#[derive(Default)]
pub(crate) struct Reply {
    pieces: VecDeque<Bytes>,
    /// The piece that is being written to.
    open: Vec<u8>,
    /// Held until the client has the body, so that slow readers cannot pile up large lists.
    pub(crate) turn: Option<OwnedSemaphorePermit>,
    /// Runs until the client has the body.
    pub(crate) deadline: Option<Deadline>,
}

/// The task that ends the connection when the request takes too long; ended itself on drop.
pub(crate) struct Deadline(pub(crate) AbortHandle);

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl io::Write for Reply {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.open.len() + data.len() > PIECE {
            self.close_piece();
        }
        self.open.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reply {
    fn close_piece(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.open).into());
        }
    }

    /// The answer that has this body.
    pub(crate) fn answer(mut self, status: StatusCode, kind: &'static str) -> Response<Self> {
        self.close_piece();
        let mut response = Response::new(self);
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum())
    }
}

pub(crate) const JSON: &str = "application/json";

/// A short plain answer.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Reply> {
    let mut reply = Reply::default();
    reply.pieces.push_back(body.into());
    reply.answer(status, "text/plain; charset=utf-8")
}

/// One value as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Reply> {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut reply = Reply::default();
            reply.pieces.push_back(body.into());
            reply.answer(status, JSON)
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
