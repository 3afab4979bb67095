//! What a person wants to look at, on this computer's loopback: a small process of the lab.
//!
//! It listens where people are and connects inside the switch's namespace. A port that
//! somebody else has is reported and left out; the others work.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::command::start_own;
use crate::plan::{FORWARDS, Forward};
use crate::{cgroup, net, paths, progress, wait};

/// The hidden subcommand.
pub(crate) const SUBCOMMAND: &str = "forward";
/// How long the forwarder may take to say what it listens on.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection into the lab may take to be accepted.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Two threads (8 MiB of address space, a few pages in memory) and two descriptors a
/// connection: 256 stay below the usual limit of 1,024 descriptors, and are forty
/// browsers with six connections each.
const MOST_CONNECTIONS: usize = 256;

/// What the forwarder says about one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// On this computer's loopback.
    pub local: u16,
    /// The machine it leads to, by name.
    pub machine: String,
    /// The port there.
    pub remote: u16,
    /// What answers there.
    pub what: String,
    /// Why it does not listen, if so.
    pub fault: Option<String>,
}

/// Starts the forwarder, unless it runs with all its ports; warns of ports that are taken.
pub(crate) fn ensure() -> Result<()> {
    let whole = cgroup::is_populated(cgroup::FORWARD) && ports().is_some_and(|p| p.iter().all(|p| p.fault.is_none()));
    if whole {
        return Ok(());
    }
    cgroup::kill(cgroup::FORWARD)?;
    let _ = fs::remove_file(paths::forwards()); // usually not there
    start_own(&[SUBCOMMAND])?;
    let ports = wait::until(READY_WITHIN, || ports().ok_or_else(|| "the forwarder has not said what it listens on".into()))?;
    for port in &ports {
        if let Some(fault) = &port.fault {
            progress::warn(&format!(
                "127.0.0.1:{} does not lead into the lab ({fault}); {} is at {}:{} inside (warden-lab ns)",
                port.local, port.what, port.machine, port.remote
            ));
        }
    }
    Ok(())
}

/// What the forwarder said, if it has.
pub(crate) fn ports() -> Option<Vec<Port>> {
    serde_json::from_slice(&fs::read(paths::forwards()).ok()?).ok()
}

/// Listens and forwards until it is killed: the body of the hidden subcommand.
pub(crate) fn serve() -> Result<()> {
    let _ = nix::unistd::setsid(); // fails only where it is done already
    cgroup::join(cgroup::FORWARD)?;
    let bound: Vec<(Forward, io::Result<TcpListener>)> =
        FORWARDS.iter().map(|f| (*f, TcpListener::bind((Ipv4Addr::LOCALHOST, f.local)))).collect();
    let said: Vec<Port> = bound.iter().map(|(f, result)| port(*f, result)).collect();
    // The listeners stay in this computer's namespace; every thread from here on is in the lab's.
    net::enter(net::SWITCH)?;
    let open = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = bound
        .into_iter()
        .filter_map(|(forward, result)| result.ok().map(|listener| (forward, listener)))
        .map(|(forward, listener)| {
            let open = Arc::clone(&open);
            thread::spawn(move || accept(&listener, forward, &open))
        })
        .collect();
    let new = paths::forwards().with_extension("new");
    fs::write(&new, serde_json::to_vec(&said)?)?;
    fs::rename(&new, paths::forwards())?;
    for thread in threads {
        let _ = thread.join(); // it never ends
    }
    loop {
        thread::park(); // without any port: alive, so that `status` tells why
    }
}

fn port(forward: Forward, result: &io::Result<TcpListener>) -> Port {
    Port {
        local: forward.local,
        machine: forward.machine.0.to_owned(),
        remote: forward.remote,
        what: forward.what.to_owned(),
        fault: result.as_ref().err().map(|e| match e.kind() {
            io::ErrorKind::AddrInUse => "another program of this computer has that port".to_owned(),
            _ => e.to_string(),
        }),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "accept fails at once, and again, while descriptors are short: a pause keeps it from spinning"
)]
fn accept(listener: &TcpListener, forward: Forward, open: &Arc<AtomicUsize>) {
    loop {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(100)); // out of descriptors: give some back first
            continue;
        };
        if open.fetch_add(1, Ordering::SeqCst) >= MOST_CONNECTIONS {
            open.fetch_sub(1, Ordering::SeqCst);
            continue; // drops the client: better than a queue nobody sees
        }
        let open = Arc::clone(open);
        thread::spawn(move || {
            let _ = carry(&client, SocketAddr::from((forward.machine.1, forward.remote))); // either end may break at any time
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Carries bytes both ways until both have ended.
fn carry(client: &TcpStream, to: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&to, CONNECT_WITHIN)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    thread::scope(|scope| {
        scope.spawn(|| one_way(client, &server));
        one_way(&server, client);
    });
    Ok(())
}

fn one_way(mut from: &TcpStream, mut to: &TcpStream) {
    match io::copy(&mut from, &mut to) {
        // The end of one direction is passed on; the other may still have something to say.
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => {
            let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
        }
    }
}

/// The lines that tell a person where to look.
pub(crate) fn addresses(ports: &[Port]) -> Vec<String> {
    ports
        .iter()
        .map(|p| match &p.fault {
            None => format!("127.0.0.1:{:<5} → {}:{:<5} {}", p.local, p.machine, p.remote, p.what),
            Some(fault) => format!("127.0.0.1:{:<5} ✗ {}:{:<5} {}: {fault}", p.local, p.machine, p.remote, p.what),
        })
        .collect()
}

/// All planned ports, as if they all listened.
#[cfg(test)]
fn planned() -> Vec<Port> {
    FORWARDS
        .iter()
        .map(|f| Port { local: f.local, machine: f.machine.0.to_owned(), remote: f.remote, what: f.what.into(), fault: None })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = taken.local_addr().unwrap().port();
        let forward = Forward { local, machine: ("lb-1", Ipv4Addr::new(198, 18, 0, 10)), remote: 80, what: "bingo" };
        let port = port(forward, &TcpListener::bind((Ipv4Addr::LOCALHOST, local)));
        assert_eq!(port.fault.as_deref(), Some("another program of this computer has that port"));
        assert!(addresses(&[port])[0].contains('✗'));
        assert_eq!(addresses(&planned()).len(), FORWARDS.len());
    }

    #[test]
    fn bytes_go_both_ways_and_so_does_the_end() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = server.local_addr().unwrap();
        let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(front.local_addr().unwrap()).unwrap();
        let (accepted, _) = front.accept().unwrap();
        let carrier = thread::spawn(move || carry(&accepted, to));
        client.write_all(b"ping").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (mut inside, _) = server.accept().unwrap();
        let mut got = String::new();
        inside.read_to_string(&mut got).unwrap(); // ends only if the end is passed on
        inside.write_all(got.to_uppercase().as_bytes()).unwrap();
        drop(inside);
        let mut back = String::new();
        client.read_to_string(&mut back).unwrap();
        assert_eq!(back, "PING");
        carrier.join().unwrap().unwrap();
    }
}
