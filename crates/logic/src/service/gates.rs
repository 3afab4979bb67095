//! The chain for people: what must hold before it serves, and before it is restarted.

use super::mend::May;
use super::planned::Leaving;
use super::state::{Doubt, State, Trouble};
use super::view::{Gate, GateStatus};
use super::{Machine, MarkKind};
use crate::moment::Moment;
use warden_protocol::vocab::{Confirmed, Holder};

impl Gate {
    fn new(name: &'static str, open: bool, text: impl Into<String>) -> Self {
        Self { name, status: if open { GateStatus::Open } else { GateStatus::Shut }, text: text.into(), until: None, opens_by: None }
    }

    fn until(self, until: Option<Moment>) -> Self {
        Self { until: until.filter(|_| self.status == GateStatus::Shut), ..self }
    }

    fn opens_by(self, what: impl Into<String>) -> Self {
        let opens_by = (self.status == GateStatus::Shut).then(|| what.into());
        Self { opens_by, ..self }
    }
}

impl Machine {
    pub(super) fn gates(&self, now: Moment) -> Vec<Gate> {
        let mut gates = vec![self.operator_gate(), self.unit_gate(), self.dependency_gate(), self.warmup_gate(now), self.proof_gate(now)];
        gates.extend(self.balancer_gate());
        // What comes after a shut gate is looked at once that is open.
        let first = gates.iter().position(|gate| gate.status == GateStatus::Shut).unwrap_or(gates.len());
        for gate in gates.iter_mut().skip(first + 1).filter(|gate| gate.status == GateStatus::Shut) {
            gate.status = GateStatus::Later;
        }
        gates.extend(self.restart_gates(now));
        gates
    }

    fn operator_gate(&self) -> Gate {
        if let Some(mark) = self.mark() {
            let (word, end) = match mark.kind {
                MarkKind::Drain => ("drained", "agentctl undrain"),
                MarkKind::Maintenance => ("in maintenance", "agentctl maintenance off"),
            };
            let why = if mark.reason.is_empty() { String::new() } else { format!(": {}", mark.reason) };
            return Gate::new("operator", false, format!("{word} by {}{why}", mark.by)).until(mark.until).opens_by(end);
        }
        let stopped = matches!(self.state, State::Stopped) && !self.unit_is_missing();
        let text = if stopped { self.reason.text.clone() } else { "no operator's mark".to_owned() };
        Gate::new("operator", !stopped, text).opens_by("systemctl start")
    }

    fn unit_gate(&self) -> Gate {
        let text = match &self.unit {
            _ if !self.visible => "systemd does not answer".to_owned(),
            Some(seen) if !seen.loaded => format!("systemd has no such unit, or it is masked; it is {}", seen.active.as_str()),
            Some(seen) => format!("the unit is {} ({})", seen.active.as_str(), seen.sub),
            None => "the unit has not been seen yet".to_owned(),
        };
        let opens_by = if self.unit_is_missing() { "installing or unmasking the unit" } else { "systemd" };
        Gate::new("unit", self.visible && self.instance.is_some(), text).opens_by(opens_by)
    }

    fn unit_is_missing(&self) -> bool {
        self.unit.as_ref().is_some_and(|seen| !seen.loaded)
    }

    fn dependency_gate(&self) -> Gate {
        match self.down_dependency() {
            Some(down) => Gate::new("dependencies", false, format!("down: {}", down.text)).opens_by("its next good answers"),
            None if self.depends.is_empty() => Gate::new("dependencies", true, "it depends on nothing that is watched"),
            None => Gate::new("dependencies", true, "what it depends on is not known to be down"),
        }
    }

    fn warmup_gate(&self, now: Moment) -> Gate {
        if let State::Warming { until } = &self.state {
            let text = format!("warm-up: {} of {} left", until.since(now), self.policy.warmup);
            return Gate::new("warmup", false, text).until(Some(*until));
        }
        Gate::new("warmup", true, if self.policy.warmup.is_zero() { "there is no warm-up" } else { "no warm-up is under way" })
    }

    fn proof_gate(&self, now: Moment) -> Gate {
        let needed = (0..self.probes.len()).map(|index| self.needed(index, now)).max().unwrap_or(0);
        if self.state.healthy_since().is_some() {
            return Gate::new("probes", true, self.reason_of_health());
        }
        let text = format!("{} of {needed} good probes in a row", self.fewest_good().min(needed));
        Gate::new("probes", false, text).opens_by("good probes")
    }

    fn reason_of_health(&self) -> String {
        if matches!(self.state, State::Suspect { .. }) { "proven, with doubts".to_owned() } else { "proven".to_owned() }
    }

    fn balancer_gate(&self) -> Option<Gate> {
        if !self.policy.coordinated {
            return None;
        }
        let gate = match self.traffic {
            None => Gate::new("haproxy", false, "no coordinator says what HAProxy does").opens_by("a coordinator's answer"),
            Some(seen) => {
                let what = match seen.confirmed {
                    Confirmed::In => "HAProxy sends it requests",
                    Confirmed::Out => "HAProxy sends it no requests",
                    Confirmed::Unknown => "what HAProxy does is not known",
                };
                let (by, opens_by) = match seen.by {
                    Holder::Haproxy => ("by its own judgement", "HAProxy's own check"),
                    Holder::Warden => ("by our word", "the coordinator, once it is fit"),
                    Holder::Operator => ("by an operator's mark", "whoever set the mark in HAProxy"),
                    Holder::Floor => ("by the floor", "another server that can take its traffic"),
                };
                Gate::new("haproxy", seen.confirmed == Confirmed::In, format!("{what}, {by}")).opens_by(opens_by)
            }
        };
        Some(gate)
    }

