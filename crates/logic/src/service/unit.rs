//! What systemd's view of the unit means: instances come and go, and whose hand was on it.

use super::input::{ActiveState, Invocation, RestartSetting, UnitSeen};
use super::state::{Proving, State, Trouble};
use super::{Instance, Machine, Turn};
use crate::moment::Moment;
use crate::reason::{Failure, Reason};
use warden_protocol::vocab::{Confirmed, Evidence};

/// systemd's word for a unit that it will not start again by itself.
pub(super) const START_LIMIT: &str = "start-limit-hit";

/// What a reading says, in four words.
enum Phase {
    Runs,
    Starts,
    Stops,
    Down,
}

impl Phase {
    const fn of(seen: &UnitSeen) -> Self {
        match seen.active {
            ActiveState::Active | ActiveState::Reloading | ActiveState::Refreshing => Self::Runs,
            ActiveState::Activating => Self::Starts,
            ActiveState::Deactivating => Self::Stops,
            // A job is queued for it: somebody starts it.
            ActiveState::Inactive | ActiveState::Failed | ActiveState::Maintenance if seen.job => Self::Starts,
            ActiveState::Inactive | ActiveState::Failed | ActiveState::Maintenance => Self::Down,
        }
    }
}

/// What became of a unit after our own restart job.
pub(super) enum After {
    /// The instance that the job was to replace is still there.
    SameInstance,
    /// On its way, or unclear: nothing to conclude yet.
    Moving,
    /// systemd takes it from here.
    Starting,
    /// It does not run, and nobody starts it.
    Down,
}

impl Machine {
    pub(super) fn unit_seen(&mut self, turn: &mut Turn, seen: UnitSeen) {
        let first = self.unit.is_none();
        self.visible = true;
        self.unit = Some(seen.clone());
        let restarting = matches!(self.state, State::Restarting { .. });
        match Phase::of(&seen) {
            Phase::Runs => self.runs(turn, &seen, first),
            phase if self.aside() => self.gone_aside(turn, &phase, &seen),
            // What happens on the way of our own job is the job's business.
            Phase::Starts | Phase::Stops | Phase::Down if restarting => {}
            Phase::Starts => self.starts(turn, &seen),
            Phase::Stops => self.stops(turn, &seen),
            Phase::Down => self.down(turn, &seen, None),
        }
        if restarting {
            self.settle(turn, super::mend::Patience::Left);
        }
    }

    pub(super) fn process_ended(&mut self, turn: &mut Turn, invocation: Invocation) {
        let Some(instance) = self.instance.filter(|instance| instance.invocation == invocation) else { return };
        self.ended = Some((invocation, instance.pid));
        match self.state {
            // Expected: our job stops it.
            State::Restarting { .. } => {}
            State::Held | State::Maintenance => self.instance = None,
            State::Unknown
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Proving(_)
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Sick { .. }
            | State::Waiting { .. }
            | State::Leaving(_)
            | State::Parked { .. } => {
                self.instance = None;
                self.enter(turn, State::Starting, Reason::process_ended(), Some(Evidence::Fatal));
            }
        }
    }

    /// A service that an agent found young, and that is out already, warms up like any other.
    pub(super) fn warm_when_out(&mut self, turn: &mut Turn) {
        let (State::Unknown, Some(instance)) = (&self.state, self.instance) else { return };
        if turn.now < instance.warm_until && self.traffic.is_some_and(|seen| seen.confirmed == Confirmed::Out) {
            let reason = Reason::warmup_found(turn.now.since(instance.started), self.policy.warmup);
            self.enter(turn, State::Warming { until: instance.warm_until }, reason, None);
        }
    }

    pub(super) fn prove(&mut self, turn: &mut Turn, because: Reason) {
        let proving = Proving { by: turn.now.plus(self.prove_within(turn.now)), last_answer: turn.now, last_bad: None };
        self.enter(turn, State::Proving(proving), because, None);
    }

    /// What became of the unit after our job, by the last reading.
    pub(super) fn after_job(&self) -> After {
        let Some(seen) = self.unit.as_ref().filter(|_| self.visible) else { return After::Moving };
        match Phase::of(seen) {
            Phase::Runs if self.ended.is_some() => After::Moving,
            Phase::Runs => After::SameInstance,
            // Read between the stop and the start of the job that has ended meanwhile: a newer reading is on its way.
            Phase::Starts if seen.active != ActiveState::Activating => After::Moving,
            Phase::Starts => After::Starting,
            Phase::Stops => After::Moving,
            Phase::Down => After::Down,
        }
    }

