//! A world for the machine: what may happen to a service, in any order, and the watch that is kept over every step.

use super::bench::{BEGIN, idle, pattern, running};
use proptest::prelude::*;
use warden_logic::moment::{Moment, Span};
use warden_logic::reason::Label;
use warden_logic::service::input::{
    ActiveState, Effect, Input, Invocation, JobResult, LogHit, Means, Operator, Order, PermitId, Probed, Question, RestartSetting, Ticket,
    TrafficSeen, UnitSeen,
};
use warden_logic::service::policy::{Mode, Policy, ProbePolicy, RecyclePolicy, RestartPolicy, Stop, StopPolicy};
use warden_logic::service::{GateStatus, Machine, MarkKind};
use warden_protocol::vocab::{Confirmed, Evidence, Holder, RestartWish, ServiceState, Traffic, Verdict};

/// Which instance something belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    Current,
    Older,
    Next,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Pass {
        millis: u64,
    },
    ToNextWake,
    Answer {
        verdict: Verdict,
        fatal: bool,
    },
    StaleAnswer {
        verdict: Verdict,
    },
    Line {
        whose: Whose,
        means: Means,
    },
    ProcessEnds {
        whose: Whose,
    },
    Runs {
        anew: bool,
        age_millis: u64,
        restart: RestartSetting,
        job: bool,
    },
    Idle {
        active: ActiveState,
        sub: &'static str,
        result: &'static str,
        restart: RestartSetting,
        job: bool,
    },
    Unseen,
    JobEnds {
        result: JobResult,
    },
    StaleJobEnds,
    Traffic(Option<TrafficSeen>),
    AnswerDependency {
        verdict: Verdict,
    },
    Memory {
        bytes: u64,
    },
    Operator(Order),
    MaintainFor {
        millis: u64,
    },
    /// The agent begins anew, or is told another way to go on: the machine is saved and resumed.
    Resume,
}

fn probe_policies() -> impl Strategy<Value = ProbePolicy> {
    (1..5_000_u64, 1..1_000_u64, 1..5_000_u64, 1..5_u32, 0..4_u32, 1..5_u32).prop_map(
        |(slower, doubt, timeout, failures, more, successes)| ProbePolicy {
            every: Span::from_millis(slower + doubt),
            every_in_doubt: Span::from_millis(doubt),
            timeout: Span::from_millis(timeout),
            failures,
            of: failures + more,
            successes,
        },
    )
}

fn recyclings() -> impl Strategy<Value = RecyclePolicy> {
    let age = prop::option::of(1_000..900_000_u64);
    (age, 0..1_000_u64, prop::option::of(1..200_u64)).prop_map(|(age, jitter, above)| RecyclePolicy {
        max_age: age.map(Span::from_millis),
        max_age_jitter: Span::from_millis(jitter),
        above,
    })
}

pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let probes = (prop::collection::vec(probe_policies(), 1..3), prop::collection::vec(probe_policies(), 0..3));
    let restart = (0..2_000_u64, 0..5_000_u64, 1..60_000_u64, 0..900_000_u64, 1..6_u32, 1..900_000_u64, 1..600_000_u64);
    let more = (recyclings(), 0..900_000_u64, any::<bool>(), 0..60_000_u64, 0..60_000_u64, prop::bool::weighted(0.15));
    (0..60_000_u64, any::<bool>(), 1..90_000_u64, probes, restart, (0..60_000_u64, any::<bool>()), more).prop_map(
        |(warmup, probe_during_warmup, prove_within, (probes, depends), restart, (silent_for, coordinated), more)| Policy {
            mode: if more.5 { Mode::Shadow } else { Mode::Supervise },
            warmup: Span::from_millis(warmup),
            probe_during_warmup,
            prove_within: Span::from_millis(prove_within),
            probes,
            patterns: super::bench::policy().patterns,
            depends,
            recycle: more.0,
            flap_half_life: Span::from_millis(more.1),
            stop: StopPolicy {
                how: if more.2 { Stop::Kill } else { Stop::Graceful },
                kill_after: Span::from_millis(more.3),
                drain: Span::from_millis(more.4),
            },
            restart: RestartPolicy {
                first_delay: Span::from_millis(restart.0),
                delay: Span::from_millis(restart.1),
                max_delay: Span::from_millis(restart.2),
                forget_after: Span::from_millis(restart.3),
                limit: restart.4,
                window: Span::from_millis(restart.5),
                trial_every: Span::from_millis(restart.6),
            },
            coordinator_silent_for: Span::from_millis(silent_for),
            coordinated,
        },
    )
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        2 => any::<bool>().prop_map(|now| Order::Restart { now }),
        1 => Just(Order::Drain),
        2 => Just(Order::Undrain),
        1 => Just(Order::Maintain { until: None }),
        3 => Just(Order::Resume),
    ]
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![4 => Just(Verdict::Good), 4 => Just(Verdict::Bad), 1 => Just(Verdict::Busy)]
}

