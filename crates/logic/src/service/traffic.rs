//! What a coordinator says of the traffic, and what the machine wants of it.

use super::input::{PermitId, TrafficSeen, Witness};
use super::policy::Mode;
use super::state::State;
use super::{Machine, Turn};
use crate::moment::Moment;
use crate::reason::Reason;
use warden_protocol::vocab::{Confirmed, Evidence, Traffic};

impl Machine {
    pub(super) fn traffic_seen(&mut self, turn: &mut Turn, seen: Option<TrafficSeen>) {
        self.traffic = seen;
        // Once it has given one, or let somebody wait, the next restart on suspect evidence needs one, too.
        self.permits = seen.is_some_and(|seen| self.permits || seen.waits || seen.permit.is_some());
        self.silent_since = match self.traffic_known() {
            Some(_) => None,
            None => self.silent_since.or(Some(turn.now)),
        };
        let out = seen.is_some_and(|seen| seen.confirmed == Confirmed::Out);
        if let Some(trouble) = self.state.trouble_mut() {
            trouble.word = seen;
            // Whether it fails even so is asked at once; the probe on its way was asked too early to tell.
            let ask = out && trouble.out_since.is_none() && trouble.evidence == Evidence::Suspect;
            trouble.out_since = out.then(|| trouble.out_since.unwrap_or(turn.now));
            trouble.failed_while_out &= out;
            if ask {
                self.ask_all_anew();
            }
        }
        self.leaving_hears(turn.now, seen);
        self.warm_when_out(turn);
        match self.witness() {
            // It stays in, and is looked at more closely: one request that fails everywhere is no fault of a server's.
            Some(Witness { failed, requests, window, .. }) if !self.some_probe_fails() => {
                self.suspicion(turn, Reason::witness(failed, requests, window));
            }
            Some(_) => {}
            None => self.lift_suspicion(turn, Reason::witness_content()),
        }
    }

    /// What speaks against the instance that runs.
    pub(super) fn witness(&self) -> Option<Witness> {
        let instance = self.instance.filter(|instance| self.at >= instance.warm_until)?;
        self.traffic?.witness.filter(|witness| witness.invocation == instance.invocation)
    }

    /// What HAProxy is known to do with it.
    pub(super) fn traffic_known(&self) -> Option<TrafficSeen> {
        self.traffic.filter(|seen| seen.confirmed != Confirmed::Unknown)
    }

    /// The permit that may be made use of. One is good for one restart.
    pub(super) fn permit(&self) -> Option<PermitId> {
        self.traffic.and_then(|seen| seen.permit).filter(|permit| Some(*permit) != self.spent)
    }

    /// What its traffic should be.
    pub(super) fn wants(&self, now: Moment) -> Traffic {
        match self.policy.mode {
            Mode::Shadow => Traffic::Keep,
            Mode::Supervise if self.marks.drain.is_some() => Traffic::Out,
            // A hold keeps it from being taken out, never from being put back: its own probes say that it is fit.
            Mode::Supervise if matches!(self.state, State::Held) && self.fit(now) => Traffic::In,
            Mode::Supervise => self.state.label().wants(),
        }
    }

    /// Every probe of an instance that runs has shown as much as it must.
    fn fit(&self, now: Moment) -> bool {
        self.instance.is_some() && !self.probes.is_empty() && self.content(now)
    }
}
