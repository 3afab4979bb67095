//! A world around a machine: what happens to the service, in any order, is made into inputs, and the watch looks on.

use super::bench::{BEGIN, idle, pattern, running};
use super::steps::{Leave, Step, Whose, changed};
use super::watch::{Asked, Told, Watch};
use std::collections::{BTreeMap, VecDeque};
use warden_logic::moment::{Moment, Span};
use warden_logic::service::input::{
    ActiveState, Effect, Input, Invocation, JobResult, LogHit, Means, Operator, Order, PermitId, Probed, Question, RestartSetting, Ticket,
    TrafficSeen, UnitSeen, Witness,
};
use warden_logic::service::policy::Policy;
use warden_logic::service::{Machine, View};
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Traffic, Verdict};

/// Of a fast beat over a long time the rest adds nothing new.
const MOST_TIMERS: usize = 8;
/// Invocations of older instances than any that is made here.
const LONG_GONE: u128 = 1 << 100;

/// Everything that a machine was told, and what it asked for.
#[derive(Default)]
pub(super) struct Record {
    pub(super) inputs: Vec<(Moment, u64, Input)>,
    pub(super) effects: Vec<Effect>,
}

pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    /// How many inputs were handled.
    pub(super) handled: u64,
    /// How often a state, a reason or an effect came up.
    pub(super) reached: BTreeMap<&'static str, u64>,
    /// Kept where somebody asks for it.
    pub(super) record: Option<Record>,
    shown: View,
    watch: Watch,
    roll: u64,
    invocation: u128,
    started: Moment,
    asked: Vec<Asked>,
    answered: VecDeque<Asked>,
    ended_jobs: Vec<Ticket>,
    permits: u64,
    rolls: Option<Invocation>,
    doubts: Option<Witness>,
}

impl World {
    pub(super) fn new(policy: Policy) -> Self {
        let now = Moment::from_micros(BEGIN);
        let machine = Machine::new(policy.clone(), now);
        Self {
            shown: machine.view(now),
            machine,
            now,
            handled: 0,
            reached: BTreeMap::new(),
            record: None,
            watch: Watch::new(policy, now),
            roll: 1,
            invocation: 1,
            started: now,
            asked: Vec::new(),
            answered: VecDeque::new(),
            ended_jobs: Vec::new(),
            permits: 0,
            rolls: None,
            doubts: None,
        }
    }

    pub(super) fn history(&mut self, codes: &[u64]) {
        for code in codes {
            self.step(&Step::of(*code));
        }
    }

