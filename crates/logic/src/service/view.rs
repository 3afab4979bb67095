//! What the machine shows of itself: for reports, status, metrics and `STATUS=`.

use super::Machine;
use super::input::{Invocation, PermitId};
use super::mend::May;
use super::planned::{Action, Leaving};
use super::policy::{Mode, Policy};
use super::state::State;
use crate::moment::{Moment, Span};
use crate::reason::Reason;
use serde::{Deserialize, Serialize};
use warden_protocol::vocab::{Evidence, RestartWish, ServiceState, Traffic};

/// One service as its machine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it stands.
    pub state: ServiceState,
    /// Since when.
    pub since: Moment,
    /// Why.
    pub reason: Reason,
    /// The weight of the evidence behind it.
    pub evidence: Option<Evidence>,
    /// The incident that is open.
    pub incident: Option<String>,
    /// What its traffic should be.
    pub traffic: Traffic,
    /// Whether it is about to restart, and on whose authority.
    pub restart: RestartWish,
    /// The instance that is judged: its invocation and when it started.
    pub instance: Option<(Invocation, Moment)>,
    /// The warm-up, while it lasts.
    pub warmup: Option<Warmup>,
    /// What it does next by itself.
    pub next: Option<Next>,
    /// What it waits for that is not a matter of time.
    pub waits_for: Option<&'static str>,
    /// Restarts asked for since the machine began.
    pub restarts: u64,
    /// Those in the restart window.
    pub restarts_in_window: u32,
    /// The last one.
    pub last_restart: Option<LastRestart>,
    /// Fatal lines that no probe confirmed.
    pub dismissed: u64,
    /// Whether it acts.
    pub mode: Mode,
    /// How its probes count, in the policy's order.
    pub probes: Vec<Tally>,
    /// What it depends on, in the policy's order.
    pub depends: Vec<DependsView>,
    /// What the instance held when it was read last, in bytes.
    pub memory: Option<u64>,
    /// Its next planned restart, where there is to be one.
    pub recycle: Option<Recycle>,
    /// The operator's mark that stands; maintenance goes before drain.
    pub mark: Option<Mark>,
    /// What it is charged with for losing `serving` again and again, in thousandths of a loss.
    pub penalty: u32,
    /// Planned restarts asked for since the machine began; they are not among `restarts`.
    pub planned: u64,
    /// Which planned restart is wanted, or under way: `recycle_age`, `recycle_memory`, `operator`.
    pub planned_action: Option<&'static str>,
    /// The permit that is made use of.
    pub permit: Option<PermitId>,
    /// What must hold before it serves, or before it is restarted, in that order. The first that is shut holds it.
    pub gates: Vec<Gate>,
}

/// How one probe counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Good verdicts in a row.
    pub good_in_row: u32,
    /// Bad verdicts among the last `of`.
    pub bad: u32,
    /// So many good ones in a row are asked for now.
    pub needed_good: u32,
    /// So many bad ones make it sick.
    pub failures: u32,
    /// See `bad`; equal to `failures`: in a row.
    pub of: u32,
}

/// One dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependsView {
    /// Whether it is there; `None`: not known yet.
    pub up: Option<bool>,
    /// What it said last; empty before its first answer.
    pub text: String,
}

/// A planned restart that is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recycle {
    /// When its age makes it due.
    pub at: Option<Moment>,
    /// The memory that makes it due, in bytes.
    pub above: Option<u64>,
    /// What it waits for, once it is due.
    pub waits_for: Option<String>,
}

/// A person's mark on the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What it asks for.
    pub kind: MarkKind,
    /// Who set it.
    pub by: String,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// Since when.
    pub since: Moment,
    /// When it ends by itself.
    pub until: Option<Moment>,
}

/// What a mark asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// Out of rotation; judged and restarted as ever.
    Drain,
    /// Out of rotation, and nothing is restarted.
    Maintenance,
}

/// One condition on the way to serving, or to a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name: `operator`, `unit`, `dependencies`, …
    pub name: &'static str,
    /// How it stands.
    pub status: GateStatus,
    /// What it is about, with its figures: `1 of 2 good probes`.
    pub text: String,
    /// When it opens by itself.
    pub until: Option<Moment>,
    /// What opens it, where time does not.
    pub opens_by: Option<String>,
}

/// How a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateStatus {
    /// It does not hold anything up.
    Open,
    /// It does.
    Shut,
    /// It is looked at once those before it are open.
    Later,
}

/// A warm-up that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// Its whole length.
    pub length: Span,
    /// When it ends.
    pub until: Moment,
}

/// What comes next by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// When.
    pub at: Moment,
    /// What.
    pub what: &'static str,
}

/// The last restart that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRestart {
    /// When.
    pub at: Moment,
    /// What led to it.
    pub cause: Reason,
    /// The incident it belonged to.
    pub incident: String,
    /// How the job ended, once it did.
    pub result: Option<String>,
}