    /// The last reading once more, after our job. `job_failed`: what systemd called its end.
    pub(super) fn unit_after_job(&mut self, turn: &mut Turn, job_failed: Option<&str>) {
        let Some(seen) = self.unit.clone() else { return };
        match Phase::of(&seen) {
            Phase::Runs => {}
            Phase::Starts => self.starts(turn, &seen),
            Phase::Stops => self.stops(turn, &seen),
            Phase::Down => self.down(turn, &seen, job_failed),
        }
    }

    /// It does not run, and that is nothing to be mended.
    pub(super) fn rests(&self) -> bool {
        self.unit.as_ref().is_some_and(|seen| matches!(Phase::of(seen), Phase::Down) && mends(seen, None).is_none())
    }

    /// Its state does not follow from the unit: it is held, or in maintenance.
    pub(super) const fn aside(&self) -> bool {
        matches!(self.state, State::Held | State::Maintenance)
    }

    /// The process is gone while it is held or in maintenance. Only a person's stop ends a hold.
    fn gone_aside(&mut self, turn: &mut Turn, phase: &Phase, seen: &UnitSeen) {
        self.instance = None;
        let held = matches!(self.state, State::Held) && self.job.is_none();
        match phase {
            Phase::Stops if held && seen.job => self.stopped(turn, Reason::being_stopped()),
            Phase::Down if held && mends(seen, None).is_none() => self.down(turn, seen, None),
            Phase::Runs | Phase::Starts | Phase::Stops | Phase::Down => {}
        }
    }

    /// Judged afresh, by what is known of the unit now. `out`: it is out of rotation, and must prove itself; otherwise its
    /// traffic stays as it is until probes have told.
    pub(super) fn afresh(&mut self, turn: &mut Turn, because: &Reason, out: bool) {
        for probe in &mut self.probes {
            *probe = super::Probe::default();
        }
        self.hits.iter_mut().for_each(super::Hits::clear);
        match (self.instance, self.unit.clone()) {
            (Some(instance), _) if out && turn.now < instance.warm_until => {
                self.enter(turn, State::Warming { until: instance.warm_until }, because.clone(), None);
            }
            (Some(_), _) if out => self.prove(turn, because.clone()),
            (Some(_), _) | (None, None) => {
                self.enter(turn, State::Unknown, because.clone(), None);
                self.warm_when_out(turn);
            }
            (None, Some(seen)) => match Phase::of(&seen) {
                Phase::Runs | Phase::Stops => self.enter(turn, State::Starting, because.clone(), None),
                Phase::Starts => self.starts(turn, &seen),
                Phase::Down => self.down(turn, &seen, None),
            },
        }
    }

    /// The process that a restart is to replace has not been seen to be gone.
    pub(super) fn old_process_may_live(&self) -> bool {
        self.unit.as_ref().is_some_and(|seen| match Phase::of(seen) {
            Phase::Runs => self.ended.is_none() && matches!(self.state, State::Restarting { ended: None, .. }),
            Phase::Stops => true,
            Phase::Starts | Phase::Down => false,
        })
    }

    fn runs(&mut self, turn: &mut Turn, seen: &UnitSeen, first: bool) {
        let Some(invocation) = seen.invocation else {
            self.anomaly(turn, "an active unit without an invocation id");
            return;
        };
        if self.ended == Some((invocation, seen.main_pid)) {
            return; // read before it ended
        }
        match self.instance {
            Some(instance) if instance.invocation == invocation => self.same_instance(turn, instance, seen),
            Some(_) | None => self.begin(turn, invocation, seen, first),
        }
    }

    /// A reading may be torn: the new invocation with the start of the one before. The later start is the right one.
    fn same_instance(&mut self, turn: &mut Turn, mut instance: Instance, seen: &UnitSeen) {
        instance.pid = seen.main_pid;
        let corrected = seen.started.filter(|started| *started > instance.started);
        if let Some(started) = corrected {
            instance.started = started;
            instance.warm_until = started.plus(self.policy.warmup);
        }
        self.instance = Some(instance);
        if corrected.is_some() && matches!(self.state, State::Warming { .. } | State::Proving(_)) && turn.now < instance.warm_until {
            self.enter(turn, State::Warming { until: instance.warm_until }, Reason::warmup_began(self.policy.warmup), None);
        }
    }