    pub(super) fn view(&self) -> View {
        self.machine.view(self.now)
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.watch.policy
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
                if let Some(asked) = self.answered.back().copied() {
                    self.tell_stale(Input::Probed(probed(asked, *verdict, false)));
                }
            }
            Step::Lines { whose, means, late_millis, times } => {
                for _ in 0..*times {
                    self.line(*whose, *means, Span::from_millis(*late_millis));
                }
            }
            Step::ProcessEnds { whose: Whose::Current } => self.tell(Input::ProcessEnded { invocation: Invocation(self.invocation) }),
            Step::ProcessEnds { whose: Whose::Older | Whose::Next } => {
                self.tell_stale(Input::ProcessEnded { invocation: Invocation(self.invocation + LONG_GONE) });
            }
            Step::Runs { anew, age_millis, restart, job, loaded } => {
                if *anew {
                    self.invocation += 1;
                    self.started = Moment::from_micros(self.now.as_micros() - age_millis * 1_000);
                }
                self.watch.hands_off = false;
                self.tell(Input::Unit(UnitSeen {
                    restart: *restart,
                    job: *job,
                    loaded: *loaded,
                    ..running(self.invocation, self.started)
                }));
            }
            Step::Idle { active, sub, result, restart, job, loaded } => {
                let seen = UnitSeen { restart: *restart, job: *job, loaded: *loaded, ..idle(*active, sub, result) };
                self.idle(seen);
            }
            Step::Unseen => self.tell(Input::UnitUnseen { why: "bus gone".to_owned() }),
            Step::JobEnds { result } => {
                if let Some(ticket) = self.watch.job.take() {
                    self.ended_jobs.push(ticket);
                    self.tell(Input::JobEnded { ticket, result: result.clone() });
                }
            }
            Step::StaleJobEnds => {
                if let Some(ticket) = self.ended_jobs.last().copied() {
                    self.tell_stale(Input::JobEnded { ticket, result: JobResult::Refused("late".to_owned()) });
                }
            }
            Step::Silence => self.tell(Input::Traffic(None)),
            Step::Traffic { confirmed, by, sessions, leave } => {
                self.permits += u64::from(matches!(leave, Leave::New));
                let permit = matches!(leave, Leave::New | Leave::Same).then_some(PermitId(self.permits));
                let waits = matches!(leave, Leave::Waits);
                let (confirmed, by, sessions, roll, witness) = (*confirmed, *by, *sessions, self.rolls, self.doubts);
                self.tell(Input::Traffic(Some(TrafficSeen { confirmed, by, sessions, permit, waits, roll, witness })));
            }
            Step::AnswerDependency { verdict } => {
                if let Some(asked) = self.next_asked(|question| matches!(question, Question::Depends(_))) {
                    self.tell_answer(asked, *verdict, false);
                }
            }
            Step::Memory { bytes } => self.tell(Input::Memory { invocation: Invocation(self.invocation), bytes: *bytes }),
            Step::Operator(order) => self.order(*order),
            Step::MaintainFor { millis } => self.order(Order::Maintain { until: Some(self.now.plus(Span::from_millis(*millis))) }),
            Step::AllIsWell { millis } => self.goes_well(Span::from_millis(*millis)),
            Step::Fails { leave } => self.fails(*leave),
            Step::Recycle => self.recycle(),
            Step::Rolls { whose } => self.rolls = whose.map(|whose| self.invocation_of(whose)),
            Step::Doubts { whose } => {
                let invocation = whose.map(|whose| self.invocation_of(whose));
                let witness = |invocation| Witness { invocation, requests: 150, failed: 60, window: Span::from_secs(5) };
                self.doubts = invocation.map(witness);
            }
            Step::Resume => self.resume(None),
            Step::Reload { change } => self.resume(Some(*change)),
        }
    }

    /// From now on the service itself is well: its probes pass, jobs are done, processes live, a coordinator takes it out and back
    /// as it asks for; what it depends on answers like this. Returns how long it took until it is wanted in rotation.
    pub(super) fn all_is_well(&mut self, dependencies: Verdict, patience: Span) -> Option<Span> {
        let begin = self.now;
        self.step(&Step::JobEnds { result: JobResult::Done });
        self.runs_anew();
        self.step(&Step::Operator(Order::Undrain));
        self.step(&Step::Operator(Order::Resume));
        while self.now.since(begin) <= patience {
            let view = self.view();
            let done = if dependencies == Verdict::Good { view.state == ServiceState::Serving } else { view.traffic == Traffic::In };
            if done {
                return Some(self.now.since(begin));
            }
            if !self.obey(dependencies) {
                self.step(&Step::ToNextWake);
            }
        }
        None
    }

    fn invocation_of(&self, whose: Whose) -> Invocation {
        Invocation(match whose {
            Whose::Current => self.invocation,
            Whose::Older => self.invocation - 1,
            Whose::Next => self.invocation + 1,
        })
    }

    fn runs_anew(&mut self) {
        self.step(&Step::Runs { anew: true, age_millis: 0, restart: RestartSetting::Always, job: false, loaded: true });
    }

    /// `Restart=always` brings everything back but what a person stopped; with another setting a clean end is what it says it is.
    fn idle(&mut self, seen: UnitSeen) {
        let failed = seen.active == ActiveState::Failed;
        let down = (failed || seen.active == ActiveState::Inactive) && !seen.job;
        let ours = seen.loaded && failed && (seen.result == "start-limit-hit" || seen.restart != RestartSetting::Always);
        let restarting = self.watch.job.is_some() || self.shown.state == ServiceState::Restarting;
        self.watch.hands_off = down && !ours && !restarting;
        self.tell(Input::Unit(seen));
    }

    /// Everybody answers well and at once, and does what is asked.
    fn goes_well(&mut self, span: Span) {
        let end = self.now.plus(span);
        for _ in 0..6 * MOST_TIMERS {
            if self.obey(Verdict::Good) {
                continue;
            }
            match self.shown.traffic {
                Traffic::Out => self.traffic(Confirmed::Out, Some(0), Leave::Same),
                Traffic::In if self.shown.planned_action.is_some() => self.traffic(Confirmed::In, None, Leave::New),
                Traffic::In | Traffic::Keep => {}
            }
            let Some(at) = self.machine.next_wake().filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            self.tell(Input::Timer);
        }
    }

    fn fails(&mut self, leave: Leave) {
        for _ in 0..2 * MOST_TIMERS {
            self.step(&Step::AnswerDependency { verdict: Verdict::Good });
            self.answer(Verdict::Bad, false);
            if self.shown.state == ServiceState::Sick {
                break;
            }
            self.step(&Step::ToNextWake);
        }
        self.traffic(Confirmed::Out, None, leave);
        self.answer(Verdict::Bad, false);
    }

    fn recycle(&mut self) {
        self.goes_well(Span::from_secs(300));
        self.step(&Step::Memory { bytes: 1_000 });
        self.now = self.now.plus(self.policy().restart.max_delay);
        self.tell(Input::Timer);
        while self.obey(Verdict::Good) {}
        self.traffic(Confirmed::In, None, Leave::New);
    }

    /// What is outstanding is done: a job, or else one question.
    fn obey(&mut self, dependencies: Verdict) -> bool {
        if self.watch.job.is_some() {
            self.runs_anew();
            self.step(&Step::JobEnds { result: JobResult::Done });
        } else if self.asked.iter().any(|asked| matches!(asked.question, Question::Depends(_))) {
            self.step(&Step::AnswerDependency { verdict: dependencies });
        } else if !self.asked.is_empty() {
            self.answer(Verdict::Good, false);
        } else {
            return false;
        }
        true
    }

    fn traffic(&mut self, confirmed: Confirmed, sessions: Option<u64>, leave: Leave) {
        self.step(&Step::Traffic { confirmed, by: Holder::Warden, sessions, leave });
    }

    fn order(&mut self, order: Order) {
        if matches!(order, Order::Restart { .. }) && self.machine.answer(order).is_ok() {
            self.watch.hands_off = false;
        }
        let input = Input::Operator(Operator { by: "anna".to_owned(), reason: String::new(), order });
        self.roll();
        self.tell_quietly(input, None, true);
    }

    /// Goes through a file, as the agent does it. What is outstanding is lost; everything else that can be seen stays.
    fn resume(&mut self, change: Option<u64>) {
        let before = self.machine.view(self.now);
        let text = serde_json::to_string(&self.machine.save(self.now)).unwrap();
        let policy = change.map_or_else(|| self.policy().clone(), |change| changed(self.policy(), change));
        self.machine = Machine::resume(policy.clone(), self.now, serde_json::from_str(&text).unwrap());
        self.shown = self.machine.view(self.now);
        if change.is_some() {
            self.watch.reloaded(self.now, policy, &self.shown);
        } else {
            invariant_a_resumed_machine_is_the_same(&before, &self.shown);
        }
        self.watch.resumed(self.now);
        self.asked.clear();
        self.ended_jobs.extend(self.watch.job.take());
    }

    fn pass(&mut self, span: Span) {
        let end = self.now.plus(span);
        for _ in 0..MOST_TIMERS {
            let Some(at) = self.machine.next_wake().filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            self.tell(Input::Timer);
        }
        if self.machine.next_wake().is_none_or(|at| at > end) {
            self.now = end;
        }
    }

    fn next_asked(&mut self, which: fn(Question) -> bool) -> Option<Asked> {
        let at = self.asked.iter().position(|asked| which(asked.question))?;
        Some(self.asked.remove(at))
    }

    fn answer(&mut self, verdict: Verdict, fatal: bool) {
        let Some(asked) = self.next_asked(|question| matches!(question, Question::Probe(_))) else { return };
        self.answered.push_back(asked);
        if self.answered.len() > 4 {
            self.answered.pop_front();
        }
        if self.shown.instance.is_some_and(|(current, _)| current == asked.invocation) {
            self.tell_answer(asked, verdict, fatal);
        } else {
            self.invariant_an_older_instance_has_no_say(Input::Probed(probed(asked, verdict, fatal)), Some(asked));
        }
    }

    fn tell_answer(&mut self, asked: Asked, verdict: Verdict, fatal: bool) {
        self.roll();
        self.tell_quietly(Input::Probed(probed(asked, verdict, fatal)), Some(asked), false);
    }

    fn line(&mut self, whose: Whose, means: Means, late: Span) {
        let invocation = Invocation(match whose {
            Whose::Current => self.invocation,
            Whose::Older => self.invocation + LONG_GONE,
            Whose::Next => self.invocation + 1,
        });
        let at = Moment::from_micros(self.now.as_micros() - late.as_micros());
        let input = Input::LogHit(LogHit { invocation, pattern: pattern(means), line: "journal: doom".to_owned(), at });
        match whose {
            Whose::Current => self.tell(input),
            Whose::Older | Whose::Next => self.invariant_an_older_instance_has_no_say(input, None),
        }
    }

    /// A stale invocation's evidence has no effect: it does no more than a timer would, and what is shown is the same.
    fn invariant_an_older_instance_has_no_say(&mut self, input: Input, asked: Option<Asked>) {
        let mut other = self.machine.clone();
        let nothing = other.handle(self.now, self.roll, Input::Timer);
        let effects = self.tell_quietly(input.clone(), asked, false);
        // A question may be free for the next one by it, or be given up without it.
        let aside = |effect: &&Effect| matches!(effect, Effect::Probe { .. } | Effect::Anomaly { .. });
        let decided = |effects: &[Effect]| effects.iter().filter(|effect| !aside(effect)).cloned().collect::<Vec<_>>();
        assert_eq!(decided(&effects), decided(&nothing), "of another instance, but it had an effect: {input:?}");
        assert_eq!(self.machine.view(self.now), other.view(self.now), "{input:?}");
    }

    /// A stale answer has no effect: it leaves no trace at all.
    fn tell_stale(&mut self, input: Input) {
        let mut other = self.machine.clone();
        let nothing = other.handle(self.now, self.roll, Input::Timer);
        let effects = self.tell_quietly(input.clone(), None, false);
        assert_eq!(effects, nothing, "stale, but it had an effect: {input:?}");
        assert_eq!(self.machine, other, "stale, but it left a trace: {input:?}");
    }

    fn roll(&mut self) {
        self.roll = self.roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }

    fn tell(&mut self, input: Input) {
        self.roll();
        self.tell_quietly(input, None, false);
    }

    fn tell_quietly(&mut self, input: Input, asked: Option<Asked>, ordered: bool) -> Vec<Effect> {
        self.handled += 1;
        let effects = self.machine.handle(self.now, self.roll, input.clone());
        let after = self.machine.view(self.now);
        for effect in &effects {
            if let Effect::Probe { question, ticket, invocation, .. } = effect {
                self.asked.retain(|other| other.question != *question);
                self.asked.push(Asked { question: *question, ticket: *ticket, invocation: *invocation, at: self.now });
            }
        }
        let told = Told { now: self.now, input: &input, asked, ordered };
        self.watch.look(&told, &self.shown, &after, &effects, self.machine.next_wake());
        self.count(&effects, &after);
        self.shown = after;
        if let Some(record) = &mut self.record {
            record.inputs.push((self.now, self.roll, input));
            record.effects.extend(effects.iter().cloned());
        }
        effects
    }
}

