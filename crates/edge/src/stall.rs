//! A stream whose writes have a deadline: a peer that takes nothing for so long is let go. And one that says so when it ends, however
//! it ends: over TLS a connection that is only dropped looks cut off by somebody else.
//!
//! Without the deadline, whoever asks and never reads keeps a connection, and what was prepared for it, for ever. Left to others: slow
//! senders (`serve` gives a request's head its own deadline).

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The stream. A write or flush that makes no progress for `after` fails with `TimedOut`.
pub(crate) struct Stall<S: AsyncWrite + Unpin> {
    stream: S,
    after: Duration,
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncWrite + Unpin> Stall<S> {
    pub(crate) const fn new(stream: S, after: Duration) -> Self {
        Self { stream, after, waits: None }
    }

    /// Lets progress through, and counts the time without.
    fn timed<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waits = None;
            return outcome;
        }
        let after = self.after;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(after)));
        ready!(waits.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the peer takes nothing")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stall<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stall<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(context, outcome)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.timed(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.timed(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.timed(context, outcome)
    }
}

impl<S: AsyncWrite + Unpin> Drop for Stall<S> {
    /// What hyper gives up for a reason of its own (an idle connection, a head that makes no sense) it drops as it is. A client asks once
    /// more on a fresh connection when the old one was closed, and reports an error when it was cut off (RFC 8446, section 6.1).
    fn drop(&mut self) {
        // One try: what the socket does not take at once, it does not take.
        drop(Pin::new(&mut self.stream).poll_shutdown(&mut Context::from_waker(Waker::noop())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    const AFTER: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_let_go() {
        let (near, _far) = duplex(4);
        let began = Instant::now();
        let error = Stall::new(near, AFTER).write_all(b"more than four").await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (ErrorKind::TimedOut, AFTER));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_little_now_and_then_is_served_to_the_end() {
        let (near, mut far) = duplex(4);
        let mut stall = Stall::new(near, AFTER);
        let began = Instant::now();
        let reader = async {
            let mut got = Vec::new();
            while got.len() < 12 {
                sleep(AFTER - Duration::from_secs(1)).await;
                let mut few = [0; 4];
                let taken = far.read(&mut few).await.unwrap();
                got.extend_from_slice(&few[..taken]);
            }
            got
        };
        let (written, got) = tokio::join!(stall.write_all(b"twelve bytes"), reader);
        written.unwrap();
        assert_eq!(got, b"twelve bytes");
        assert!(began.elapsed() > AFTER * 2);
    }
}
