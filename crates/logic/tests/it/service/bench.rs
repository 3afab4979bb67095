//! A machine on the bench: a clock that is moved by hand, and words for what can be done to it.

use warden_logic::moment::{Moment, Span};
use warden_logic::service::input::{
    ActiveState, Effect, Input, Invocation, JobResult, LogHit, Means, Operator, Order, PermitId, Probed, Question, RestartSetting, Ticket,
    TrafficSeen, UnitSeen,
};
use warden_logic::service::policy::{Mode, PatternPolicy, Policy, ProbePolicy, RecyclePolicy, RestartPolicy, Stop, StopPolicy};
use warden_logic::service::{Machine, View};
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Verdict};

pub(super) const BEGIN: u64 = 1_000_000_000;
/// Within which the lines of [`policy`] count.
pub(super) const WINDOW: Span = Span::from_secs(10);

/// The patterns of [`policy`]: one line is enough, but of suspect ones three within ten seconds.
pub(crate) const fn pattern(means: Means) -> usize {
    match means {
        Means::Fatal => 0,
        Means::Suspect => 1,
        Means::Recovered => 2,
    }
}

/// 30 s of warm-up, 3 failures, 2 successes, a steady second.
pub(crate) fn policy() -> Policy {
    let pattern = |means, count| PatternPolicy { means, count, window: WINDOW };
    Policy {
        mode: Mode::Supervise,
        warmup: Span::from_secs(30),
        probe_during_warmup: false,
        prove_within: Span::from_secs(60),
        probes: vec![probe()],
        patterns: vec![pattern(Means::Fatal, 1), pattern(Means::Suspect, 3), pattern(Means::Recovered, 1)],
        depends: Vec::new(),
        recycle: RecyclePolicy::NEVER,
        flap_half_life: Span::from_secs(600),
        stop: StopPolicy { how: Stop::Graceful, kill_after: Span::from_secs(10), drain: Span::from_secs(30) },
        restart: RestartPolicy {
            first_delay: Span::ZERO,
            delay: Span::from_secs(1),
            max_delay: Span::from_secs(60),
            forget_after: Span::from_secs(600),
            limit: 5,
            window: Span::from_secs(600),
            trial_every: Span::from_secs(300),
        },
        coordinator_silent_for: Span::from_secs(30),
        coordinated: true,
    }
}

pub(super) fn probe() -> ProbePolicy {
    ProbePolicy {
        every: Span::from_secs(1),
        every_in_doubt: Span::from_millis(250),
        timeout: Span::from_secs(2),
        failures: 3,
        of: 3,
        successes: 2,
    }
}

pub(super) fn database() -> ProbePolicy {
    ProbePolicy { every: Span::from_secs(2), timeout: Span::from_secs(1), failures: 2, of: 2, ..probe() }
}

/// A reading of a unit with `Restart=always` that runs as invocation `n` since `started`.
pub(crate) fn running(n: u128, started: Moment) -> UnitSeen {
    UnitSeen {
        loaded: true,
        active: ActiveState::Active,
        sub: "running".to_owned(),
        result: "success".to_owned(),
        invocation: Some(Invocation(n)),
        main_pid: u32::try_from(1_000 + n).unwrap(),
        started: Some(started),
        restart: RestartSetting::Always,
        job: false,
        start_limit: None,
    }
}

/// A reading of a unit that does not run.
pub(super) fn idle(active: ActiveState, sub: &str, result: &str) -> UnitSeen {
    UnitSeen {
        active,
        sub: sub.to_owned(),
        result: result.to_owned(),
        invocation: None,
        main_pid: 0,
        started: None,
        ..running(0, Moment::default())
    }
}

pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    /// Everything since the last [`Bench::take`].
    pub(super) effects: Vec<Effect>,
    roll: u64,
    invocation: u128,
}

impl Bench {
    pub(super) fn new(policy: Policy) -> Self {
        let now = Moment::from_micros(BEGIN);
        Self { machine: Machine::new(policy, now), now, effects: Vec::new(), roll: 7, invocation: 0 }
    }

    /// Serving since a moment ago, in rotation.
    pub(super) fn serving(policy: Policy) -> Self {
        let mut bench = Self::new(policy);
        bench.unit(idle(ActiveState::Inactive, "dead", "success"));
        bench.starts();
        bench.pass(bench.machine.policy().warmup);
        bench.answer(Verdict::Good);
        bench.pass(Span::from_millis(250));
        bench.answer(Verdict::Good);
        bench.traffic(Confirmed::In, Holder::Haproxy);
        assert_eq!(bench.state(), ServiceState::Serving);
        bench.effects.clear();
        bench
    }

    pub(super) fn tell(&mut self, input: Input) {
        self.roll = self.roll.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.effects.extend(self.machine.handle(self.now, self.roll, input));
    }

    pub(super) fn unit(&mut self, seen: UnitSeen) {
        self.tell(Input::Unit(seen));
    }

    /// A new instance, seen in the moment it starts.
    pub(super) fn starts(&mut self) {
        self.invocation += 1;
        self.unit(running(self.invocation, self.now));
    }

    pub(super) fn invocation(&self) -> Invocation {
        Invocation(self.invocation)
    }

