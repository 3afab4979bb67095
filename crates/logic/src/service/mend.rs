//! Restarts: when one may begin, how often, and what became of it.

use super::input::{Effect, JobResult, Ticket};
use super::policy::Mode;
use super::state::{Ended, State, Trouble};
use super::unit::After;
use super::{Job, LastRestart, Machine, Turn, backoff, chance};
use crate::moment::{Moment, Span};
use crate::reason::{Failure, Reason};
use warden_protocol::vocab::{Confirmed, Evidence, Holder};

/// Fatal evidence waits so long for the word that the server is out: many round trips to a healthy coordinator, and
/// nothing against the restart itself.
const OUT_FIRST: Span = Span::from_millis(100);
/// systemd shows the new instance within milliseconds after a job's end; after this long it is asked no more.
pub(super) const SETTLE: Span = Span::from_secs(2);
/// What did not come about, or only would have, is never tried again sooner than this.
const PAUSE: Span = Span::from_secs(1);
/// Stands where systemd's word for the end of the job would, for a restart that was only said.
pub(super) const ONLY_SAID: &str = "shadow";
/// systemd's word for a job whose place another took.
const CANCELED: &str = "canceled";
const ALONE_SALT: u64 = 0x0A10_4EDE;

/// Whether a restart may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// From then on; until then this is waited for.
    From(Moment, &'static str),
    /// Not before this happens, which is not a matter of time.
    Shut(&'static str),
}

impl May {
    /// At once.
    pub(super) const NOW: Self = Self::From(Moment::from_micros(0), "nothing");

    pub(super) const fn opens(self) -> Option<Moment> {
        match self {
            Self::From(at, _) => Some(at),
            Self::Shut(_) => None,
        }
    }
}

/// What kind of restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Within the limit.
    Regular,
    /// After having given up.
    Trial,
}

/// Whether systemd still has time to show what became of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Left,
    Over,
}

impl Trouble {
    pub(super) const fn new(now: Moment, cause: Reason, evidence: Evidence) -> Self {
        Self { cause, evidence, since: now, word: None, out_since: None, failed_while_out: false, alone_delay: Span::ZERO }
    }
}

impl Machine {
    /// Whether a restart may begin, as far as everything but its back-off goes.
    pub(super) fn gate(&self, trouble: &Trouble, now: Moment) -> May {
        if self.marks.maintenance.is_some() {
            return May::Shut("maintenance to end");
        }
        if self.down_dependency().is_some() {
            return May::Shut("what it depends on");
        }
        if let May::Shut(what) = self.unit_free() {
            return May::Shut(what);
        }
        let asked = self.dependencies_asked(trouble.since);
        match self.traffic_gate(trouble, now) {
            May::From(at, _) if asked > at => May::From(asked, "an answer of what it depends on"),
            gate @ (May::From(..) | May::Shut(_)) => gate,
        }
    }

    /// Nothing is under way with the unit, and systemd is there to be asked.
    pub(super) fn unit_free(&self) -> May {
        if self.job.is_some() {
            return May::Shut("its restart job to end");
        }
        if !self.visible {
            return May::Shut("systemd to answer");
        }
        match &self.unit {
            // A process whose unit was removed or masked under it cannot be restarted: systemd would refuse.
            Some(seen) if !seen.loaded => May::Shut("systemd to have the unit again: it was removed or masked"),
            Some(seen) if seen.job => May::Shut("somebody's job for the unit to end"),
            Some(_) | None => May::NOW,
        }
    }

    fn traffic_gate(&self, trouble: &Trouble, now: Moment) -> May {
        // What does not run has no traffic to lose.
        if self.instance.is_none() {
            return May::NOW;
        }
        match trouble.evidence {
            Evidence::Fatal if self.policy.mode == Mode::Shadow => May::NOW,
            Evidence::Fatal => self.fatal_gate(trouble),
            Evidence::Suspect => self.suspect_gate(trouble, now),
        }
    }

    /// Needs nobody's leave; goes out of rotation first, where somebody is there to say that it is out.
    fn fatal_gate(&self, trouble: &Trouble) -> May {
        let decided = trouble.word.is_some_and(|seen| match seen.by {
            // As out as it will be.
            Holder::Floor | Holder::Operator => true,
            Holder::Haproxy | Holder::Warden => seen.confirmed == Confirmed::Out,
        });
        if decided || !self.policy.coordinated || self.traffic.is_none() {
            May::NOW
        } else {
            May::From(trouble.since.plus(OUT_FIRST), "the word that it is out of rotation")
        }
    }