impl Machine {
    /// The policy it judges by.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where the service stands now.
    #[must_use]
    pub fn view(&self, now: Moment) -> View {
        let state = self.state.label();
        View {
            state,
            since: self.since,
            reason: self.reason.clone(),
            evidence: self.evidence,
            incident: self.incident.clone(),
            traffic: self.wants(now),
            restart: self.wish(now),
            instance: self.instance.map(|instance| (instance.invocation, instance.started)),
            warmup: self.warmup(),
            next: self.next(),
            waits_for: self.waits_for(now),
            restarts: self.restarts,
            restarts_in_window: self.window.count(now),
            last_restart: self.last_restart.clone(),
            dismissed: self.dismissed,
            mode: self.policy.mode,
            probes: self.tallies(now),
            depends: self.depends.iter().map(|known| DependsView { up: known.up, text: known.text.clone() }).collect(),
            memory: self.memory,
            recycle: self.recycle_view(now),
            mark: self.mark().cloned(),
            penalty: self.penalty.left(self.policy.flap_half_life, now),
            planned: self.planned,
            planned_action: self.planned_action(now),
            permit: self.using,
            gates: self.gates(now),
        }
    }

    fn tallies(&self, now: Moment) -> Vec<Tally> {
        let each = self.policy.probes.iter().zip(&self.probes).enumerate();
        each.map(|(index, (policy, probe))| Tally {
            good_in_row: probe.tally.good(),
            bad: probe.tally.bad(policy),
            needed_good: self.needed(index, now),
            failures: policy.failures,
            of: policy.of,
        })
        .collect()
    }

    const fn warmup(&self) -> Option<Warmup> {
        if let State::Warming { until } = self.state { Some(Warmup { length: self.policy.warmup, until }) } else { None }
    }

    /// The mark that stands; maintenance goes before drain.
    pub(super) fn mark(&self) -> Option<&Mark> {
        self.marks.maintenance.as_ref().or(self.marks.drain.as_ref())
    }

    fn recycle_view(&self, now: Moment) -> Option<Recycle> {
        let at = self.instance.and_then(|instance| self.recycle_at(&instance));
        let above = self.policy.recycle.above;
        (at.is_some() || above.is_some()).then(|| Recycle { at, above, waits_for: self.recycle_waits_for(now) })
    }

    pub(super) fn planned_action(&self, now: Moment) -> Option<&'static str> {
        let plan = if let State::Restarting { plan: Some(plan), .. } | State::Leaving(Leaving { plan, .. }) = &self.state {
            Some(plan.action)
        } else {
            self.recycle_due().filter(|(at, _)| *at <= now).map(|(_, action)| action)
        };
        plan.map(Action::word)
    }

    fn wish(&self, now: Moment) -> RestartWish {
        if self.policy.mode == Mode::Shadow {
            return RestartWish::No;
        }
        if let State::Restarting { plan: Some(plan), .. } | State::Leaving(Leaving { plan, .. }) = &self.state {
            return if plan.action == Action::Operator { RestartWish::No } else { RestartWish::Ask };
        }
        // A permit that cannot be made use of at once would be void before it can.
        if self.recycle_due().is_some_and(|(at, _)| at <= now) && self.recycle_is_free() {
            return RestartWish::Ask;
        }
        let due = self.state.due_at().is_none_or(|at| at <= now);
        match (&self.state, self.state.trouble()) {
            (_, None) => RestartWish::No,
            (_, Some(trouble)) => match trouble.evidence {
                Evidence::Fatal if due || !matches!(self.state, State::Parked { .. }) => RestartWish::Now,
                Evidence::Suspect if due => RestartWish::Ask,
                Evidence::Fatal | Evidence::Suspect => RestartWish::No,
            },
        }
    }

    fn next(&self) -> Option<Next> {
        let what = match &self.state {
            State::Warming { .. } => "the warm-up ends",
            State::Proving(_) => "it counts as sick unless it has proven itself",
            State::Sick { doubt: Some(_), .. } => "the log line is dismissed unless a probe fails",
            State::Sick { doubt: None, .. } | State::Waiting { .. } => "restart",
            State::Parked { .. } => "trial restart",
            State::Leaving(_) => "its planned restart, unless its requests are done before",
            State::Unknown
            | State::Stopped
            | State::Starting
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Restarting { .. }
            | State::Held
            | State::Maintenance => return None,
        };
        self.next_move().map(|at| Next { at, what })
    }

    fn waits_for(&self, now: Moment) -> Option<&'static str> {
        let trouble = match &self.state {
            State::Sick { doubt: Some(_), .. } => return Some("a probe to confirm it"),
            State::Sick { trouble, doubt: None } | State::Waiting { trouble, .. } | State::Parked { trouble, .. } => trouble,
            State::Unknown
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Proving(_)
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Restarting { .. }
            | State::Held
            | State::Maintenance => return None,
            State::Leaving(leaving) if leaving.out_since.is_none() && self.policy.coordinated => {
                return Some("HAProxy to confirm that it is out");
            }
            State::Leaving(_) => return Some("its requests in flight"),
        };
        match self.gate(trouble, now) {
            May::Shut(what) => Some(what),
            May::From(..) => None,
        }
    }
}