    /// Time passes; every timer on the way is handled.
    pub(super) fn pass(&mut self, span: Span) {
        let end = self.now.plus(span);
        while let Some(at) = self.machine.next_wake().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.tell(Input::Timer);
        }
        self.now = end;
    }

    /// The probe that was sent last.
    pub(super) fn asked(&self) -> Option<Ticket> {
        self.effects
            .iter()
            .rev()
            .find_map(|effect| if let Effect::Probe { question: Question::Probe(_), ticket, .. } = effect { Some(*ticket) } else { None })
    }

    pub(super) fn probed(&mut self, verdict: Verdict, fatal: bool, text: &str) {
        let ticket = self.asked().expect("a probe is outstanding");
        let (invocation, text) = (self.invocation(), text.to_owned());
        self.tell(Input::Probed(Probed { ticket, invocation, verdict, fatal, text, usec: 900 }));
    }

    pub(super) fn answer(&mut self, verdict: Verdict) {
        let text = match verdict {
            Verdict::Good => "200 \"pong\"",
            Verdict::Bad => "timed out after 2 s",
            Verdict::Busy => "429",
        };
        self.probed(verdict, false, text);
    }

    /// Answers every probe that comes within `span` alike.
    pub(super) fn answer_for(&mut self, span: Span, verdict: Verdict) {
        let end = self.now.plus(span);
        loop {
            if let Some(Effect::Probe { question: Question::Probe(_), .. }) = self.effects.last() {
                self.answer(verdict);
            }
            let Some(at) = self.machine.next_wake().filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            self.tell(Input::Timer);
        }
        self.now = end;
    }

    /// Time passes, and every question is answered at once: those about the service like this, those about what it depends
    /// on like that. What else was asked for is left in `effects`.
    pub(super) fn run(&mut self, span: Span, service: Verdict, database: Verdict) {
        let end = self.now.plus(span);
        loop {
            let asked = self.effects.iter().position(|effect| matches!(effect, Effect::Probe { .. }));
            if let Some(Effect::Probe { question, ticket, invocation, .. }) = asked.map(|at| self.effects.remove(at)) {
                let (verdict, text) = match question {
                    Question::Probe(_) => (service, "500"),
                    Question::Depends(_) => (database, "refused"),
                };
                self.tell(Input::Probed(Probed { ticket, invocation, verdict, fatal: false, text: text.to_owned(), usec: 1 }));
                continue;
            }
            let Some(at) = self.machine.next_wake().filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            self.tell(Input::Timer);
        }
        self.now = end;
    }

    pub(super) fn order(&mut self, order: Order) {
        self.tell(Input::Operator(Operator { by: "anna".to_owned(), reason: "a new disk".to_owned(), order }));
    }

    /// What a coordinator says, a moment later.
    pub(super) fn says(&mut self, confirmed: Confirmed, by: Holder, sessions: Option<u64>, permit: Option<u64>) {
        self.pass(Span::from_millis(1));
        let permit = permit.map(PermitId);
        self.tell(Input::Traffic(Some(TrafficSeen { confirmed, by, sessions, permit, waits: false, roll: None, witness: None })));
    }

    pub(super) fn line(&mut self, means: Means, line: &str) {
        let (invocation, line) = (self.invocation(), format!("journal: {line}"));
        self.tell(Input::LogHit(LogHit { invocation, pattern: pattern(means), line, at: self.now }));
    }

    pub(super) fn doom(&mut self) {
        self.line(Means::Fatal, "We all gonna die");
    }

    pub(super) fn traffic(&mut self, confirmed: Confirmed, by: Holder) {
        self.tell(Input::Traffic(Some(TrafficSeen {
            confirmed,
            by,
            sessions: None,
            permit: None,
            waits: false,
            roll: None,
            witness: None,
        })));
    }

    /// The restart that was asked for last.
    pub(super) fn restart(&self) -> Option<Ticket> {
        self.effects.iter().rev().find_map(|effect| if let Effect::Restart { ticket, .. } = effect { Some(*ticket) } else { None })
    }

    pub(super) fn job_ends(&mut self, result: JobResult) {
        let ticket = self.restart().expect("a restart is outstanding");
        self.tell(Input::JobEnded { ticket, result });
    }

    pub(super) fn view(&self) -> View {
        self.machine.view(self.now)
    }

    pub(super) fn state(&self) -> ServiceState {
        self.view().state
    }

    /// What was asked for since the last call, one word each: `probe`, `restart`, `serving > sick`, `dismissed`, `anomaly`.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.effects.drain(..).map(|effect| word(&effect)).collect()
    }
}

pub(super) fn word(effect: &Effect) -> String {
    match effect {
        Effect::Probe { .. } => "probe".to_owned(),
        Effect::Restart { reset_failed: false, .. } => "restart".to_owned(),
        Effect::Restart { reset_failed: true, .. } => "reset, restart".to_owned(),
        Effect::Kill { .. } => "kill".to_owned(),
        Effect::WouldRestart { .. } => "would restart".to_owned(),
        Effect::Changed { from, to, .. } => format!("{from} > {to}"),
        Effect::Dismissed { .. } => "dismissed".to_owned(),
        Effect::Anomaly { what } => format!("anomaly: {what}"),
    }
}
