//! The chain for people: what must hold before it serves, and before it is restarted.

use super::mend::May;
use super::state::State;
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
        let stopped = matches!(self.state, State::Stopped);
        let text = if stopped { self.reason.text.clone() } else { "no operator's mark".to_owned() };
        Gate::new("operator", !stopped, text).opens_by("systemctl start")
    }

    fn unit_gate(&self) -> Gate {
        let text = match &self.unit {
            _ if !self.visible => "systemd does not answer".to_owned(),
            Some(seen) => format!("the unit is {} ({})", seen.active.as_str(), seen.sub),
            None => "the unit has not been seen yet".to_owned(),
        };
        Gate::new("unit", self.visible && self.instance.is_some(), text).opens_by("systemd")
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

    /// Only where a restart is due and waits.
    fn restart_gates(&self, now: Moment) -> Vec<Gate> {
        let mut gates = Vec::new();
        if let State::Waiting { at, .. } = &self.state {
            let (left, open) = (at.since(now), *at <= now);
            let text = if open { "the back-off is over".to_owned() } else { format!("the back-off takes {left} more") };
            gates.push(Gate::new("back_off", open, text).until(Some(*at)));
        }
        if let State::Parked { trial_at, .. } = &self.state {
            let text = format!("restarts did not help ({} in {}); one trial at a time", self.window.count(now), self.policy.restart.window);
            gates.push(Gate::new("limit", *trial_at <= now, text).until(Some(*trial_at)));
        }
        if let State::Sick { trouble, .. } | State::Waiting { trouble, .. } | State::Parked { trouble, .. } = &self.state {
            let gate = match self.gate(trouble, now) {
                May::Shut(what) => Gate::new("restart", false, format!("the restart waits for {what}")).opens_by(what),
                May::From(at) => {
                    let open = at <= now;
                    let text =
                        if open { "nothing else is in the way of a restart" } else { "the restart waits for an answer, but not for ever" };
                    Gate::new("restart", open, text).until(Some(at))
                }
            };
            gates.push(gate);
        }
        if let Some(what) = self.recycle_waits_for(now) {
            let opens_by = what.clone();
            gates.push(Gate::new("permit", false, format!("its planned restart waits for {what}")).opens_by(opens_by));
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
