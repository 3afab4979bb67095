//! The same servers over TLS, where everybody has to show a certificate.
//!
//! Guarantees: who shows none of use is out within the handshake's deadline and holds up nobody meanwhile: handshakes have a bound of
//! their own, beside that of connections, in which the oldest unfinished one gives way to the newest; one name has so many
//! connections and no more; every request carries its caller's certificate; when our own certificate is another than the one that a
//! connection began under, that connection ends with its next answer, so that what was renewed is in force within a heartbeat.

use super::crowd::{Crowd, Place};
use super::{Limits, Server, refused};
use crate::tls::{Accepted, Acceptor, Certificate, Refused};
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// What a server allows before and beside [`Limits`].
#[derive(Clone, Copy, Debug)]
pub struct TlsLimits {
    /// Time for a handshake.
    pub handshake: Duration,
    /// Handshakes at once.
    pub handshakes: usize,
    /// Connections of one name.
    pub per_name: usize,
}

impl Default for TlsLimits {
    /// A handshake takes a millisecond of work: 512 of them are half a second's.
    fn default() -> Self {
        Self { handshake: Duration::from_secs(5), handshakes: 512, per_name: 8 }
    }
}

/// The certificate of who asks. A request that came by TLS has it among its extensions.
#[derive(Clone, Debug)]
pub struct Certified(pub Arc<Certificate>);

/// Serves a TCP socket for ever, over TLS. `heard`: is told of everybody who was not let in.
pub async fn tls<F>(listener: TcpListener, router: Router, limits: Limits, secure: TlsLimits, acceptor: Acceptor, heard: F)
where
    F: Fn(SocketAddr, &Refused) + Send + Sync + 'static,
{
    let door = Arc::new(Door {
        server: Server::new(router, limits),
        acceptor,
        deadline: secure.handshake,
        callers: Crowd::new(secure.per_name),
        heard: Box::new(heard),
    });
    let handshakes = Crowd::new(secure.handshakes);
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                drop(stream.set_nodelay(true));
                // The task owns itself: it ends with its connection, and every step of that has a deadline.
                tokio::spawn(Arc::clone(&door).attend(stream, from, handshakes.enter(())));
            }
            Err(error) => refused(&error).await,
        }
    }
}

struct Door {
    server: Server,
    acceptor: Acceptor,
    deadline: Duration,
    callers: Arc<Crowd<String>>,
    heard: Heard,
}

type Heard = Box<dyn Fn(SocketAddr, &Refused) + Send + Sync>;

impl Door {
    /// One connection, from its handshake to its end.
    async fn attend(self: Arc<Self>, stream: TcpStream, from: SocketAddr, mut place: Place<()>) {
        let let_in = async {
            let accepted = self.acceptor.accept(stream).await?;
            // Above the limit it waits here, and no longer than for a handshake.
            Ok((accepted, self.server.permit().await))
        };
        // On the heap while it lasts: what a task can hold in one of its states, it holds in all of them.
        let let_in = Box::pin(timeout(self.deadline, let_in));
        let let_in = tokio::select! {
            biased;
            let_in = let_in => let_in.unwrap_or(Err(Refused::Slow)),
            () = place.lost() => Err(Refused::Slow),
        };
        drop(place);
        let (Accepted { stream, peer, serial }, permit) = match let_in {
            Ok(let_in) => let_in,
            Err(why) => return (self.heard)(from, &why),
        };
        let name = peer.names.first().unwrap_or(&peer.subject).clone();
        let mut place = self.callers.enter(name);
        let acceptor = self.acceptor.clone();
        let connection = Box::pin(self.server.connection(
            stream,
            move |request| drop(request.extensions_mut().insert(Certified(Arc::clone(&peer)))),
            move || acceptor.serial() != Some(serial),
        ));
        tokio::select! {
            () = connection => {}
            () = place.lost() => tracing::debug!(from = %from, "a connection was closed: newer ones have the same name"),
        }
        drop(permit);
    }
}
