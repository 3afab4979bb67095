//! HTTP/1.1 servers with bounds: so many connections, so large a body, so long for a head, so long for an answer.
//!
//! A connection above the limit waits in the kernel's queue; a slow client, sender or reader, is cut off by its deadline; an accept
//! that fails (out of descriptors) backs off instead of spinning. The future that serves never ends by itself.
//! Over Unix sockets, over plain TCP, and over TLS with certificates on both ends ([`tls`]).

mod crowd;
mod secure;

pub use secure::{Certified, TlsLimits, tls};

use crate::stall::Stall;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// Time for a request's head, and for an idle connection to send its next one.
    pub head: Duration,
    /// Time from a request's head to the end of its answer's head.
    pub answer: Duration,
    /// Time for which a reader may take none of what is sent to it.
    pub stall: Duration,
}

impl Default for Limits {
    /// For a socket that a few people and programs use: 64 connections (each about 20 kB: 1.3 MB at most), 64 kB bodies.
    fn default() -> Self {
        let (head, answer, stall) = (Duration::from_secs(30), Duration::from_secs(10), Duration::from_secs(30));
        Self { connections: 64, body: 64 * 1024, head, answer, stall }
    }
}

/// Who is at the other end of a Unix socket, by the kernel's word as of the moment of connecting (`SO_PEERCRED`). A request that
/// came by one has it among its extensions; one that came by TCP has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its process, where the kernel knows it here.
    pub pid: Option<i32>,
}

/// Binds a Unix socket with mode 0660; the directory decides its group. A stale socket file of a dead server is replaced.
///
/// # Errors
/// `AddrInUse` when another process answers on it; whatever the kernel says otherwise.
pub async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixStream::connect(path).await {
        Ok(_) => return Err(io::Error::new(ErrorKind::AddrInUse, "another process answers on it")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        // Not there, or not ours to look at: bind says it better.
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Binds a TCP socket with a backlog that takes a whole fleet reconnecting at once (the kernel caps it at `somaxconn`).
///
/// # Errors
/// Whatever the kernel says: in use, not ours, not an address of this machine.
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

/// Serves a Unix socket for ever.
pub async fn unix(listener: UnixListener, router: Router, limits: Limits) {
    let server = Server::new(router, limits);
    loop {
        let permit = server.permit().await;
        match listener.accept().await {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(cred) => {
                    let peer = Peer { uid: cred.uid(), gid: cred.gid(), pid: cred.pid() };
                    server.spawn(stream, Some(peer), permit);
                }
                // Whoever cannot be named is not served.
                Err(error) => tracing::warn!(error = %error, "a connection was closed: who opened it cannot be told"),
            },
            Err(error) => refused(&error).await,
        }
    }
}

/// Serves a TCP socket for ever.
pub async fn tcp(listener: TcpListener, router: Router, limits: Limits) {
    let server = Server::new(router, limits);
    loop {
        let permit = server.permit().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and waited for; a failure to say so costs 40 ms, not correctness.
                drop(stream.set_nodelay(true));
                server.spawn(stream, None, permit);
            }
            Err(error) => refused(&error).await,
        }
    }
}

/// An accept that failed: a connection that is already gone is nothing, anything else is waited out.
async fn refused(error: &io::Error) {
    if !matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) {
        tracing::warn!(error = %error, "a connection could not be accepted; trying again in 100 ms");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct Server {
    service: TowerToHyperService<Router>,
    builder: hyper::server::conn::http1::Builder,
    permits: Arc<Semaphore>,
    stall: Duration,
}

impl Server {
    fn new(router: Router, limits: Limits) -> Self {
        let deadline = limits.answer;
        let router = router
            .layer(DefaultBodyLimit::max(limits.body))
            .layer(from_fn(move |request: Request, next: Next| in_time(deadline, request, next)));
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(64 * 1024);
        Self {
            service: TowerToHyperService::new(router),
            builder,
            permits: Arc::new(Semaphore::new(limits.connections)),
            stall: limits.stall,
        }
    }

    async fn permit(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        // None only if the semaphore were closed, which nobody does.
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    fn spawn<S>(&self, stream: S, peer: Option<Peer>, permit: Option<tokio::sync::OwnedSemaphorePermit>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let named = move |request: &mut hyper::Request<Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
        };
        let connection = self.connection(stream, named, || false);
        // The task owns itself: it ends with its connection, and every step of that has a deadline.
        tokio::spawn(async move {
            connection.await;
            drop(permit);
        });
    }

    /// Serves one connection until it ends. `named`: says with each request who asks; `last`: whether this request is the last one.
    fn connection<S>(
        &self,
        stream: S,
        named: impl Fn(&mut hyper::Request<Incoming>) + Send + 'static,
        last: impl Fn() -> bool + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = self.service.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            named(&mut request);
            let last = last();
            let answer = service.call(request);
            async move {
                let mut answer = answer.await?;
                if last {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        // No async block: it would hold the connection twice, and there are ten thousand of them.
        self.builder.serve_connection(TokioIo::new(Stall::new(stream, self.stall)), service).map(|ended| {
            if let Err(error) = ended {
                tracing::debug!(error = %crate::chain::Chain(&error), "a connection ended early");
            }
        })
    }
}

async fn in_time(deadline: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the answer took too long\n").into_response(),
    }
}
