//! What outlives the agent, or the configuration: a machine is saved and goes on where it was.

use super::pattern::Hits;
use super::policy::Mode;
use super::state::{Ended, State};
use super::{Dependency, Machine, Mark, Policy, Probe, Window, mend};
use crate::moment::Moment;
use serde::{Deserialize, Serialize};

/// A machine at rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// When it was saved, by the monotonic clock of that boot.
    pub at: Moment,
    /// The operator's marks. Their moments are of that boot; whoever keeps this over a reboot converts them.
    pub marks: Vec<Mark>,
    machine: Machine,
    /// The boot is another: nothing but marks and totals is of any use.
    rebooted: bool,
}

impl Saved {
    /// For another boot: only the marks and the totals are left, for everything else is of processes that are gone.
    #[must_use]
    pub fn after_reboot(self) -> Self {
        Self { rebooted: true, ..self }
    }
}

impl Machine {
    /// All that it knows, to be resumed later.
    #[must_use]
    pub fn save(&self, now: Moment) -> Saved {
        let marks = self.marks.maintenance.iter().chain(&self.marks.drain).cloned().collect();
        Saved { at: now, marks, machine: self.clone(), rebooted: false }
    }

    /// The machine as it was saved, under a policy that may be another: probes, patterns and dependencies that are the same
    /// keep their record.
    ///
    /// What waited for answers is given the time in between. A restart that was outstanding counts as lost. The first
    /// reading of the unit tells whether the instance is still the same. A warm-up that is under way becomes as long as the
    /// policy has it now. What was saved at a moment that has not come yet is of another boot.
    #[must_use]
    pub fn resume(policy: Policy, now: Moment, saved: Saved) -> Self {
        let Saved { at, marks, machine: old, rebooted } = saved;
        let mut new = Self::new(policy, now);
        for mark in marks {
            match mark.kind {
                super::MarkKind::Drain => new.marks.drain = Some(mark),
                super::MarkKind::Maintenance => new.marks.maintenance = Some(mark),
            }
        }
        (new.restarts, new.planned, new.dismissed, new.tickets) = (old.restarts, old.planned, old.dismissed, old.tickets);
        if rebooted || at > now {
            return new;
        }
        let (probes, hits, depends) = (kept_probes(&old, &new.policy), kept_hits(&old, &new.policy), kept_depends(&old, &new.policy));
        let other_mode = old.policy.mode != new.policy.mode;
        let other_warmup = old.policy.warmup != new.policy.warmup;
        let window = old.window.with_length(new.policy.restart.window);
        new = Self { policy: new.policy, marks: new.marks, at: now, probes, hits, depends, window, ..old };
        if other_mode {
            // What was only said in shadow mode is no restart.
            (new.row, new.gave_up, new.window) = (0, false, Window::new(new.policy.restart.window));
            new.recycle_after = Moment::default();
            new.last_restart = new.last_restart.filter(|last| last.result.as_deref() != Some(mend::ONLY_SAID));
            new.act_from_now_on(now);
        }
        if let Some(instance) = new.instance.as_mut().filter(|instance| other_warmup && now < instance.warm_until) {
            instance.warm_until = instance.started.plus(new.policy.warmup);
            if let State::Warming { until } = &mut new.state {
                *until = instance.warm_until;
            }
        }
        (new.unit, new.visible, new.traffic, new.permits, new.silent_since) = (None, false, None, false, Some(now));
        new.wait_longer(now, at);
        if let (Some(_), Some(last)) = (new.job.take(), &mut new.last_restart) {
            last.result = Some("lost".to_owned());
        }
        new
    }

    /// What waits in shadow mode after restarts that were only said has not been restarted at all.
    fn act_from_now_on(&mut self, now: Moment) {
        let (Mode::Supervise, State::Waiting { trouble, .. } | State::Parked { trouble, .. }) = (self.policy.mode, &self.state) else {
            return;
        };
        (self.since, self.reason) = (now, trouble.cause.clone());
        self.state = State::Sick { trouble: trouble.clone(), doubt: None };
    }

    fn wait_longer(&mut self, now: Moment, saved_at: Moment) {
        let gap = now.since(saved_at);
        match &mut self.state {
            State::Proving(proving) => {
                proving.by = proving.by.plus(gap);
                proving.last_answer = proving.last_answer.plus(gap);
            }
            State::Sick { doubt: Some(doubt), .. } => doubt.until = doubt.until.plus(gap),
            State::Leaving(leaving) => {
                (leaving.since, leaving.out_since, leaving.word) = (leaving.since.plus(gap), None, None);
            }
            State::Restarting { ended, .. } => {
                let settle_by = now.plus(mend::SETTLE);
                match ended {
                    Some(ended) => ended.settle_by = settle_by,
                    None => *ended = Some(Ended { settle_by, went_wrong: None, lost: true }),
                }
            }
            State::Unknown
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Sick { doubt: None, .. }
            | State::Waiting { .. }
            | State::Parked { .. }
            | State::Held
            | State::Maintenance => {}
        }
        if let Some(trouble) = self.state.trouble_mut() {
            (trouble.word, trouble.out_since, trouble.failed_while_out) = (None, None, false);
        }
    }
}

fn kept_probes(old: &Machine, policy: &Policy) -> Vec<Probe> {
    let kept = |index: usize| old.probes.get(index).filter(|_| old.policy.probes.get(index) == policy.probes.get(index));
    (0..policy.probes.len()).map(|index| kept(index).map_or_else(Probe::default, |probe| probe.at_rest())).collect()
}

fn kept_hits(old: &Machine, policy: &Policy) -> Vec<Hits> {
    let kept = |index: usize| old.hits.get(index).filter(|_| old.policy.patterns.get(index) == policy.patterns.get(index));
    (0..policy.patterns.len()).map(|index| kept(index).cloned().unwrap_or_default()).collect()
}

fn kept_depends(old: &Machine, policy: &Policy) -> Vec<Dependency> {
    let kept = |index: usize| old.depends.get(index).filter(|_| old.policy.depends.get(index) == policy.depends.get(index));
    (0..policy.depends.len()).map(|index| kept(index).map_or_else(Dependency::default, Dependency::at_rest)).collect()
}
