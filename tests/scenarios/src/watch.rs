//! Where HAProxy sends traffic, looked at every few milliseconds.

use crate::stand::{BALANCER, Stand};
use crate::timeline::now_micros;
use anyhow::{Context, Result, anyhow, bail};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The stand's own runtime socket, on the balancer.
const SOCKET: &str = "/run/haproxy/admin.sock";

/// Between two looks. No change is told later than this and a look's own time, a fifth of a millisecond.
const EVERY: Duration = Duration::from_millis(2);

/// HAProxy binds its socket a moment after its start.
const BINDS_WITHIN: Duration = Duration::from_secs(10);

/// Who does not answer a look within this is not there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// What HAProxy says of one server, from one time on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Monotonic microseconds.
    pub at: u64,
    /// `UP`, `UP 1/3`, `DOWN (agent)`, `no check`, …
    pub status: String,
    /// The one in effect: 0 is not asked.
    pub weight: u32,
}

impl Seen {
    /// It gets new requests.
    #[must_use]
    pub fn in_traffic(&self) -> bool {
        self.weight > 0 && (self.status.starts_with("UP") || self.status.starts_with("no check"))
    }
}

type Changes = Arc<Mutex<HashMap<String, Vec<Seen>>>>;

/// A thread that looks; it ends with this value.
pub struct Watch {
    changes: Changes,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Watch {
    /// Looks at the stand's own HAProxy.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn stand(stand: &Stand) -> Result<Self> {
        Self::begin(stand, SOCKET)
    }

    /// Looks at the HAProxy whose runtime socket is there on the balancer. One that goes away is waited for: another may come.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn begin(stand: &Stand, socket: &str) -> Result<Self> {
        let socket = format!("/proc/{}/root{socket}", stand.node(BALANCER)?.leader()?);
        warden_lab::wait::until(BINDS_WITHIN, || look(&socket).map_err(|error| format!("{socket}: {error:#}")))?;
        let changes = Changes::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (entered, stopped) = (Arc::clone(&changes), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || watch(&socket, &entered, &stopped))?;
        Ok(Self { changes, stop, thread: Some(thread) })
    }

    /// What a server is now. Nothing before the first look.
    #[must_use]
    pub fn now(&self, server: &str) -> Option<Seen> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).get(server)?.last().cloned()
    }

    /// What changed since a time.
    ///
    /// # Errors
    /// When nobody looks any more.
    pub fn since(&self, server: &str, at: u64) -> Result<Vec<Seen>> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            bail!("what HAProxy's runtime socket answers cannot be read");
        }
        let changes = self.changes.lock().map_err(|_| anyhow!("the watching thread panicked"))?;
        Ok(changes.get(server).into_iter().flatten().filter(|seen| seen.at >= at).cloned().collect())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing is waited for: it is the distance of two looks")]
fn watch(socket: &str, changes: &Mutex<HashMap<String, Vec<Seen>>>, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        // Nobody there: what was seen last stands.
        if let Ok(csv) = look(socket) {
            let at = now_micros();
            let servers = read(&csv)?;
            let mut changes = changes.lock().map_err(|_| anyhow!("another thread panicked"))?;
            for (server, status, weight) in servers {
                let seen = Seen { at, status, weight };
                let known = changes.entry(server).or_default();
                if known.last().is_none_or(|last| (&last.status, last.weight) != (&seen.status, seen.weight)) {
                    known.push(seen);
                }
            }
        }
        std::thread::sleep(EVERY);
    }
    Ok(())
}

/// One answer, on a connection of its own: one that was kept would go on with a process that a reload has put aside.
fn look(socket: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    stream.write_all(b"show stat bingo 4 -1\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    // The process that ends may still accept.
    if answer.trim().is_empty() {
        bail!("HAProxy closed its runtime socket");
    }
    Ok(answer)
}

/// Name, status and weight of every server.
fn read(csv: &str) -> Result<Vec<(String, String, u32)>> {
    let mut lines = csv.lines().filter(|line| !line.trim().is_empty());
    let header: Vec<_> = lines.next().context("a header")?.trim_start_matches("# ").split(',').collect();
    let column = |name: &str| header.iter().position(|column| *column == name).with_context(|| format!("no column {name}"));
    let (name, status, weight) = (column("svname")?, column("status")?, column("weight")?);
    let servers = lines.map(|line| {
        let fields: Vec<_> = line.split(',').collect();
        let field = |at: usize| fields.get(at).copied().with_context(|| format!("too short: {line}"));
        Ok((field(name)?.to_owned(), field(status)?.to_owned(), field(weight)?.parse().with_context(|| line.to_owned())?))
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_in_trouble_gets_traffic_until_it_is_down() {
        let csv = "# pxname,svname,status,weight,\nbingo,bingo-1,UP 1/3,1,\nbingo,bingo-2,DOWN (agent),1,\nbingo,bingo-3,UP,0,\n\n";
        let seen = read(csv).unwrap();
        let told = |at: usize| (seen[at].0.as_str(), Seen { at: 0, status: seen[at].1.clone(), weight: seen[at].2 }.in_traffic());
        assert_eq!([told(0), told(1), told(2)], [("bingo-1", true), ("bingo-2", false), ("bingo-3", false)]);
        assert!(read("# svname,status,weight\nbingo-1,UP\n").is_err());
    }
}
