//! The state of the connection to HAProxy: is it there, is it still the same process, and what the world is told of it.

use super::events::{Event, Kind};
use super::knowledge::Knowledge;
use crate::haproxy::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use warden_edge::chain::Chain;
use warden_edge::notify;
use warden_logic::fleet::observed::{Identity, Observed};
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::fleet::HaproxyStatus;

/// Whether the loop lives and whether it steers; read by other tasks.
#[derive(Debug, Default)]
pub struct Pulse {
    last_cycle: AtomicU64,
    steering: AtomicBool,
}

impl Pulse {
    /// How long ago the last cycle ended; nothing before the first.
    #[must_use]
    pub fn silent(&self, now: Moment) -> Option<Span> {
        let last = self.last_cycle.load(Ordering::Relaxed);
        (last > 0).then(|| now.since(Moment::from_micros(last)))
    }

    /// True while HAProxy answers.
    #[must_use]
    pub fn steering(&self) -> bool {
        self.steering.load(Ordering::Relaxed)
    }
}

/// The connection to HAProxy.
#[derive(Debug, Default)]
pub(super) struct Link {
    identity: Option<Identity>,
    /// Why the last call failed, until one works again.
    lost: Option<&'static str>,
    error: Option<String>,
    /// Those of several that do not answer, a sentence each.
    away: Vec<String>,
    /// New processes that were found.
    resyncs: u64,
    pulse: Arc<Pulse>,
    status: String,
    fed: Option<Instant>,
    watchdog: Option<Option<Duration>>,
}

impl Link {
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// A call failed, and another reading follows at once: only the cause is kept.
    pub(super) fn broke(&mut self, error: &Error) {
        self.lost.get_or_insert(error.label());
    }

    /// A call failed, and nothing is known until the next cycle. An event the first time.
    pub(super) fn failed(&mut self, error: &Error) -> Option<Event> {
        self.broke(error);
        let text = Chain(error).to_string();
        let first = self.error.is_none();
        let event = first.then(|| Event::new(Kind::HaproxyLost, format!("HAProxy does not answer: {text}; its servers stay as they are")));
        self.error = Some(text);
        event
    }

    /// Some of several do not answer. An event for each, the first time.
    pub(super) fn partly(&mut self, away: Vec<String>) -> Vec<Event> {
        let news = away.iter().filter(|text| !self.away.contains(text));
        let events = news.map(|text| Event::new(Kind::HaproxyLost, format!("{text}; its servers stay as they are"))).collect();
        self.away = away;
        events
    }

    /// Says the status line again with the next beat, after somebody else has said one.
    pub(super) fn repeat_status(&mut self) {
        self.status.clear();
    }

    /// A reading worked. The cause, when everything has to be asserted again.
    pub(super) fn answered(&mut self, observed: &Observed) -> Option<(&'static str, Event)> {
        self.error = None;
        let lost = self.lost.take();
        let before = self.identity.replace(observed.identity);
        let (pid, version) = (observed.identity.pid, &observed.version);
        let Some(before) = before else {
            // The first process is no new one.
            return Some(("first", Event::new(Kind::Resync, format!("HAProxy {version} answers, process {pid}"))))
                .filter(|_| lost.is_some());
        };
        let changed = before != observed.identity;
        let cause = match (lost, changed) {
            (Some(cause), _) => cause,
            (None, true) if before.pid != pid => "pid",
            (None, true) => "start_time",
            (None, false) => return None,
        };
        self.resyncs += u64::from(changed);
        let what = if changed {
            format!("a new HAProxy {version}, process {pid} after {}", before.pid)
        } else {
            format!("HAProxy answers again, process {pid}")
        };
        Some((cause, Event::new(Kind::Resync, format!("{what} ({cause}): everything was read again"))))
    }

    pub(super) fn status(&self, socket: &str, observed: Option<&Observed>) -> HaproxyStatus {
        HaproxyStatus {
            socket: socket.to_owned(),
            connected: self.identity.is_some() && self.error.is_none() && self.lost.is_none(),
            version: observed.map(|observed| observed.version.clone()),
            pid: self.identity.map(|identity| identity.pid),
            resyncs: self.resyncs,
            error: self.error.clone().or_else(|| (!self.away.is_empty()).then(|| self.away.join("; "))),
        }
    }

    /// The loop has made a cycle: feeds the watchdog. One that has looked at everything says in one line how things are.
    pub(super) fn beat(&mut self, now: Moment, known: Option<&Knowledge>) {
        self.pulse.last_cycle.store(now.as_micros(), Ordering::Relaxed);
        let watchdog = *self.watchdog.get_or_insert_with(notify::watchdog_beat);
        if let Some(beat) = watchdog
            && self.fed.is_none_or(|fed| fed.elapsed() >= beat)
        {
            notify::watchdog();
            self.fed = Some(Instant::now());
        }
        let Some(known) = known else { return };
        self.pulse.steering.store(known.current, Ordering::Relaxed);
        let status = one_line(self.error.as_deref(), known);
        if status != self.status {
            notify::status(&status);
            self.status = status;
        }
    }
}

fn one_line(error: Option<&str>, known: &Knowledge) -> String {
    if let Some(error) = error {
        return format!("HAProxy does not answer: {error}");
    }
    let servers = || known.matches.claims.keys().filter_map(|id| known.server(id));
    let in_traffic = servers().filter(|server| server.takes_traffic()).count();
    let agents = known.roster.nodes().count();
    format!("{in_traffic} of {} servers in traffic, {agents} agents", servers().count())
}
