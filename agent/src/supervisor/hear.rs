//! What coordinators say of the traffic, made into one word for each machine.

use super::ports::Ports;
use super::{Supervisor, record, watched};
use warden_logic::moment::Span;
use warden_logic::service::input::{Input, Invocation, PermitId, TrafficSeen, Witness};
use warden_protocol::v1::Reason;
use warden_protocol::v1::report::{Directive, Waiting};
use warden_protocol::vocab::Confirmed;

/// What one coordinator let us know.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Which one.
    pub link: usize,
    /// What.
    pub news: News,
}

/// An answer to a report, or none.
#[derive(Clone, Debug)]
pub enum News {
    /// What it does with the services that it knows, and who of them waits for a permit, why.
    Directives(Vec<Directive>, Vec<Waiting>),
    /// The report was not answered.
    Failed(String),
}

/// What one coordinator said last of one service.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) directive: Directive,
    /// Why it asks for a permit and has none.
    pub(super) waits: Option<Reason>,
}

impl<P: Ports> Supervisor<P> {
    /// A coordinator's answer is news for every service, even when it says the same: it is younger.
    pub(super) fn hear(&mut self, heard: Heard) {
        let now = self.setup.clock.now();
        let Heard { link, news } = heard;
        let mut words = vec![None; self.services.len()];
        let failure = match news {
            News::Directives(directives, mut waits) => {
                for mut directive in directives {
                    if let Some(service) = self.services.iter().position(|watched| watched.unit == directive.unit) {
                        // One that was given for something else is none.
                        let machine = &self.services[service].machine;
                        directive.permit.take_if(|permit| !machine.accepts_permit(PermitId(permit.id), &permit.action));
                        let waits =
                            waits.iter().position(|waiting| waiting.unit == directive.unit).map(|index| waits.swap_remove(index).reason);
                        words[service] = Some(Word { directive, waits });
                    }
                }
                None
            }
            News::Failed(why) => Some(why),
        };
        self.words[link] = words;
        self.setup.metrics.connected(&self.setup.coordinators[link], failure.is_none());
        self.board.send_modify(|board| watched::update_link(&mut board.links[link], now, failure));
        for service in 0..self.services.len() {
            let all = || self.words.iter().filter_map(|words| words[service].as_ref());
            let (word, seen) = (all().next().map(|word| word.directive.traffic.clone()), together(all()));
            let waits = all().find_map(|word| word.waits.clone());
            self.board.send_modify(|board| {
                board.services[service].traffic.clone_from(&word);
                board.services[service].waits = waits;
            });
            let out = seen.is_some_and(|seen| seen.confirmed == Confirmed::Out);
            if out && self.services[service].awaits_out() {
                let balancer = word.as_ref().map(|word| word.balancer.as_str()).filter(|name| !name.is_empty());
                let balancer = balancer.unwrap_or("the balancer");
                record::out_confirmed(self.about(service), balancer, self.services[service].since_evidence(now));
                self.note(service, now, &format!("out of rotation, confirmed by {balancer}"));
                self.services[service].out_confirmed();
            }
            self.turn(service, Input::Traffic(seen));
        }
    }
}

/// Several balancers make one word: it is out when all say so; else the first that does not. A permit counts when all give one,
/// requests are in flight as long as one of them has some, it waits as long as one of them lets it wait, a roll of one is a roll, and
/// what one sees of live traffic counts.
pub(super) fn together<'a>(words: impl Iterator<Item = &'a Word> + Clone) -> Option<TrafficSeen> {
    let first = &words.clone().next()?.directive;
    let not_out = words.clone().map(|word| &word.directive).find(|word| word.traffic.confirmed != Confirmed::Out);
    let traffic = &not_out.unwrap_or(first).traffic;
    let permits = words.clone().all(|word| word.directive.permit.is_some());
    let permit = first.permit.as_ref().filter(|_| permits).map(|permit| PermitId(permit.id));
    let waits = words.clone().any(|word| word.waits.is_some());
    let roll = words.clone().find_map(|word| word.directive.restart.as_deref());
    let roll = roll.and_then(|text| u128::from_str_radix(text, 16).ok()).map(Invocation);
    let witness = words.clone().find_map(|word| word.directive.witness.as_ref().filter(|witness| witness.suspect));
    let witness = witness.and_then(|told| {
        let invocation = Invocation(u128::from_str_radix(&told.invocation, 16).ok()?);
        Some(Witness { invocation, requests: told.requests, failed: told.failed, window: Span::from_millis(told.window_ms) })
    });
    let sessions = words.map(|word| word.directive.traffic.sessions);
    let sessions = sessions.into_iter().try_fold(0_u64, |sum, sessions| Some(sum.saturating_add(sessions?)));
    Some(TrafficSeen { confirmed: traffic.confirmed, by: traffic.by, sessions, permit, waits, roll, witness })
}