fn settings() -> impl Strategy<Value = RestartSetting> {
    prop_oneof![3 => Just(RestartSetting::Always), 1 => Just(RestartSetting::OnFailure), 1 => Just(RestartSetting::No)]
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![4 => Just(Whose::Current), 1 => Just(Whose::Older), 1 => Just(Whose::Next)]
}

fn idles() -> impl Strategy<Value = Step> {
    let seen = prop_oneof![
        Just((ActiveState::Inactive, "dead", "success")),
        Just((ActiveState::Failed, "failed", "exit-code")),
        Just((ActiveState::Failed, "failed", "start-limit-hit")),
        Just((ActiveState::Activating, "start", "success")),
        Just((ActiveState::Activating, "auto-restart", "exit-code")),
        Just((ActiveState::Deactivating, "stop-sigterm", "success")),
    ];
    (seen, settings(), any::<bool>()).prop_map(|((active, sub, result), restart, job)| Step::Idle { active, sub, result, restart, job })
}

fn traffic() -> impl Strategy<Value = Option<TrafficSeen>> {
    let seen = (
        prop_oneof![Just(Confirmed::In), Just(Confirmed::Out), Just(Confirmed::Unknown)],
        prop_oneof![Just(Holder::Haproxy), Just(Holder::Warden), Just(Holder::Operator), Just(Holder::Floor)],
        prop::option::of(0..3_u64),
        prop::option::of(Just(PermitId(7))),
    );
    prop_oneof![1 => Just(None), 4 => seen.prop_map(|(confirmed, by, sessions, permit)| Some(TrafficSeen { confirmed, by, sessions, permit, waits: false }))]
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let result = prop_oneof![
        4 => Just(JobResult::Done),
        1 => Just(JobResult::Ended("failed".to_owned())),
        1 => Just(JobResult::Ended("canceled".to_owned())),
        1 => Just(JobResult::Refused("no".to_owned())),
        1 => Just(JobResult::Lost("gone".to_owned())),
    ];
    let means = prop_oneof![2 => Just(Means::Fatal), 1 => Just(Means::Suspect), 1 => Just(Means::Recovered)];
    prop_oneof![
        4 => prop_oneof![0..300_u64, 0..60_000_u64, 0..900_000_u64].prop_map(|millis| Step::Pass { millis }),
        8 => Just(Step::ToNextWake),
        12 => (verdicts(), any::<bool>()).prop_map(|(verdict, fatal)| Step::Answer { verdict, fatal: fatal && verdict == Verdict::Bad }),
        1 => verdicts().prop_map(|verdict| Step::StaleAnswer { verdict }),
        4 => (whose(), means).prop_map(|(whose, means)| Step::Line { whose, means }),
        1 => whose().prop_map(|whose| Step::ProcessEnds { whose }),
        4 => (any::<bool>(), prop_oneof![2 => Just(0_u64), 1 => 0..120_000_u64], settings(), prop::bool::weighted(0.1))
            .prop_map(|(anew, age_millis, restart, job)| Step::Runs { anew, age_millis, restart, job }),
        2 => idles(),
        1 => Just(Step::Unseen),
        4 => result.prop_map(|result| Step::JobEnds { result }),
        1 => Just(Step::StaleJobEnds),
        4 => traffic().prop_map(Step::Traffic),
        6 => prop_oneof![3 => Just(Verdict::Good), 2 => Just(Verdict::Bad), 1 => Just(Verdict::Busy)]
            .prop_map(|verdict| Step::AnswerDependency { verdict }),
        1 => (0..300_u64).prop_map(|bytes| Step::Memory { bytes }),
        2 => orders().prop_map(Step::Operator),
        1 => (0..120_000_u64).prop_map(|millis| Step::MaintainFor { millis }),
        1 => Just(Step::Resume),
    ]
}

pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    pub(super) trace: Vec<(Moment, u64, Input)>,
    pub(super) effects: Vec<Effect>,
    policy: Policy,
    roll: u64,
    invocation: u128,
    started: Moment,
    /// Where this instance's warm-up ends for the watch: earlier when a good probe was answered in it.
    warm_until: Moment,
    asked: Vec<(Question, Ticket, Invocation)>,
    answered: Vec<(Ticket, Invocation)>,
    job: Option<Ticket>,
    ended_jobs: Vec<Ticket>,
    regular: Vec<Moment>,
    last_restart: Option<Moment>,
    /// An operator's stop that is in force: no restart may be asked for.
    hands_off: bool,
    /// An operator's order is being handled: it outranks everything.
    ordered: bool,
}

impl World {
    pub(super) fn new(policy: Policy) -> Self {
        let now = Moment::from_micros(BEGIN);
        Self {
            machine: Machine::new(policy.clone(), now),
            now,
            trace: Vec::new(),
            effects: Vec::new(),
            policy,
            roll: 1,
            invocation: 1,
            started: now,
            warm_until: now,
            asked: Vec::new(),
            answered: Vec::new(),
            job: None,
            ended_jobs: Vec::new(),
            regular: Vec::new(),
            last_restart: None,
            hands_off: false,
            ordered: false,
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Pass { millis } => self.pass(Span::from_millis(*millis)),
            Step::ToNextWake => {
                if let Some(at) = self.machine.next_wake() {
                    self.now = at.max(self.now);
                    self.tell(Input::Timer);
                }
            }
            Step::Answer { verdict, fatal } => self.answer(*verdict, *fatal),
            Step::StaleAnswer { verdict } => {
                if let Some((ticket, invocation)) = self.answered.last().copied() {
                    self.tell_stale(Input::Probed(probed(ticket, invocation, *verdict, false)));
                }
            }
            Step::Line { whose, means } => self.line(*whose, *means),
            Step::ProcessEnds { whose: Whose::Current } => self.tell(Input::ProcessEnded { invocation: Invocation(self.invocation) }),
            Step::ProcessEnds { whose: Whose::Older | Whose::Next } => {
                self.tell_stale(Input::ProcessEnded { invocation: Invocation(self.invocation + 1_000) });
            }
            Step::Runs { anew, age_millis, restart, job } => {
                if *anew {
                    self.invocation += 1;
                    self.started = Moment::from_micros(self.now.as_micros() - age_millis * 1_000);
                    self.warm_until = self.started.plus(self.policy.warmup);
                }
                self.hands_off = false;
                self.tell(Input::Unit(UnitSeen { restart: *restart, job: *job, ..running(self.invocation, self.started) }));
            }
            Step::Idle { active, sub, result, restart, job } => {
                let down = matches!(active, ActiveState::Inactive | ActiveState::Failed) && !job;
                let by_hand = *restart == RestartSetting::Always && *result != "start-limit-hit";
                self.hands_off = down && by_hand && self.job.is_none() && self.machine.view(self.now).state != ServiceState::Restarting;
                self.tell(Input::Unit(UnitSeen { restart: *restart, job: *job, ..idle(*active, sub, result) }));
            }
            Step::Unseen => self.tell(Input::UnitUnseen { why: "bus gone".to_owned() }),
            Step::JobEnds { result } => {
                if let Some(ticket) = self.job.take() {
                    self.ended_jobs.push(ticket);
                    self.tell(Input::JobEnded { ticket, result: result.clone() });
                }
            }
            Step::StaleJobEnds => {
                if let Some(ticket) = self.ended_jobs.last().copied() {
                    self.tell_stale(Input::JobEnded { ticket, result: JobResult::Refused("late".to_owned()) });
                }
            }
            Step::Traffic(seen) => self.tell(Input::Traffic(*seen)),
            Step::AnswerDependency { verdict } => {
                let at = self.asked.iter().position(|(question, ..)| matches!(question, Question::Depends(_)));
                if let Some((_, ticket, invocation)) = at.map(|at| self.asked.remove(at)) {
                    self.tell(Input::Probed(probed(ticket, invocation, *verdict, false)));
                }
            }
            Step::Memory { bytes } => self.tell(Input::Memory { invocation: Invocation(self.invocation), bytes: *bytes }),
            Step::Operator(order) => self.order(*order),
            Step::MaintainFor { millis } => self.order(Order::Maintain { until: Some(self.now.plus(Span::from_millis(*millis))) }),
            Step::Resume => self.resume(),
        }
    }

