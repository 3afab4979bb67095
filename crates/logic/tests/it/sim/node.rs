//! One node: the real machine of its agent, and a service that is as it is told to be.

use crate::fleet::world::service;
use crate::service::bench::{pattern, policy, running};
use std::collections::VecDeque;
use warden_logic::moment::{Moment, Span};
use warden_logic::service::input::{Effect, Input, Invocation, JobResult, LogHit, Means, PermitId, Probed, Question, TrafficSeen};
use warden_logic::service::policy::{Policy, RecyclePolicy, StopPolicy};
use warden_logic::service::{Machine, View};
use warden_protocol::v1::Reason;
use warden_protocol::v1::report::{ServiceReport, Wants};
use warden_protocol::vocab::{ServiceState, Verdict};

/// As much as it weighs when it has grown.
const HEAVY: u64 = 1_000;

/// Quick, so that a schedule sees whole lives.
pub(super) fn quick() -> Policy {
    let base = policy();
    let mut probe = base.probes[0];
    (probe.every, probe.every_in_doubt, probe.timeout) = (Span::from_millis(1_000), Span::from_millis(250), Span::from_millis(500));
    let mut restart = base.restart;
    (restart.limit, restart.window, restart.trial_every) = (4, Span::from_secs(60), Span::from_secs(20));
    (restart.max_delay, restart.forget_after) = (Span::from_secs(4), Span::from_secs(20));
    Policy {
        warmup: Span::from_secs(2),
        prove_within: Span::from_secs(5),
        probes: vec![probe],
        recycle: RecyclePolicy { max_age: None, max_age_jitter: Span::ZERO, above: Some(HEAVY / 2) },
        flap_half_life: Span::from_secs(20),
        stop: StopPolicy { drain: Span::from_secs(3), kill_after: Span::from_secs(3), ..base.stop },
        restart,
        coordinator_silent_for: Span::from_secs(5),
        ..base
    }
}