impl World {
    fn count(&mut self, effects: &[Effect], after: &View) {
        let mut count = |what| *self.reached.entry(what).or_default() += 1;
        for effect in effects {
            match effect {
                Effect::Changed { to, because, .. } => {
                    count(to.label());
                    count(because.label.as_str());
                }
                Effect::Restart { incident, .. } if incident.is_empty() => count("restart by plan"),
                Effect::Restart { .. } => count("restart by evidence"),
                Effect::Kill { .. } => count("kill"),
                Effect::WouldRestart { .. } => count("would restart"),
                Effect::Dismissed { .. } => count("dismissed"),
                Effect::Probe { .. } | Effect::Anomaly { .. } => {}
            }
        }
        count(after.reason.label.as_str());
        if after.permit.is_some() {
            count("permit used");
        }
    }
}

/// An agent that begins anew changes neither the verdict nor the counters.
fn invariant_a_resumed_machine_is_the_same(before: &View, after: &View) {
    assert_eq!((after.state, after.since, &after.reason), (before.state, before.since, &before.reason));
    assert_eq!((&after.incident, &after.mark, after.penalty), (&before.incident, &before.mark, before.penalty));
    assert_eq!((after.restarts, after.restarts_in_window, after.planned), (before.restarts, before.restarts_in_window, before.planned));
    assert_eq!((&after.probes, after.dismissed, after.instance), (&before.probes, before.dismissed, before.instance));
    assert_eq!(
        (&after.depends, after.memory, after.permit, after.traffic),
        (&before.depends, before.memory, before.permit, before.traffic)
    );
}

fn probed(asked: Asked, verdict: Verdict, fatal: bool) -> Probed {
    Probed { ticket: asked.ticket, invocation: asked.invocation, verdict, fatal, text: "answer".to_owned(), usec: 1 }
}