    /// From now on everything is well: probes pass, jobs are done, processes live. Returns how long it took to serve.
    pub(super) fn all_is_well(&mut self, patience: Span) -> Option<Span> {
        let begin = self.now;
        self.step(&Step::JobEnds { result: JobResult::Done });
        self.step(&Step::Runs { anew: true, age_millis: 0, restart: RestartSetting::Always, job: false });
        self.step(&Step::Operator(Order::Undrain));
        self.step(&Step::Operator(Order::Resume));
        while self.now.since(begin) <= patience {
            if self.machine.view(self.now).state == ServiceState::Serving {
                return Some(self.now.since(begin));
            }
            if self.job.is_some() {
                self.step(&Step::Runs { anew: true, age_millis: 0, restart: RestartSetting::Always, job: false });
                self.step(&Step::JobEnds { result: JobResult::Done });
            } else if self.asked.iter().any(|(question, ..)| matches!(question, Question::Depends(_))) {
                self.step(&Step::AnswerDependency { verdict: Verdict::Good });
            } else if !self.asked.is_empty() {
                self.answer(Verdict::Good, false);
            } else {
                self.step(&Step::ToNextWake);
            }
        }
        None
    }

    fn order(&mut self, order: Order) {
        if matches!(order, Order::Restart { .. }) && self.machine.answer(order).is_ok() {
            self.hands_off = false;
        }
        self.ordered = true;
        self.tell(Input::Operator(Operator { by: "anna".to_owned(), reason: String::new(), order }));
        self.ordered = false;
    }

    /// What is outstanding is lost; everything else that can be seen stays.
    fn resume(&mut self) {
        let before = self.machine.view(self.now);
        let text = serde_json::to_string(&self.machine.save(self.now)).unwrap();
        self.machine = Machine::resume(self.policy.clone(), self.now, serde_json::from_str(&text).unwrap());
        let after = self.machine.view(self.now);
        assert_eq!((after.state, after.since, &after.reason), (before.state, before.since, &before.reason));
        assert_eq!((&after.incident, &after.mark, after.penalty), (&before.incident, &before.mark, before.penalty));
        assert_eq!((after.restarts, after.restarts_in_window, after.planned), (before.restarts, before.restarts_in_window, before.planned));
        assert_eq!((&after.probes, after.dismissed, after.instance), (&before.probes, before.dismissed, before.instance));
        // Until the unit is read again, nobody knows that it is stopped.
        self.hands_off = false;
        self.asked.clear();
        self.ended_jobs.extend(self.job.take());
    }

    fn pass(&mut self, span: Span) {
        let end = self.now.plus(span);
        // A fast beat over a long time: the rest adds nothing new.
        for _ in 0..200 {
            let Some(at) = self.machine.next_wake().filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            self.tell(Input::Timer);
        }
        if self.machine.next_wake().is_none_or(|at| at > end) {
            self.now = end;
        }
    }