    /// Only where a restart is due or under way.
    fn restart_gates(&self, now: Moment) -> Vec<Gate> {
        let mut gates = Vec::new();
        match &self.state {
            State::Sick { trouble, doubt } => {
                gates.extend(doubt.as_ref().map(|doubt| self.doubt_gate(doubt)));
                gates.extend(self.restart_gate(trouble, now));
            }
            State::Waiting { trouble, at } => {
                let (left, open) = (at.since(now), *at <= now);
                let text = if open { "the back-off is over".to_owned() } else { format!("the back-off takes {left} more") };
                gates.push(Gate::new("back_off", open, text).until(Some(*at)));
                gates.extend(self.restart_gate(trouble, now));
            }
            State::Parked { trouble, trial_at } => {
                let (restarts, window) = (self.window.count(now), self.policy.restart.window);
                let text = format!("restarts did not help ({restarts} within {window}); one trial at a time");
                gates.push(Gate::new("limit", *trial_at <= now, text).until(Some(*trial_at)));
                gates.extend(self.restart_gate(trouble, now));
            }
            State::Restarting { ended, .. } => gates.push(self.job_gate(ended.is_some(), now)),
            State::Leaving(leaving) => gates.extend(self.leaving_gates(leaving)),
            State::Unknown
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Proving(_)
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Held
            | State::Maintenance => {}
        }
        if let Some(what) = self.recycle_waits_for(now) {
            let opens_by = what.clone();
            gates.push(Gate::new("permit", false, format!("its planned restart waits for {what}")).opens_by(opens_by));
        }
        gates
    }

    fn doubt_gate(&self, doubt: &Doubt) -> Gate {
        let passed = if doubt.passed == 1 { "1 answer since was".to_owned() } else { format!("{} answers since were", doubt.passed) };
        let until = self.doubt_is_answered(doubt).then_some(doubt.until);
        let text = format!("no probe confirms the log line yet: {passed} not bad");
        Gate::new("confirmation", false, text).until(until).opens_by("a probe that fails; otherwise the line is dismissed")
    }

    /// With systemd's start limit, where that would stand in the way of it.
    fn restart_gate(&self, trouble: &Trouble, now: Moment) -> Vec<Gate> {
        let mut gates = Vec::new();
        if let Some((burst, interval)) = self.start_limit_reached(now) {
            let text = format!("systemd's start limit (StartLimitBurst={burst} in {interval}) is used up; it is lifted before the restart");
            gates.push(Gate::new("start_limit", true, text));
        }
        gates.push(match self.gate(trouble, now) {
            May::Shut(what) => Gate::new("restart", false, format!("the restart waits for {what}")).opens_by(what),
            May::From(at, _) if at <= now => Gate::new("restart", true, "nothing else is in the way of a restart"),
            May::From(at, what) => Gate::new("restart", false, format!("the restart waits for {what}, but not for ever")).until(Some(at)),
        });
        gates
    }

    fn job_gate(&self, ended: bool, now: Moment) -> Gate {
        let kill_at = self.job.and_then(|job| job.kill_at).filter(|_| self.old_process_may_live());
        let text = match kill_at {
            _ if ended => "its restart job has ended; systemd has not shown yet what came of it".to_owned(),
            Some(at) => format!("its restart job is under way; what is left of the old process in {} is killed", at.since(now)),
            None => "its restart job is under way".to_owned(),
        };
        Gate::new("restart", false, text).opens_by("systemd")
    }

    fn leaving_gates(&self, leaving: &Leaving) -> Vec<Gate> {
        let mut gates = Vec::new();
        let out = leaving.out_since.is_some() || !self.policy.coordinated;
        let text = if out { "it is out of rotation" } else { "HAProxy has to confirm that it is out of rotation" };
        gates.push(Gate::new("rotation", out, text).opens_by("the coordinator"));
        if out {
            let text = match leaving.word.and_then(|word| word.sessions) {
                Some(1) => "1 request is in flight".to_owned(),
                Some(sessions) => format!("{sessions} requests are in flight"),
                None => "nobody says how many requests are in flight".to_owned(),
            };
            let at = self.leaving_ends(leaving);
            gates.push(Gate::new("requests", at <= self.at, text).until(Some(at)).opens_by("the end of the last request"));
        }
        if let May::Shut(what) = self.unit_free() {
            gates.push(Gate::new("restart", false, format!("the restart waits for {what}")).opens_by(what));
        }
        gates
    }

    /// What a recycling that is due waits for.
    pub(super) fn recycle_waits_for(&self, now: Moment) -> Option<String> {
        self.recycle_due().filter(|(at, _)| *at <= now)?;
        if let Some(down) = self.down_dependency() {
            return Some(format!("what it depends on: {}", down.text));
        }
        if let May::Shut(what) = self.unit_free() {
            return Some(what.to_owned());
        }
        if self.policy.coordinated && self.permit().is_none() {
            let silent = self.traffic.is_none();
            return Some(if silent { "a coordinator to answer" } else { "a permit from the coordinator" }.to_owned());
        }
        None
    }
}
