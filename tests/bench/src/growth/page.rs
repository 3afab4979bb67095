//! How the page grows with what has happened: the coordinator's own page over a real socket, with a fleet of two that has seen much.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use warden_coordinator::now;
use warden_coordinator::page::{self, Page};
use warden_coordinator::steer::{Call, Entry, Severity, Timeline};
use warden_edge::clock::realtime_micros;
use warden_edge::serve::{self, Limits};
use warden_protocol::v1::fleet::FleetStatus;
use warden_protocol::vocab::ServiceState;

/// How much has happened, one after the other.
const EVENTS: [u64; 6] = [1, 100, 500, 1_000, 10_000, 100_000];

/// Each is looked at so often, the page being another one each time.
const LOOKS: u64 = 11;

/// The page is drawn anew no sooner than this after the last time.
const APART: Duration = Duration::from_millis(300);

const PATIENCE: Duration = Duration::from_secs(10);

/// Two servers, as the protocol's own test has them.
const FLEET: &str = include_str!("../../../../crates/protocol/tests/golden/fleet.json");

/// One size.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Looked {
    pub(super) events: u64,
    /// Of the page, from the request to its last byte; the middle one.
    pub(super) usec: u64,
    pub(super) bytes: usize,
    /// Of this process, which has the page and its lookers.
    pub(super) rss_kib: u64,
}

/// Takes all sizes.
pub(super) fn take(progress: impl Fn(&str)) -> Result<Vec<Looked>> {
    sizes(&EVENTS, LOOKS, progress)
}

fn sizes(of: &[u64], looked: u64, progress: impl Fn(&str)) -> Result<Vec<Looked>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let fleet: FleetStatus = serde_json::from_str(FLEET).context("the protocol's golden fleet")?;
        let timeline = Arc::<Timeline>::default();
        let (calls, mut asked) = mpsc::channel(1);
        let listener = page::bind("127.0.0.1:0".parse()?)?;
        let address = listener.local_addr()?;
        let served =
            tokio::spawn(serve::tcp(listener, page::router(Page::new(calls, Arc::clone(&timeline), None, 1, now)), Limits::default()));
        let answered = tokio::spawn(async move {
            while let Some(Call::Fleet { answer }) = asked.recv().await {
                drop(answer.send(fleet.clone()));
            }
        });
        let mut sizes = Vec::new();
        let mut entered = 0;
        for &events in of {
            progress(&format!("a page after {events} events"));
            let mut looks = Vec::new();
            for look in 1..=looked {
                // The last ones come between the looks: each finds another page.
                while entered < events.saturating_sub(looked - look) {
                    timeline.enter(entry(entered));
                    entered += 1;
                }
                sleep(APART).await;
                let began = Instant::now();
                let bytes = timeout(PATIENCE, get(address)).await.context("the page took too long")??;
                looks.push((u64::try_from(began.elapsed().as_micros())?, bytes));
            }
            looks.sort_unstable();
            let (usec, bytes) = looks[looks.len() / 2];
            sizes.push(Looked { events, usec, bytes, rss_kib: own_rss_kib()? });
        }
        served.abort();
        answered.abort();
        Ok(sizes)
    })
}

async fn get(address: std::net::SocketAddr) -> Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "the page answers {}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
    Ok(answer.len())
}

/// A server turns sick and is well again, and so on.
fn entry(number: u64) -> Entry {
    let sick = number.is_multiple_of(2);
    let (from, to) = if sick { (ServiceState::Serving, ServiceState::Sick) } else { (ServiceState::Sick, ServiceState::Serving) };
    Entry {
        number,
        at: now(),
        wall_usec: realtime_micros(),
        severity: if sick { Severity::Warning } else { Severity::Info },
        kind: "state",
        server: None,
        node: Some("bingo-1".to_owned()),
        incident: Some(format!("{:04X}", number / 2)),
        states: Some((from, to)),
        text: format!("app/bingo-1: {from} → {to}: event {number}"),
    }
}

fn own_rss_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS in /proc/self/status")?;
    Ok(line.split_whitespace().next().context("VmRSS")?.parse()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_page_that_has_seen_much_is_no_larger() {
        let sizes = super::sizes(&[1, 100, 1_000, 100_000], 1, |_| ()).unwrap();
        let of = |events| sizes.iter().find(|size| size.events == events).unwrap().bytes;
        assert!(of(100) > of(1), "{sizes:?}");
        assert!(of(100_000) < of(1_000) * 11 / 10, "{sizes:?}");
    }
}