    /// Begins when it is out and fails even so, so that nothing can be lost by it: with a permit, where the coordinator gives
    /// any, for it alone knows how many others do. Without anybody to ask: alone, after a while.
    fn suspect_gate(&self, trouble: &Trouble, now: Moment) -> May {
        if !self.still_failing(now) {
            return May::Shut("the next failing probe");
        }
        // In shadow mode its traffic is never taken away, so that is not waited for.
        if !self.policy.coordinated || self.policy.mode == Mode::Shadow {
            return May::NOW;
        }
        let Some(seen) = self.traffic_known() else {
            let silent = self.silent_since.unwrap_or(trouble.since).plus(self.policy.coordinator_silent_for);
            return May::From(silent.max(trouble.since).plus(trouble.alone_delay), "a coordinator to answer");
        };
        match (seen.by, seen.confirmed) {
            (Holder::Floor, _) => May::Shut("another server to take the traffic: the floor keeps this one in"),
            (Holder::Operator, _) => May::Shut("the operator's mark on the server to be lifted"),
            (Holder::Warden | Holder::Haproxy, Confirmed::Out) if self.permit().is_some() => May::NOW,
            (Holder::Warden | Holder::Haproxy, Confirmed::Out) if self.permits => May::Shut("a permit from the coordinator"),
            (Holder::Warden | Holder::Haproxy, Confirmed::Out) if trouble.failed_while_out => May::NOW,
            (Holder::Warden | Holder::Haproxy, Confirmed::Out) => May::Shut("a probe that fails while it is out"),
            (Holder::Warden | Holder::Haproxy, Confirmed::In | Confirmed::Unknown) => May::Shut("HAProxy to confirm that it is out"),
        }
    }

    /// Up to as long again as the silence, so that nodes which lose the coordinator together do not restart together.
    pub(super) const fn alone_delay(&self, roll: u64) -> Span {
        Span::from_micros(chance::below(roll, ALONE_SALT, self.policy.coordinator_silent_for.as_micros()))
    }

    /// A restart is due: now, after its back-off, or as a trial. `failed`: why the one before did not do.
    pub(super) fn want_restart(&mut self, turn: &mut Turn, trouble: Trouble, failed: Option<Failure>) {
        self.forget_row(turn.now);
        if self.limit_reached(turn.now) {
            return self.park(turn, trouble);
        }
        let evidence = Some(trouble.evidence);
        let delay = backoff::delay(&self.policy.restart, self.row, turn.roll);
        let open = self.gate(&trouble, turn.now).opens().is_some_and(|at| at <= turn.now);
        if delay.is_zero() && open {
            return self.restart(turn, trouble, Standing::Regular);
        }
        let reason = match failed {
            Some(failure) => Reason::restart_failed(&failure, delay),
            None => Reason::backing_off(delay, &trouble.cause),
        };
        self.enter(turn, State::Waiting { trouble, at: turn.now.plus(delay) }, reason, evidence);
    }

    /// The back-off is over. The limit may be another than when it began.
    pub(super) fn restart_after_wait(&mut self, turn: &mut Turn, trouble: Trouble) {
        if self.limit_reached(turn.now) {
            self.park(turn, trouble);
        } else {
            self.restart(turn, trouble, Standing::Regular);
        }
    }

    fn limit_reached(&self, now: Moment) -> bool {
        self.gave_up || self.window.count(now) >= self.policy.restart.limit
    }

    /// Gives up for now: one trial so long after the last restart.
    fn park(&mut self, turn: &mut Turn, trouble: Trouble) {
        self.gave_up = true;
        let last = self.last_restart.as_ref().map(|last| last.at);
        let trial_at = last.map_or(turn.now, |last| last.plus(self.pause()));
        let policy = self.policy.restart;
        let reason = Reason::restart_limit(self.window.count(turn.now), policy.window, policy.trial_every, &trouble.cause);
        let evidence = Some(trouble.evidence);
        self.enter(turn, State::Parked { trouble, trial_at }, reason, evidence);
    }

