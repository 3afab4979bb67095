//! Counters into rates over the last few seconds, and the requests in flight. Pure.

use crate::haproxy::Counters;
use std::collections::{HashMap, VecDeque};
use warden_logic::fleet::observed::ServerId;
use warden_logic::moment::{Moment, Span};

/// Readings that are kept of a server, at least so far apart: rates over the last five seconds.
const READINGS: usize = 6;
const APART: Span = Span::from_millis(900);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    at: Moment,
    requests: u64,
    errors: u64,
}

/// What one server counted.
#[derive(Clone, Debug, Default)]
struct Counted {
    readings: VecDeque<Reading>,
    /// The requests that it had when it was read last.
    sessions: Option<(Moment, u64)>,
}

/// What every server counted lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    servers: HashMap<ServerId, Counted>,
}

/// Per second, over the last few seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub(super) requests: f64,
    pub(super) errors: f64,
}

impl Rates {
    /// Enters a reading. A server that is no longer listed is forgotten; one whose counters went back (a new HAProxy, `clear
    /// counters`) begins anew.
    pub(super) fn note(&mut self, now: Moment, counters: Vec<Counters>) {
        let mut old = std::mem::take(&mut self.servers);
        for Counters { id, requests, errors, sessions } in counters {
            let mut counted = old.remove(&id).unwrap_or_default();
            counted.sessions = Some((now, sessions));
            let readings = &mut counted.readings;
            if readings.back().is_some_and(|last| requests < last.requests || errors < last.errors) {
                readings.clear();
            }
            if readings.back().is_none_or(|last| now.since(last.at) >= APART) {
                readings.push_back(Reading { at: now, requests, errors });
            }
            if readings.len() > READINGS {
                readings.pop_front();
            }
            self.servers.insert(id, counted);
        }
    }

    /// The requests that a server had, by a reading that is younger than `since`.
    pub(super) fn sessions(&self, id: &ServerId, since: Moment) -> Option<u64> {
        self.servers.get(id)?.sessions.filter(|(at, _)| *at > since).map(|(_, sessions)| sessions)
    }

    /// What is known of a server: nothing before two readings.
    pub(super) fn of(&self, id: &ServerId) -> Option<Rate> {
        let readings = &self.servers.get(id)?.readings;
        let (first, last) = (readings.front()?, readings.back()?);
        let micros = last.at.since(first.at).as_micros();
        if micros == 0 {
            return None;
        }
        let per_second = |new: u64, old: u64| new.saturating_sub(old) as f64 * 1_000_000.0 / micros as f64;
        Some(Rate { requests: per_second(last.requests, first.requests), errors: per_second(last.errors, first.errors) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_micros(secs * 1_000_000)
    }

    fn counted(requests: u64, errors: u64) -> Vec<Counters> {
        vec![Counters { id: ServerId::new("app", "s1"), requests, errors, sessions: requests % 10 }]
    }

    #[test]
    fn rates_cover_the_last_readings_only() {
        let id = ServerId::new("app", "s1");
        let mut rates = Rates::default();
        rates.note(at(0), counted(1_000, 0));
        assert_eq!(rates.of(&id), None);
        for second in 1..=10 {
            rates.note(at(second), counted(1_000 + 30 * second, second));
        }
        assert_eq!(rates.of(&id), Some(Rate { requests: 30.0, errors: 1.0 }));
    }

    #[test]
    fn only_a_reading_after_the_moment_tells_what_is_left() {
        let id = ServerId::new("app", "s1");
        let mut rates = Rates::default();
        rates.note(at(1), counted(13, 0));
        assert_eq!([0, 1, 2].map(|second| rates.sessions(&id, at(second))), [Some(3), None, None]);
        assert_eq!(rates.sessions(&ServerId::new("app", "s2"), at(0)), None);
    }

    #[test]
    fn counters_that_went_back_begin_anew() {
        let id = ServerId::new("app", "s1");
        let mut rates = Rates::default();
        rates.note(at(0), counted(1_000, 5));
        rates.note(at(1), counted(3, 0));
        assert_eq!(rates.of(&id), None);
        rates.note(at(2), counted(13, 0));
        assert_eq!(rates.of(&id), Some(Rate { requests: 10.0, errors: 0.0 }));
        rates.note(at(3), vec![]);
        assert_eq!(rates.of(&id), None);
    }
}
