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
    sessions: Option<u64>,
    /// A reading that began before this says nothing of what is left.
    forgotten: Moment,
    /// In which reading it was last.
    listed: u64,
}

/// What every server counted lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    servers: HashMap<ServerId, Counted>,
    noted: u64,
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
    pub(super) fn note(&mut self, now: Moment, began: Moment, counters: Vec<Counters>) {
        self.noted += 1;
        let listed = counters.len();
        for Counters { id, requests, errors, sessions } in counters {
            let counted = self.servers.entry(id).or_default();
            counted.listed = self.noted;
            if began >= counted.forgotten {
                counted.sessions = Some(sessions);
            }
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
        }
        if self.servers.len() > listed {
            self.servers.retain(|_, counted| counted.listed == self.noted);
        }
    }

    /// The requests that a server had when it was read last.
    pub(super) fn sessions(&self, id: &ServerId) -> Option<u64> {
        self.servers.get(id)?.sessions
    }

    /// Only a reading that begins from `now` on tells how many it has.
    pub(super) fn forget_sessions(&mut self, now: Moment, id: &ServerId) {
        let counted = self.servers.entry(id.clone()).or_default();
        (counted.sessions, counted.forgotten) = (None, now);
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

    /// A reading that took no time.
    fn note(rates: &mut Rates, at: Moment, counters: Vec<Counters>) {
        rates.note(at, at, counters);
    }

    #[test]
    fn rates_cover_the_last_readings_only() {
        let id = ServerId::new("app", "s1");
        let mut rates = Rates::default();
        note(&mut rates, at(0), counted(1_000, 0));
        assert_eq!(rates.of(&id), None);
        for second in 1..=10 {
            note(&mut rates, at(second), counted(1_000 + 30 * second, second));
        }
        assert_eq!(rates.of(&id), Some(Rate { requests: 30.0, errors: 1.0 }));
    }

    #[test]
    fn only_another_reading_tells_what_is_left() {
        let id = ServerId::new("app", "s1");
        let mut rates = Rates::default();
        note(&mut rates, at(1), counted(13, 0));
        assert_eq!((rates.sessions(&id), rates.sessions(&ServerId::new("app", "s2"))), (Some(3), None));
        rates.forget_sessions(at(1), &id);
        assert_eq!(rates.sessions(&id), None);
        note(&mut rates, at(1), counted(22, 0));
        assert_eq!(rates.sessions(&id), Some(2));
        // What was under way when it was taken out has not seen the last that it was sent; nor of a server that nobody has counted yet.
        rates.forget_sessions(at(3), &id);
        rates.note(at(4), at(2), counted(30, 0));
        assert_eq!((rates.sessions(&id), rates.of(&id).is_some()), (None, true));
        rates.note(at(5), at(4), counted(34, 0));
        assert_eq!(rates.sessions(&id), Some(4));
        let mut rates = Rates::default();
        rates.forget_sessions(at(3), &id);
        rates.note(at(4), at(2), counted(30, 0));
        assert_eq!(rates.sessions(&id), None);
    }

    #[test]
    fn readings_that_follow_at_once_do_not_shorten_the_window() {
        let id = ServerId::new("app", "s1");
        let mut rates = Rates::default();
        for quarter in 0..40_u64 {
            note(&mut rates, Moment::from_micros(quarter * 250_000), counted(1_000 + 10 * quarter, 0));
        }
        assert_eq!(rates.of(&id), Some(Rate { requests: 40.0, errors: 0.0 }));
        assert_eq!(rates.servers[&id].readings.len(), READINGS);
        assert!(rates.servers[&id].readings[5].at.since(rates.servers[&id].readings[0].at) >= Span::from_secs(5));
    }

    #[test]
    fn counters_that_went_back_begin_anew() {
        let id = ServerId::new("app", "s1");
        let mut rates = Rates::default();
        note(&mut rates, at(0), counted(1_000, 5));
        note(&mut rates, at(1), counted(3, 0));
        assert_eq!(rates.of(&id), None);
        note(&mut rates, at(2), counted(13, 0));
        assert_eq!(rates.of(&id), Some(Rate { requests: 10.0, errors: 0.0 }));
        note(&mut rates, at(3), vec![]);
        assert_eq!(rates.of(&id), None);
    }
}