    /// Restarts, now; in shadow mode says so, and goes on as if that had not helped.
    pub(super) fn restart(&mut self, turn: &mut Turn, trouble: Trouble, standing: Standing) {
        self.row = self.row.saturating_add(1);
        self.window.record(turn.now);
        self.open_incident(turn.roll);
        let incident = self.incident.clone().unwrap_or_default();
        let cause = trouble.cause.clone();
        let shadow = self.policy.mode == Mode::Shadow;
        let result = shadow.then(|| ONLY_SAID.to_owned());
        self.last_restart = Some(LastRestart { at: turn.now, cause: cause.clone(), incident: incident.clone(), result });
        let evidence = Some(trouble.evidence);
        if shadow {
            turn.push(Effect::WouldRestart { incident, cause: cause.clone() });
            return self.did_not_help(turn, trouble);
        }
        self.restarts = self.restarts.saturating_add(1);
        // One that was given for a recycling is as good: it is leave to be out.
        self.using = self.permit().filter(|_| trouble.evidence == Evidence::Suspect);
        let ticket = self.ticket();
        self.job = Some(Job { ticket, kill_at: Some(turn.now.plus(self.policy.stop.kill_after)) });
        let was_hit = self.start_limit_hit();
        let reset_failed = self.reset_failed(turn.now);
        let reason = match standing {
            Standing::Regular if reset_failed && !was_hit => Reason::restart_began_past_limit(&cause),
            Standing::Regular => Reason::restart_began(&cause),
            Standing::Trial => Reason::trial(&cause),
        };
        // Before the change is published: a millisecond less without a service.
        turn.push(Effect::Restart { ticket, reset_failed, stop: self.policy.stop.how, incident, cause });
        self.enter(turn, State::Restarting { trouble, ended: None, plan: None }, reason, evidence);
    }

    /// In shadow mode: what follows a restart that was only said.
    fn did_not_help(&mut self, turn: &mut Turn, trouble: Trouble) {
        if self.limit_reached(turn.now) {
            return self.park(turn, trouble);
        }
        let evidence = Some(trouble.evidence);
        let delay = backoff::delay(&self.policy.restart, self.row, turn.roll).max(PAUSE);
        let reason = Reason::would_restart(&trouble.cause, delay);
        self.enter(turn, State::Waiting { trouble, at: turn.now.plus(delay) }, reason, evidence);
    }

    /// Between two trials, and before what was put off is tried again.
    pub(super) fn pause(&self) -> Span {
        self.policy.restart.trial_every.max(PAUSE)
    }

    pub(super) fn job_ended(&mut self, turn: &mut Turn, ticket: Ticket, result: &JobResult) {
        if self.job.is_none_or(|job| job.ticket != ticket) {
            if self.never_given(ticket) {
                self.anomaly(turn, "the end of a restart that was never sent");
            }
            return;
        }
        self.job = None;
        if let Some(last) = &mut self.last_restart {
            last.result = Some(result.word().to_owned());
        }
        // Otherwise systemd has shown what came of it already.
        let State::Restarting { trouble, ended, plan } = &mut self.state else { return };
        let went_wrong = match result {
            JobResult::Refused(why) => {
                let (trouble, plan, failure) = (trouble.clone(), plan.clone(), Failure::Refused(why.clone()));
                return match plan {
                    Some(plan) => self.planned_failed(turn, &plan, &failure),
                    None => self.want_restart(turn, trouble, Some(failure)),
                };
            }
            // Replaced by somebody else's job: theirs to end.
            JobResult::Ended(word) if word == CANCELED => None,
            JobResult::Ended(word) => Some(word.clone()),
            JobResult::Done | JobResult::Lost(_) => None,
        };
        let lost = matches!(result, JobResult::Lost(_));
        *ended = Some(Ended { settle_by: turn.now.plus(SETTLE), went_wrong, lost });
        self.settle(turn, Patience::Left);
    }

    /// Somebody else's job took the place of the last restart's.
    fn canceled(&self) -> bool {
        self.last_restart.as_ref().and_then(|last| last.result.as_deref()) == Some(CANCELED)
    }

    /// Our job has ended: what became of the unit?
    pub(super) fn settle(&mut self, turn: &mut Turn, patience: Patience) {
        let State::Restarting { trouble, ended: Some(ended), plan } = &self.state else { return };
        let (trouble, plan, went_wrong, lost) = (trouble.clone(), plan.clone(), ended.went_wrong.clone(), ended.lost);
        let sure = patience == Patience::Over || went_wrong.is_some();
        match self.after_job() {
            After::Starting => self.unit_after_job(turn, None),
            After::Down if sure => self.unit_after_job(turn, went_wrong.as_deref()),
            After::SameInstance if sure => {
                let failure = match went_wrong {
                    Some(word) => Failure::Ended(word),
                    None if lost => Failure::Lost,
                    None if self.canceled() => Failure::Ended(CANCELED.to_owned()),
                    None => Failure::SameProcess,
                };
                match plan {
                    Some(plan) => self.planned_failed(turn, &plan, &failure),
                    None => self.want_restart(turn, trouble, Some(failure)),
                }
            }
            After::SameInstance | After::Down | After::Moving => {
                if let (Patience::Over, State::Restarting { ended: Some(ended), .. }) = (patience, &mut self.state) {
                    ended.settle_by = turn.now.plus(SETTLE);
                }
            }
        }
    }
}