    fn begin(&mut self, turn: &mut Turn, invocation: Invocation, seen: &UnitSeen, first: bool) {
        let unknown = first && matches!(self.state, State::Unknown);
        // Without a main process there is no start: an instance that began under our eyes began now, any other long ago.
        let started = seen.started.unwrap_or(if unknown { Moment::default() } else { turn.now });
        let warm_until = started.plus(self.policy.warmup);
        self.instance = Some(Instance { invocation, pid: seen.main_pid, started, warm_until, roll: turn.roll });
        self.ended = None;
        self.recycle_after = Moment::default();
        // Whatever it was given for has come about.
        self.spent = self.using.or(self.spent);
        self.starts.record(started);
        self.memory = None;
        for probe in &mut self.probes {
            *probe = super::Probe::default();
        }
        self.hits.iter_mut().for_each(super::Hits::clear);
        if self.aside() {
            // Looked at again when that is over.
        } else if first && !unknown && turn.now >= warm_until {
            // It was replaced while the agent was away, and has run for longer than its warm-up: nobody knows how it is.
            self.enter(turn, State::Unknown, Reason::reattached(turn.now.since(started)), None);
        } else if unknown {
            self.reason = Reason::reattached(turn.now.since(started));
            self.warm_when_out(turn);
        } else if turn.now < warm_until {
            self.enter(turn, State::Warming { until: warm_until }, Reason::warmup_began(self.policy.warmup), None);
        } else {
            self.prove(turn, Reason::warmup_over(self.policy.warmup));
        }
        for hit in self.early.take(invocation) {
            self.log_hit(turn, hit);
        }
    }

    fn starts(&mut self, turn: &mut Turn, seen: &UnitSeen) {
        self.instance = None;
        let by_itself = seen.sub.starts_with("auto-restart");
        let (reason, evidence) =
            if by_itself { (Reason::unit_exited(&seen.result), Some(Evidence::Fatal)) } else { (Reason::unit_starting(&seen.sub), None) };
        if matches!(self.state, State::Starting) {
            // The process was seen to end before systemd said why.
            if by_itself {
                self.reason = reason;
            }
            return;
        }
        self.enter(turn, State::Starting, reason, evidence);
    }

    fn stops(&mut self, turn: &mut Turn, seen: &UnitSeen) {
        self.instance = None;
        match self.state {
            _ if seen.job => self.stopped(turn, Reason::being_stopped()),
            State::Starting | State::Stopped => {}
            State::Unknown
            | State::Warming { .. }
            | State::Proving(_)
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Sick { .. }
            | State::Restarting { .. }
            | State::Waiting { .. }
            | State::Held
            | State::Leaving(_)
            | State::Maintenance
            | State::Parked { .. } => {
                self.enter(turn, State::Starting, Reason::stopped_by_itself(&seen.result), Some(Evidence::Fatal));
            }
        }
    }

    /// It does not run and nobody starts it: is that ours to mend?
    fn down(&mut self, turn: &mut Turn, seen: &UnitSeen, job_failed: Option<&str>) {
        self.instance = None;
        let setting = seen.restart.as_str();
        let Some(cause) = mends(seen, job_failed) else {
            let reason = match seen.restart {
                _ if !seen.loaded => Reason::unit_missing(),
                RestartSetting::Always if matches!(self.state, State::Unknown) => Reason::found_down(seen.active.as_str()),
                RestartSetting::Always => Reason::stopped_by_operator(seen.active.as_str()),
                RestartSetting::No
                | RestartSetting::OnSuccess
                | RestartSetting::OnFailure
                | RestartSetting::OnAbnormal
                | RestartSetting::OnAbort
                | RestartSetting::OnWatchdog => Reason::ended_cleanly(setting),
            };
            self.stopped(turn, reason);
            return;
        };
        if matches!(self.state, State::Waiting { .. } | State::Parked { .. }) {
            return; // a restart is due anyway
        }
        let trouble = Trouble::new(turn.now, cause, Evidence::Fatal);
        // Whether it can start hangs on them.
        self.ask_dependencies_anew();
        self.want_restart(turn, trouble, job_failed.map(|result| Failure::Ended(result.to_owned())));
    }

    pub(super) fn stopped(&mut self, turn: &mut Turn, reason: Reason) {
        if matches!(self.state, State::Stopped) {
            self.reason = reason; // "is being stopped" became "is stopped"
        } else {
            self.enter(turn, State::Stopped, reason, None);
        }
    }
}

/// Why a unit that is down is ours to mend, where it is.
fn mends(seen: &UnitSeen, job_failed: Option<&str>) -> Option<Reason> {
    let failed = seen.active == ActiveState::Failed;
    if !seen.loaded {
        None
    } else if failed && seen.result == START_LIMIT {
        Some(Reason::start_limit())
    } else if failed && seen.restart != RestartSetting::Always {
        Some(Reason::unit_failed(&seen.result, seen.restart.as_str()))
    } else {
        job_failed.map(|result| Reason::left_down(&Failure::Ended(result.to_owned()), seen.active.as_str()))
    }
}
