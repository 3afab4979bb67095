//! A server behind HAProxy: answers everything, fit or not, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Backend {
    pub(crate) port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    unfit: AtomicBool,
    checks: AtomicU64,
    requests: AtomicU64,
    /// Requests for /held are answered once this is notified.
    release: tokio::sync::Notify,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state, task }
    }

    pub(crate) fn fit(&self, fit: bool) {
        self.state.unfit.store(!fit, Ordering::SeqCst);
    }

    /// Health checks that it has answered well.
    pub(crate) fn checks(&self) -> u64 {
        self.state.checks.load(Ordering::SeqCst)
    }

    /// Answers a request for /held.
    pub(crate) fn release(&self) {
        self.state.release.notify_one();
    }

    /// Requests of clients that it has answered.
    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, state: Arc<State>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    if request.starts_with(b"GET /held ") {
        state.release.notified().await;
    }
    let unfit = state.unfit.load(Ordering::SeqCst);
    let check = request.starts_with(b"GET /ping ");
    if check && !unfit {
        state.checks.fetch_add(1, Ordering::SeqCst);
    } else if !check {
        state.requests.fetch_add(1, Ordering::SeqCst);
    }
    let (status, body) = if unfit { ("500 Internal Server Error", "sick") } else { ("200 OK", "pong") };
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    drop(stream.write_all(text.as_bytes()).await);
    drop(stream.shutdown().await);
}