/// As on the Bingo stand, but probed every ten seconds: months are long.
pub(super) fn for_months() -> Policy {
    let base = quick();
    let mut probe = base.probes[0];
    (probe.every, probe.every_in_doubt) = (Span::from_secs(10), Span::from_secs(2));
    let mut restart = base.restart;
    (restart.limit, restart.window, restart.trial_every) = (5, Span::from_secs(600), Span::from_secs(300));
    (restart.max_delay, restart.forget_after) = (Span::from_secs(60), Span::from_secs(600));
    Policy {
        warmup: Span::from_secs(30),
        prove_within: Span::from_secs(60),
        probes: vec![probe],
        recycle: RecyclePolicy { max_age: Some(Span::from_secs(18 * 60)), max_age_jitter: Span::from_secs(120), above: Some(HEAVY / 2) },
        flap_half_life: Span::from_secs(600),
        stop: StopPolicy { drain: Span::from_secs(30), kill_after: Span::from_secs(30), ..base.stop },
        restart,
        coordinator_silent_for: Span::from_secs(120),
        ..base
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    Sick,
    Hung,
}

pub(super) struct Node {
    at: usize,
    policy: Policy,
    machine: Machine,
    pub(super) health: Health,
    pub(super) broken: bool,
    heavy: bool,
    invocation: u128,
    started: Moment,
    pub(super) epoch: u64,
    pub(super) reports_lost: bool,
    pub(super) answers_lost: bool,
    pub(super) unreachable: bool,
    /// It was restarted by plan, and does not serve again yet.
    pub(super) by_plan: bool,
    /// Restarts in this beat: by plan, for evidence.
    pub(super) restarts: (u64, u64),
    roll: u64,
}

impl Node {
    pub(super) fn new(at: usize, policy: Policy, now: Moment) -> Self {
        let mut node = Self {
            at,
            machine: Machine::new(policy.clone(), now),
            policy,
            health: Health::Well,
            broken: false,
            heavy: false,
            invocation: 1 + at as u128 * 1_000_000,
            started: now,
            epoch: 1,
            reports_lost: false,
            answers_lost: false,
            unreachable: false,
            by_plan: false,
            restarts: (0, 0),
            roll: at as u64,
        };
        node.tell(now, Input::Unit(running(node.invocation, now)));
        node
    }

    pub(super) fn view(&self, now: Moment) -> View {
        self.machine.view(now)
    }

    /// It answers as it should.
    pub(super) fn answers(&self) -> bool {
        self.health == Health::Well
    }

    fn tell(&mut self, now: Moment, input: Input) {
        let mut inputs = VecDeque::from([input]);
        // What one input leads to: a question, its answer, a restart, what systemd says of it.
        for _ in 0..64 {
            let Some(input) = inputs.pop_front() else { return };
            self.roll = self.roll.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            for effect in self.machine.handle(now, self.roll, input) {
                self.obey(now, effect, &mut inputs);
            }
        }
        panic!("node {} goes round in circles", self.at);
    }

    fn obey(&mut self, now: Moment, effect: Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::Probe { question: Question::Probe(_), ticket, invocation, .. } => {
                let (verdict, fatal, text) = match self.health {
                    Health::Well => (Verdict::Good, false, "200"),
                    Health::Sick => (Verdict::Bad, false, "500"),
                    Health::Hung => (Verdict::Bad, false, "timed out"),
                };
                inputs.push_back(Input::Probed(Probed { ticket, invocation, verdict, fatal, text: text.to_owned(), usec: 1 }));
            }
            Effect::Restart { ticket, incident, .. } => {
                if incident.is_empty() {
                    self.by_plan = true;
                    self.restarts.0 += 1;
                } else {
                    self.restarts.1 += 1;
                }
                self.begins_anew(now);
                inputs.push_back(Input::Unit(running(self.invocation, now)));
                inputs.push_back(Input::JobEnded { ticket, result: JobResult::Done });
            }
            Effect::Changed { to, .. } => {
                if to == ServiceState::Serving {
                    self.by_plan = false;
                }
            }
            Effect::Probe { question: Question::Depends(_), .. } | Effect::Kill { .. } | Effect::WouldRestart { .. } => {}
            Effect::Dismissed { .. } => {}
            Effect::Anomaly { what } => panic!("node {}: {what}", self.at),
        }
    }

    fn begins_anew(&mut self, now: Moment) {
        self.invocation += 1;
        self.started = now;
        self.heavy = false;
        self.health = if self.broken { Health::Sick } else { Health::Well };
    }

    /// Its process ends by itself, and systemd starts another.
    pub(super) fn exits(&mut self, now: Moment) {
        let ended = Invocation(self.invocation);
        self.begins_anew(now);
        self.tell(now, Input::ProcessEnded { invocation: ended });
        self.tell(now, Input::Unit(running(self.invocation, now)));
    }

    pub(super) fn says_the_fatal_line(&mut self, now: Moment) {
        let line = "journal: We all gonna die".to_owned();
        self.tell(now, Input::LogHit(LogHit { invocation: Invocation(self.invocation), pattern: pattern(Means::Fatal), line, at: now }));
    }

    pub(super) fn grows(&mut self) {
        self.heavy = true;
    }

    /// The agent dies, and goes on with what it kept.
    pub(super) fn agent_begins_anew(&mut self, now: Moment) {
        let saved = self.machine.save(now);
        self.machine = Machine::resume(self.policy.clone(), now, saved);
        self.epoch += 1;
        self.tell(now, Input::Unit(running(self.invocation, self.started)));
    }

    /// Everything that is due by then.
    pub(super) fn goes_on(&mut self, now: Moment) {
        let bytes = if self.heavy { HEAVY } else { 1 };
        self.tell(now, Input::Memory { invocation: Invocation(self.invocation), bytes });
        for _ in 0..256 {
            if self.machine.next_wake().is_none_or(|due| due > now) {
                return;
            }
            self.tell(now, Input::Timer);
        }
    }

    pub(super) fn hears(&mut self, now: Moment, seen: Option<TrafficSeen>) {
        self.tell(now, Input::Traffic(seen));
    }

    pub(super) fn accepts(&self, permit: u64, action: &str) -> bool {
        self.machine.accepts_permit(PermitId(permit), action)
    }

    pub(super) fn says(&self, now: Moment) -> ServiceReport {
        let view = self.view(now);
        ServiceReport {
            state: view.state,
            since_ms: now.since(view.since).as_millis(),
            invocation: view.instance.map(|(invocation, _)| invocation.to_string()).unwrap_or_default(),
            started_ms_ago: view.instance.map(|(_, started)| now.since(started).as_millis()),
            reason: Reason { label: view.reason.label.as_str().to_owned(), text: view.reason.text },
            evidence: view.evidence,
            incident: view.incident,
            wants: Wants { traffic: view.traffic, restart: view.restart },
            planned: view.planned_action.map(str::to_owned),
            permit: view.permit.map(|permit| permit.0),
            ..service(self.at, view.traffic, false)
        }
    }
}