    fn answer(&mut self, verdict: Verdict, fatal: bool) {
        let Some(at) = self.asked.iter().position(|(question, ..)| matches!(question, Question::Probe(_))) else { return };
        let (_, ticket, invocation) = self.asked.remove(at);
        self.answered.push((ticket, invocation));
        if verdict == Verdict::Good && invocation == Invocation(self.invocation) {
            self.warm_until = self.warm_until.min(self.now);
        }
        self.tell(Input::Probed(probed(ticket, invocation, verdict, fatal)));
    }

    fn line(&mut self, whose: Whose, means: Means) {
        let invocation = Invocation(match whose {
            Whose::Current => self.invocation,
            Whose::Older => self.invocation + 1_000,
            Whose::Next => self.invocation + 1,
        });
        let hit = LogHit { invocation, pattern: pattern(means), line: "journal: doom".to_owned(), at: self.now };
        match whose {
            Whose::Current => self.tell(Input::LogHit(hit)),
            Whose::Older | Whose::Next => {
                let mut other = self.machine.clone();
                let nothing = other.handle(self.now, self.roll, Input::Timer);
                let effects = self.tell_quietly(Input::LogHit(hit));
                assert_eq!(effects, nothing, "a line of another instance had an effect");
                assert_eq!(self.machine.view(self.now), other.view(self.now));
            }
        }
    }

    /// What is stale does no more than a timer would.
    fn tell_stale(&mut self, input: Input) {
        let mut other = self.machine.clone();
        let nothing = other.handle(self.now, self.roll, Input::Timer);
        let effects = self.tell_quietly(input.clone());
        assert_eq!(effects, nothing, "stale, but it had an effect: {input:?}");
        assert_eq!(self.machine, other, "stale, but it left a trace: {input:?}");
    }

    fn tell(&mut self, input: Input) {
        self.roll = self.roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.tell_quietly(input);
    }

    fn tell_quietly(&mut self, input: Input) -> Vec<Effect> {
        self.trace.push((self.now, self.roll, input.clone()));
        let before = self.machine.view(self.now).state;
        let effects = self.machine.handle(self.now, self.roll, input);
        self.watch(before, &effects);
        self.effects.extend(effects.iter().cloned());
        effects
    }

    fn watch(&mut self, before: ServiceState, effects: &[Effect]) {
        let mut state = before;
        for effect in effects {
            match effect {
                Effect::Probe { question, ticket, invocation, .. } => {
                    self.asked.retain(|(other, ..)| other != question);
                    self.asked.push((*question, *ticket, *invocation));
                    if matches!(question, Question::Probe(_)) {
                        self.invariant_the_warm_up_is_left_alone();
                    }
                }
                Effect::Restart { ticket, incident, .. } => {
                    assert_eq!(self.policy.mode, Mode::Supervise, "a restart in shadow mode");
                    assert_eq!(self.job, None, "two restarts outstanding");
                    self.job = Some(*ticket);
                    let hands_off = matches!(state, ServiceState::Held | ServiceState::Maintenance | ServiceState::Stopped);
                    assert!(self.ordered || !hands_off, "a restart while {state}");
                    assert!(self.ordered || !self.in_maintenance(), "a restart in maintenance");
                    if !incident.is_empty() {
                        self.invariant_restarts(state);
                    }
                }
                Effect::WouldRestart { incident, .. } => {
                    assert_eq!(self.policy.mode, Mode::Shadow);
                    if !incident.is_empty() {
                        self.invariant_restarts(state);
                    }
                }
                Effect::Kill { ticket } => assert_eq!(self.job, Some(*ticket), "a kill without a restart"),
                Effect::Changed { from, to, because, evidence, incident } => {
                    assert_eq!(*from, state, "changes follow each other");
                    state = *to;
                    self.invariant_no_failing_verdict_counts_in_the_warm_up(because.label);
                    if *to == ServiceState::Sick {
                        assert!(evidence.is_some() && incident.is_some());
                    }
                    self.invariant_delays_are_bounded(*to, *evidence, effects);
                }
                Effect::Dismissed { .. } => {}
                Effect::Anomaly { what } => assert!(!what.starts_with("refused"), "{what}"),
            }
        }
        let view = self.machine.view(self.now);
        assert_eq!(view.state, state, "every change of the state is told");
        let drained = view.mark.as_ref().is_some_and(|mark| mark.kind == MarkKind::Drain);
        if self.policy.mode == Mode::Shadow {
            assert_eq!((view.traffic, view.restart), (Traffic::Keep, RestartWish::No), "shadow mode wants nothing");
        } else if !drained && view.mark.is_none() {
            assert!(view.traffic == view.state.wants() || view.state == ServiceState::Held, "{view:?}");
            assert_ne!((view.state, view.traffic), (ServiceState::Held, Traffic::Out), "a hold takes nothing out");
        }
        if matches!(view.state, ServiceState::Parked | ServiceState::Waiting | ServiceState::Sick) {
            assert!(!view.reason.text.is_empty() && view.gates.iter().any(|gate| gate.status != GateStatus::Open), "{view:?}");
        }
        if let Some(at) = self.machine.next_wake() {
            assert!(at > self.now, "a handled timer moves on: {at:?} is not after {:?} in {view:?}", self.now);
        }
        if self.hands_off {
            let stands = matches!(view.state, ServiceState::Stopped | ServiceState::Maintenance);
            assert!(stands, "an operator's stop stands: {view:?}");
        }
    }

