//! Tells the coordinators how the services stand: one task for each of them.
//!
//! A report is a full snapshot. It is sent at once when something changed that moves traffic, and as a heartbeat in
//! between; what the answer says goes to the control loop. Losing one costs a heartbeat, never correctness.
//!
//! Guarantees: a change waits for nothing, not even for an answer that is still out (two reports may be in flight, and their
//! `seq` orders them); every report has a deadline; an answer that was overtaken is dropped; after a failure it
//! tries again with a growing, jittered delay, and at once on the next change.
//!
//! Left to others: what is wanted (the board), what an answer means (`crate::supervisor`).

mod client;
mod outlook;
mod snapshot;
#[cfg(test)]
mod tests;

pub use snapshot::Snapshot;

use crate::supervisor::board::Reader;
use crate::supervisor::clock::Clock;
use crate::supervisor::{Heard, News};
use client::{Answered, Client};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use warden_edge::clock::random;
use warden_edge::tls::Current;
use warden_protocol::v1::report::Directives;

/// Reports on their way at once: a heartbeat that hangs must not hold up the change behind it.
const MOST_IN_FLIGHT: usize = 2;
/// The beat until a coordinator asks for another.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What a coordinator may ask for.
const HEARTBEATS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// After a first failure; doubled with each that follows, jittered by half, and never more than the second one.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The task that reports to one coordinator.
pub struct Reporter {
    link: usize,
    client: Client,
    snapshot: Snapshot,
    board: Reader,
    heard: mpsc::Sender<Heard>,
    clock: Clock,
    seq: u64,
    /// The board's revision that was last sent.
    sent: Option<u64>,
    /// The youngest report that was answered.
    answered: u64,
    heartbeat: Duration,
    failures: u32,
}

impl Reporter {
    /// A task for the coordinator at `url`, the `link`th that is configured, under whichever certificate is `current`.
    ///
    /// # Errors
    /// When the URL or the HTTP client is of no use; in words.
    pub fn new(
        link: usize,
        url: &str,
        current: Option<Current>,
        snapshot: Snapshot,
        board: Reader,
        heard: mpsc::Sender<Heard>,
        clock: Clock,
    ) -> Result<Self, String> {
        let client = Client::new(url, snapshot.node(), current)?;
        let (seq, answered, failures) = (0, 0, 0);
        Ok(Self { link, client, snapshot, board, heard, clock, seq, sent: None, answered, heartbeat: HEARTBEAT, failures })
    }

    /// Reports until the board or the control loop is gone.
    pub async fn run(mut self) {
        let mut in_flight = FuturesUnordered::new();
        let mut beat = Instant::now();
        loop {
            let changed = self.sent != Some(self.board.borrow_and_update().revision);
            let beats = in_flight.is_empty() && Instant::now() >= beat;
            if beats || changed && in_flight.len() < MOST_IN_FLIGHT {
                let report = self.next();
                in_flight.push(self.client.put(self.seq, report));
                beat = Instant::now() + self.heartbeat;
            }
            // All arms are cancel safe; only the one that has an answer in hand waits, for room in the loop's queue.
            tokio::select! {
                biased;
                Some(answered) = in_flight.next(), if !in_flight.is_empty() => {
                    let Ok(()) = self.hear(answered, &mut beat).await else { return };
                }
                change = self.board.changed() => if change.is_err() { return },
                () = sleep_until(beat), if in_flight.is_empty() => {}
            }
        }
    }

    fn next(&mut self) -> Vec<u8> {
        self.seq += 1;
        let board = self.board.borrow();
        self.sent = Some(board.revision);
        self.snapshot.report(self.seq, self.clock.now(), &board)
    }

    /// Passes on what came back. An error: nobody listens any more.
    async fn hear(&mut self, (seq, answer): (u64, Answered), beat: &mut Instant) -> Result<(), ()> {
        // Overtaken: a younger report was answered, which says more.
        if seq < self.answered {
            return Ok(());
        }
        let news = match answer {
            Answered::Directives(Directives { heartbeat_ms, services, waits, .. }) => {
                self.answered = seq;
                self.failures = 0;
                self.heartbeat = Duration::from_millis(heartbeat_ms).clamp(*HEARTBEATS.start(), *HEARTBEATS.end());
                *beat = (*beat).min(Instant::now() + self.heartbeat);
                News::Directives(services, waits)
            }
            // The coordinator holds the younger one that is on its way, and will answer that.
            Answered::Stale if seq < self.seq => return Ok(()),
            Answered::Stale => self.failed("it holds a younger report of this node: does another agent speak for it?".to_owned(), beat),
            Answered::Failed(why) => self.failed(why, beat),
        };
        self.heard.send(Heard { link: self.link, news }).await.map_err(|_| ())
    }

    fn failed(&mut self, why: String, beat: &mut Instant) -> News {
        *beat = Instant::now() + again(self.failures, random());
        self.failures = self.failures.saturating_add(1);
        News::Failed(why)
    }
}

/// The delay after one more failure: so that a fleet that lost its coordinator does not come back as one.
fn again(failures: u32, roll: u64) -> Duration {
    let delay = AGAIN.0.saturating_mul(1 << failures.min(16)).min(AGAIN.1);
    let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis / 2 + roll % (millis / 2 + 1))
}
