//! Which hook is told of what: decided on values, without a clock.

use super::{Hook, HookEvent};
use std::collections::{HashMap, VecDeque};
use warden_logic::moment::{Moment, Span};
use warden_logic::reason::Label;
use warden_protocol::vocab::ServiceState;

/// A hook is told of so many events in an hour. Who gets more reads none of them.
pub const AN_HOUR: usize = 20;
const HOUR: Span = Span::from_secs(3_600);
/// Pairs of incident and event that are remembered: some hundred incidents, which is more than a person looks back on.
const REMEMBERED: usize = 1_024;

/// What a change of a service's state means for hooks. `before` and `after`: whether an incident was open, and is.
pub fn events(to: ServiceState, label: Label, before: bool, after: bool) -> impl Iterator<Item = HookEvent> {
    let begun = (!before && after).then_some(HookEvent::Incident);
    let limit = (label == Label::StartLimit).then_some(HookEvent::StartLimit);
    let state = match to {
        ServiceState::Parked => Some(HookEvent::Parked),
        ServiceState::Held => Some(HookEvent::Held),
        ServiceState::Serving if before && !after => Some(HookEvent::Recovered),
        _ => None,
    };
    [begun, limit, state].into_iter().flatten()
}

/// What was told, to whom, and when.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Oldest first.
    told: VecDeque<(String, HookEvent)>,
    /// By the hook's name, oldest first, at most [`AN_HOUR`] long.
    hours: HashMap<String, VecDeque<Moment>>,
}

/// What is done about an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// Indices of the hooks that are told.
    pub(super) tell: Vec<usize>,
    /// Indices of those that have had enough.
    pub(super) too_many: Vec<usize>,
}

impl Ledger {
    /// Decides, and takes it as done. An event without an incident is told each time that it happens.
    pub(super) fn decide(&mut self, hooks: &[Hook], event: HookEvent, incident: Option<&str>, now: Moment) -> Decision {
        let mut decision = Decision::default();
        if let Some(incident) = incident {
            if self.told.iter().any(|(id, told)| id == incident && *told == event) {
                return decision;
            }
            if self.told.len() == REMEMBERED {
                self.told.pop_front();
            }
            self.told.push_back((incident.to_owned(), event));
        }
        for (index, hook) in hooks.iter().enumerate().filter(|(_, hook)| hook.on.contains(&event)) {
            let hour = self.hours.entry(hook.name.clone()).or_default();
            while hour.front().is_some_and(|at| now.since(*at) >= HOUR) {
                hour.pop_front();
            }
            if hour.len() < AN_HOUR {
                hour.push_back(now);
                decision.tell.push(index);
            } else {
                decision.too_many.push(index);
            }
        }
        decision
    }

    /// After a reload: hooks that are gone are forgotten.
    pub(super) fn only(&mut self, hooks: &[Hook]) {
        self.hours.retain(|name, _| hooks.iter().any(|hook| hook.name == *name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::HookRun;
    use std::time::Duration;

    fn hook(name: &str, on: &[HookEvent]) -> Hook {
        Hook { name: name.to_owned(), on: on.to_vec(), run: HookRun::Exec(vec!["true".to_owned()]), timeout: Duration::from_secs(1) }
    }

    #[test]
    fn changes_are_the_events_that_need_a_person() {
        use ServiceState::*;
        let cases: [(ServiceState, Label, bool, bool, &[HookEvent]); 7] = [
            (Sick, Label::FatalPattern, false, true, &[HookEvent::Incident]),
            (Sick, Label::FatalAnswer, true, true, &[]),
            (Serving, Label::Proven, true, false, &[HookEvent::Recovered]),
            (Serving, Label::Proven, false, false, &[]),
            (Parked, Label::RestartLimit, true, true, &[HookEvent::Parked]),
            (Held, Label::ProbeFailing, false, false, &[HookEvent::Held]),
            (Sick, Label::StartLimit, false, true, &[HookEvent::Incident, HookEvent::StartLimit]),
        ];
        for (to, label, before, after, expected) in cases {
            assert_eq!(events(to, label, before, after).collect::<Vec<_>>(), expected, "{to} {label:?}");
        }
    }

    #[test]
    fn an_event_of_an_incident_is_told_once_and_to_those_who_want_it() {
        let hooks = [hook("all", &HookEvent::ALL), hook("parked", &[HookEvent::Parked])];
        let mut ledger = Ledger::default();
        let mut tell = |event, incident| ledger.decide(&hooks, event, incident, Moment::default()).tell;
        assert_eq!(tell(HookEvent::Parked, Some("AAAAA")), [0, 1]);
        assert!(tell(HookEvent::Parked, Some("AAAAA")).is_empty());
        assert_eq!(tell(HookEvent::Incident, Some("AAAAA")), [0]);
        assert_eq!(tell(HookEvent::Parked, Some("BBBBB")), [0, 1]);
        assert_eq!((tell(HookEvent::Held, None), tell(HookEvent::Held, None)), (vec![0], vec![0]));
    }

    #[test]
    fn an_hour_has_its_limit_and_the_next_begins_anew() {
        let hooks = [hook("all", &HookEvent::ALL)];
        let mut ledger = Ledger::default();
        let mut told = 0;
        for minute in 0..180 {
            let now = Moment::from_micros(0).plus(Span::from_secs(60 * minute));
            let decision = ledger.decide(&hooks, HookEvent::Held, None, now);
            assert_eq!(decision.tell.len() + decision.too_many.len(), 1);
            told += decision.tell.len();
        }
        assert_eq!(told, 3 * AN_HOUR);
        ledger.only(&[]);
        assert!(ledger.hours.is_empty());
        for number in 0..2 * REMEMBERED {
            ledger.decide(&hooks, HookEvent::Held, Some(&number.to_string()), Moment::default());
        }
        assert_eq!(ledger.told.len(), REMEMBERED);
    }
}