    fn invariant_the_warm_up_is_left_alone(&self) {
        assert!(self.policy.probe_during_warmup || self.now >= self.warm_until, "a probe in the warm-up");
    }

    fn invariant_no_failing_verdict_counts_in_the_warm_up(&self, label: Label) {
        if matches!(label, Label::ProbeFailing | Label::ProbeFailed | Label::FatalAnswer | Label::NotProvenInTime) {
            assert!(self.now >= self.warm_until, "{label:?} in the warm-up");
        }
    }

    fn in_maintenance(&self) -> bool {
        self.machine.view(self.now).mark.is_some_and(|mark| mark.kind == MarkKind::Maintenance)
    }

    fn invariant_restarts(&mut self, state: ServiceState) {
        assert!(!self.hands_off, "a restart of what an operator stopped");
        let policy = self.policy.restart;
        // A trial may also come at once, from the state in which it was parked in the same turn; it is far from the last one.
        let spaced = self.last_restart.is_none_or(|last| self.now.since(last) >= policy.trial_every);
        self.regular.retain(|at| self.now.since(*at) < policy.window);
        let full = self.regular.len() >= policy.limit as usize;
        if state == ServiceState::Parked {
            assert!(spaced, "a trial too early");
        } else {
            assert!(!full, "more than {} restarts in {}", policy.limit, policy.window);
            self.regular.push(self.now);
        }
        self.last_restart = Some(self.now);
    }

    fn invariant_delays_are_bounded(&self, to: ServiceState, evidence: Option<Evidence>, effects: &[Effect]) {
        let last = effects.iter().rev().find_map(|effect| if let Effect::Changed { to, .. } = effect { Some(*to) } else { None });
        if to == ServiceState::Waiting && last == Some(to) && evidence == Some(Evidence::Fatal) {
            let asking =
                self.policy.depends.iter().map(|probe| probe.timeout.max(probe.every_in_doubt).times(u64::from(probe.failures) + 1));
            let shadow = if self.policy.mode == Mode::Shadow { 1_000 } else { 100 };
            let gate = asking.max().unwrap_or_default().max(Span::from_millis(shadow));
            if let Some(next) = self.machine.view(self.now).next {
                let most = self.now.plus(self.policy.restart.max_delay).max(self.now.plus(gate));
                assert!(next.at <= most, "waits until {next:?}");
            }
        }
    }
}

fn probed(ticket: Ticket, invocation: Invocation, verdict: Verdict, fatal: bool) -> Probed {
    Probed { ticket, invocation, verdict, fatal, text: "answer".to_owned(), usec: 1 }
}
