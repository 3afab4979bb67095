//! What happened lately, for people who look: a ring in memory of the loop's events and of every change of state that agents report.
//!
//! Guarantees: so many entries and no more, each with a bounded text; a change of state stands before what followed from it. Left to
//! others: the record, which is the journal; a coordinator that begins anew has an empty ring.

use super::Steering;
use super::events::{Event, Severity};
use super::knowledge::Knowledge;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warden_edge::clock;
use warden_logic::fleet::observed::ServerId;
use warden_logic::moment::Moment;
use warden_protocol::vocab::ServiceState;

/// An entry is about 500 bytes, and 1 kB at most: the ring is half a megabyte at most.
const ENTRIES: usize = 500;
/// Characters of an entry's text; longer ones are cut.
const LONGEST: usize = 300;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Grows by one with each.
    pub number: u64,
    /// When, by the clock of everything that is timed here.
    pub at: Moment,
    /// When, by the wall clock: microseconds since 1970.
    pub wall_usec: u64,
    /// How much it matters.
    pub severity: Severity,
    /// `state`, or the kind of event as in the journal: `out`, `back`, `haproxy_lost`, …
    pub kind: &'static str,
    /// The server that it is about.
    pub server: Option<ServerId>,
    /// The node whose agent speaks for it.
    pub node: Option<String>,
    /// The incident that it belongs to.
    pub incident: Option<String>,
    /// From which state to which, where the agent said so.
    pub states: Option<(ServiceState, ServiceState)>,
    /// One sentence. May quote foreign text; whoever shows it escapes it.
    pub text: String,
}

/// The ring. The loop writes, whoever looks reads.
#[derive(Debug, Default)]
pub struct Timeline(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Arc<Entry>>,
    next: u64,
}

impl<R> Steering<R> {
    /// What happened lately.
    pub fn timeline(&self) -> Arc<Timeline> {
        Arc::clone(&self.timeline)
    }
}

impl Timeline {
    /// Everything that is kept, the newest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.ring().entries.iter().rev().cloned().collect()
    }

    /// Enters what happened; its number is given here.
    pub fn enter(&self, entry: Entry) {
        let mut ring = self.ring();
        let number = ring.next;
        ring.next += 1;
        if ring.entries.len() >= ENTRIES {
            ring.entries.pop_front();
        }
        let text = match entry.text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &entry.text[..end]),
            None => entry.text,
        };
        ring.entries.push_back(Arc::new(Entry { number, text, ..entry }));
    }

    /// Enters an event of the loop.
    pub(super) fn note(&self, at: Moment, event: &Event) {
        self.enter(Entry {
            number: 0,
            at,
            wall_usec: clock::realtime_micros(),
            severity: event.kind.severity(),
            kind: event.kind.label(),
            server: event.server.clone(),
            node: event.node.clone(),
            incident: event.incident.clone(),
            states: None,
            text: event.text.clone(),
        });
    }

    /// Enters the changes between what a node's agent said before and what it says now.
    pub(super) fn heard(&self, at: Moment, known: &Knowledge, name: &str, before: &[(String, ServiceState)]) {
        let Some(node) = known.roster.node(name) else { return };
        for (index, service) in node.services.iter().enumerate() {
            let Some((_, from)) = before.iter().find(|(unit, from)| *unit == service.unit && *from != service.state) else { continue };
            let server = known.matches.of_node(name).iter().find(|(at, _)| *at == index).map(|(_, id)| id.clone());
            let who = server.as_ref().map_or_else(|| format!("{} of {name}", service.unit), ToString::to_string);
            self.enter(Entry {
                number: 0,
                at,
                wall_usec: clock::realtime_micros(),
                severity: weight(service.state),
                kind: "state",
                server,
                node: Some(name.to_owned()),
                incident: service.incident.clone(),
                states: Some((*from, service.state)),
                text: format!("{who}: {from} → {}: {}", service.state, service.reason.text),
            });
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node's services were, before a report is taken.
pub(super) fn states(known: &Knowledge, node: &str) -> Vec<(String, ServiceState)> {
    let services = known.roster.node(node).map(|node| node.services.as_slice()).unwrap_or_default();
    services.iter().map(|service| (service.unit.clone(), service.state)).collect()
}

const fn weight(state: ServiceState) -> Severity {
    match state {
        ServiceState::Parked => Severity::Error,
        ServiceState::Suspect | ServiceState::Sick | ServiceState::Held => Severity::Warning,
        ServiceState::Unknown
        | ServiceState::Stopped
        | ServiceState::Starting
        | ServiceState::Warming
        | ServiceState::Proving
        | ServiceState::Serving
        | ServiceState::Restarting
        | ServiceState::Waiting
        | ServiceState::Leaving
        | ServiceState::Maintenance => Severity::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::events::Kind;

    #[test]
    fn the_ring_keeps_the_newest_and_cuts_what_is_long() {
        let timeline = Timeline::default();
        for _ in 0..ENTRIES + 3 {
            timeline.note(Moment::from_micros(1), &Event::new(Kind::HaproxyLost, "ü".repeat(LONGEST + 1)));
        }
        let entries = timeline.entries();
        assert_eq!(entries.len(), ENTRIES);
        assert_eq!((entries[0].number, entries[ENTRIES - 1].number), (ENTRIES as u64 + 2, 3));
        assert_eq!(entries[0].text.chars().count(), LONGEST + 1);
        assert_eq!((entries[0].severity, entries[0].kind), (Severity::Error, "haproxy_lost"));
    }
}
