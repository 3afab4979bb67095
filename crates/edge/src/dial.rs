//! TCP connections to `host:port`, one after another, for those who ask again and again.
//!
//! Guarantees: a name is looked up once at a time, so that a resolver that hangs holds one thread and not one for every
//! attempt; a connection that a port of this machine made with itself is refused. Left to the caller: the deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;

/// Where to connect to.
#[derive(Clone, Debug)]
pub struct Dial {
    target: Target,
    /// The C library's resolver cannot be given up: whoever looks up holds the one permit until it has answered.
    lookup: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
enum Target {
    Address(SocketAddr),
    Name(String),
}

impl Dial {
    /// Takes `host:port` apart: `127.0.0.1:80`, `[::1]:80`, `db-1:5432`.
    ///
    /// # Errors
    /// When it is none; in words.
    pub fn new(address: &str) -> Result<Self, String> {
        let lookup = Arc::new(Semaphore::new(1));
        if let Ok(address) = address.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(no_address(address)) } else { Ok(Self { target: Target::Address(address), lookup }) };
        }
        let is_name = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        match address.rsplit_once(':') {
            Some((host, port)) if is_name(host) && port.parse::<u16>().is_ok_and(|port| port > 0) => {
                Ok(Self { target: Target::Name(address.to_owned()), lookup })
            }
            _ => Err(no_address(address)),
        }
    }

    /// Connects to the first of its addresses that accepts.
    ///
    /// # Errors
    /// What the kernel or the resolver says; of several addresses, the last one's.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let stream = match &self.target {
            Target::Address(address) => TcpStream::connect(address).await?,
            Target::Name(name) => TcpStream::connect(self.look_up(name.clone()).await?.as_slice()).await?,
        };
        // Where nobody listens on a port that the kernel also gives to clients, it may one day give us that very port, and then
        // we are connected with ourselves.
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn look_up(&self, name: String) -> io::Result<Vec<SocketAddr>> {
        let permit = Arc::clone(&self.lookup).acquire_owned().await.map_err(io::Error::other)?;
        // A task of its own, which goes on when the caller's deadline has come: the permit must stay with the resolver's thread.
        let looked_up = tokio::spawn(async move {
            let found = lookup_host(name).await.map(Iterator::collect);
            drop(permit);
            found
        });
        looked_up.await.map_err(io::Error::other)?
    }
}

fn no_address(address: impl std::fmt::Display) -> String {
    format!("\"{address}\" is not an address; write it as in \"127.0.0.1:8080\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        for address in ["127.0.0.1:80", "[::1]:5432", "db-1.example_2:1"] {
            assert!(Dial::new(address).is_ok(), "{address}");
        }
        for address in ["", "db", ":80", "db:", "db:0", "127.0.0.1:0", "db:65536", "::1:80", "http://db:80", "a b:80"] {
            let why = Dial::new(address).unwrap_err();
            assert!(why.contains("write it as in"), "{address}: {why}");
        }
    }

    #[tokio::test]
    async fn names_and_numbers_are_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let stream = Dial::new(&format!("{host}:{port}")).unwrap().connect().await.unwrap();
            assert_eq!(stream.peer_addr().unwrap().port(), port, "{host}");
        }
        let error = Dial::new("there-is-no-such-name.invalid:1").unwrap().connect().await.unwrap_err();
        assert!(!error.to_string().is_empty());
    }

    #[tokio::test]
    async fn a_port_that_answers_itself_is_nobody() {
        // Bound and not listening: a connection from this port to this port is the one that the kernel would make by accident.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let stream = socket.connect(address).await.unwrap();
        assert_eq!(stream.local_addr().unwrap(), stream.peer_addr().unwrap(), "the kernel does that");
        // And as a client meets it: nobody listens there.
        let error = Dial::new(&address.to_string()).unwrap().connect().await.unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable), "{error}");
    }
}
