//! The page as it is now: asked of the loop when somebody looks, drawn once for all who look, and seldom enough to cost little.
//!
//! Guarantees: while nobody looks, nothing is asked and nothing is drawn; it takes at most a twentieth of the time, unless one drawing takes more than a quarter of a second; whoever
//! comes with a page that is one change old gets that change ready-made. Left to others: what is drawn, how it is sent.

use super::draw::{self, Instants, Scene, draw};
use super::frame::{Change, Frame};
use crate::requests::Requests;
use crate::steer::{Call, Calls, Timeline};
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};
use warden_logic::moment::Moment;

/// Between two drawings, at least.
const LEAST: Duration = Duration::from_millis(250);
/// And at most, however long one takes: a page older than this is not live.
const MOST: Duration = Duration::from_secs(5);
/// Drawing, and waiting for the loop, may take this part of the time.
const AT_MOST_ONE_IN: u32 = 20;
/// How long a looker waits for the loop.
const PATIENCE: Duration = Duration::from_secs(3);
/// After a look in vain, so long nobody waits for the loop.
const IN_VAIN: Duration = Duration::from_secs(2);

/// What is looked at.
#[derive(Debug)]
pub(super) struct Current {
    calls: Calls,
    timeline: Arc<Timeline>,
    requests: Option<Requests>,
    zone: TimeZone,
    clock: fn() -> Moment,
    drawn: Mutex<Drawn>,
}

#[derive(Debug, Default)]
struct Drawn {
    last: Option<Look>,
    /// When, and how long it took.
    ended: Option<(Instant, Duration)>,
    /// When the loop did not answer last, since it last did. Lookers wait for each other: those behind one who waited in vain do not.
    vain: Option<Instant>,
    instants: Instants,
}

/// A state of the page, with what made it of the one before.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) frame: Arc<Frame>,
    pub(super) title: Arc<str>,
    pub(super) balancer: Arc<str>,
    change: Option<Arc<Change>>,
}

impl Look {
    /// What makes this page of `old`, and of nothing.
    pub(super) fn since(&self, old: Option<&Look>, now: u64) -> Arc<Change> {
        match (old, &self.change) {
            (Some(old), Some(change)) if old.frame.number + 1 == self.frame.number => Arc::clone(change),
            (Some(old), _) => Arc::new(self.frame.difference(&old.frame, now)),
            (None, _) => Arc::new(self.frame.whole(now)),
        }
    }
}

impl Current {
    pub(super) fn new(calls: Calls, timeline: Arc<Timeline>, requests: Option<Requests>, zone: TimeZone, clock: fn() -> Moment) -> Self {
        Self { calls, timeline, requests, zone, clock, drawn: Mutex::default() }
    }

    pub(super) const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The coordinator's clock in milliseconds.
    pub(super) fn now(&self) -> u64 {
        (self.clock)().as_micros() / 1_000
    }

    /// The page, and how long it stays good. Nothing when the loop does not answer.
    pub(super) async fn look(&self) -> (Option<Look>, Duration) {
        let mut drawn = self.drawn.lock().await;
        if let (Some(last), Some((ended, took))) = (&drawn.last, drawn.ended) {
            let left = pause(took).saturating_sub(ended.elapsed());
            if !left.is_zero() {
                return (Some(last.clone()), left);
            }
        }
        if let Some(vain) = drawn.vain.filter(|vain| vain.elapsed() < IN_VAIN) {
            return (None, IN_VAIN.saturating_sub(vain.elapsed()));
        }
        let began = Instant::now();
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.calls.send(Call::Fleet { answer }).await.ok()?;
            answered.await.ok()
        };
        let Ok(Some(fleet)) = timeout(PATIENCE, asked).await else {
            drawn.vain = Some(Instant::now());
            return (None, IN_VAIN);
        };
        let (now, entries) = (self.now(), self.timeline.entries());
        let Drawn { last, ended, vain, instants } = &mut *drawn;
        *vain = None;
        let requests = self.requests.as_ref().map(|requests| (requests.prometheus(), requests.look()));
        let requests = requests.as_ref().map(|(prometheus, known)| draw::Requests { prometheus, known });
        let frame = draw(&Scene { fleet: &fleet, entries: &entries, requests, now, zone: &self.zone }, instants);
        let look = match last.take() {
            Some(last) if last.frame.same(&frame) => last,
            before => {
                let number = before.as_ref().map_or(1, |before| before.frame.number + 1);
                let frame = Arc::new(Frame { number, ..frame });
                let change = before.map(|before| Arc::new(frame.difference(&before.frame, now)));
                let title = format!("{} · {} · Warden", super::judge::judge(&fleet).title, super::words::plain(&fleet.balancer));
                Look { frame, title: title.into(), balancer: fleet.balancer.into(), change }
            }
        };
        *last = Some(look.clone());
        let took = began.elapsed();
        *ended = Some((Instant::now(), took));
        (Some(look), pause(took))
    }
}

fn pause(took: Duration) -> Duration {
    took.saturating_mul(AT_MOST_ONE_IN).clamp(LEAST, MOST)
}
