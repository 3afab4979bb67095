//! What must hold at every step, whatever comes in: one function for each rule, called after every input that a world tells its
//! machine. What is true is learnt from the inputs and from what the machine shows of itself; its insides are not looked at.

use super::bench;
use std::collections::{BTreeMap, BTreeSet};
use warden_logic::moment::{Moment, Span};
use warden_logic::reason::Label;
use warden_logic::service::input::{Effect, Input, Invocation, LogHit, Means, PermitId, Probed, Question, Ticket, TrafficSeen};
use warden_logic::service::policy::{Mode, Policy};
use warden_logic::service::{GateStatus, MarkKind, View};
use warden_protocol::vocab::{Confirmed, Evidence, Holder, RestartWish, ServiceState, Traffic, Verdict};

/// Requests that nobody counts are given so long.
const COUNTED_WITHIN: Span = Span::from_secs(3);

/// An answer that takes so much longer than twice the probe's own time was given up.
const LOST: Span = Span::from_secs(1);

/// One input, and what was known when it came.
pub(super) struct Told<'a> {
    pub(super) now: Moment,
    pub(super) input: &'a Input,
    /// The question that an answer belongs to.
    pub(super) asked: Option<Asked>,
    /// An operator's order is being handled: it outranks everything.
    pub(super) ordered: bool,
}

/// A question as it was put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) ticket: Ticket,
    pub(super) invocation: Invocation,
    pub(super) at: Moment,
}

/// A fatal line of the instance.
#[derive(Clone, Copy)]
struct Doom {
    in_warmup: bool,
    confirmed: bool,
}

pub(super) struct Watch {
    pub(super) policy: Policy,
    /// The restart that is outstanding.
    pub(super) job: Option<Ticket>,
    /// An operator's stop that is in force: no restart may be asked for.
    pub(super) hands_off: bool,
    /// Where this instance's warm-up ends.
    pub(super) warm_until: Moment,
    killed: bool,
    /// systemd has said how the unit is, and could be asked since.
    visible: bool,
    /// systemd has said how the unit is since the agent began.
    read: bool,
    traffic: Option<TrafficSeen>,
    /// Since when nobody says what HAProxy does.
    silent_since: Option<Moment>,
    /// This coordinator gives permits.
    gives_permits: bool,
    /// Since when HAProxy has been seen to send it nothing.
    out_since: Option<Moment>,
    spent: BTreeSet<PermitId>,
    /// The last verdict of each probe was bad.
    failing: BTreeSet<usize>,
    /// Good verdicts in a row of each probe, since something last spoke against it.
    good: BTreeMap<usize, u32>,
    doom: Option<Doom>,
    /// Those that have said a fatal line before systemd has shown them.
    early: BTreeSet<Invocation>,
    /// When the last suspect line came.
    suspect_line: Option<Moment>,
    regular: Vec<Moment>,
    last_restart: Option<Moment>,
    mode_since: Moment,
}

impl Watch {
    pub(super) fn new(policy: Policy, now: Moment) -> Self {
        Self {
            policy,
            job: None,
            hands_off: false,
            warm_until: now,
            killed: false,
            visible: false,
            read: false,
            traffic: None,
            silent_since: Some(now),
            gives_permits: false,
            out_since: None,
            spent: BTreeSet::new(),
            failing: BTreeSet::new(),
            good: BTreeMap::new(),
            doom: None,
            early: BTreeSet::new(),
            suspect_line: None,
            regular: Vec::new(),
            last_restart: None,
            mode_since: now,
        }
    }

    /// The machine goes on as it was saved: what was outstanding is lost, and nobody has said anything yet.
    pub(super) fn resumed(&mut self, now: Moment) {
        (self.visible, self.read, self.traffic, self.out_since) = (false, false, None, None);
        (self.silent_since, self.gives_permits) = (Some(now), false);
    }

    /// The policy is another from now on.
    pub(super) fn reloaded(&mut self, now: Moment, policy: Policy, after: &View) {
        let before = std::mem::replace(&mut self.policy, policy);
        if self.policy.mode != before.mode {
            (self.regular, self.last_restart, self.mode_since) = (Vec::new(), None, now);
        }
        if let Some((_, started)) = after.instance.filter(|_| self.policy.warmup != before.warmup && now < self.warm_until) {
            self.warm_until = started.plus(self.policy.warmup);
        }
        // Probes that are the same keep their record.
        let same = |index: usize| self.policy.probes.get(index) == before.probes.get(index);
        self.failing.retain(|index| same(*index));
        self.good.retain(|index, _| same(*index));
    }

    /// Everything at once. `before`: how the machine showed itself after the input before.
    pub(super) fn look(&mut self, told: &Told<'_>, before: &View, after: &View, effects: &[Effect], next_wake: Option<Moment>) {
        let anew = before.instance != after.instance;
        if let (true, Some((_, started))) = (anew, after.instance) {
            self.warm_until = started.plus(self.policy.warmup);
            (self.failing, self.good) = (BTreeSet::new(), BTreeMap::new());
            // A permit is good for one new process.
            self.spent.extend(before.permit);
            // The journal may be faster than the bus.
            let early = after.instance.is_some_and(|(invocation, _)| self.early.remove(&invocation));
            self.doom = early.then(|| Doom { in_warmup: told.now < self.warm_until, confirmed: false });
        }
        self.learn(told, before, after);
        self.effects(told, before, after, effects);
        self.invariant_timers_always_advance(told.now, after, next_wake);
        self.invariant_an_operators_stop_is_never_overruled(after);
        self.invariant_unknown_wants_nothing(after);
        self.invariant_a_hold_keeps_no_fit_service_out(told.now, after);
        self.invariant_shadow_mode_wants_nothing(after);
        self.invariant_what_holds_it_up_is_said(after);
        self.invariant_an_incident_lasts_from_evidence_to_serving(after);
        match (told.input, told.asked) {
            (Input::Probed(Probed { verdict: Verdict::Bad, .. }), Some(asked)) => {
                self.invariant_a_failing_verdict_in_the_warm_up_is_not_counted(asked, before, after);
            }
            (Input::Probed(Probed { verdict: Verdict::Busy, .. }), _) => invariant_a_busy_answer_is_no_evidence(before, after),
            _ => {}
        }
    }

    fn learn(&mut self, told: &Told<'_>, before: &View, after: &View) {
        let now = told.now;
        match told.input {
            Input::Unit(_) => (self.visible, self.read) = (true, true),
            Input::UnitUnseen { .. } => self.visible = false,
            Input::Traffic(seen) => {
                self.traffic = *seen;
                self.gives_permits = seen.is_some_and(|seen| self.gives_permits || seen.waits || seen.permit.is_some());
                self.silent_since = match seen.map(|seen| seen.confirmed) {
                    Some(Confirmed::In | Confirmed::Out) => None,
                    Some(Confirmed::Unknown) | None => self.silent_since.or(Some(now)),
                };
                // What only HAProxy's own check keeps out may be in again at any moment.
                match seen.map(|seen| (seen.confirmed, seen.by)) {
                    Some((Confirmed::Out, Holder::Warden | Holder::Operator | Holder::Floor)) => {
                        self.out_since = self.out_since.or(Some(now));
                    }
                    Some((Confirmed::Out, Holder::Haproxy) | (Confirmed::In, _)) => self.out_since = None,
                    Some((Confirmed::Unknown, _)) | None => {}
                }
            }
            Input::Probed(Probed { verdict, .. }) => {
                let Some(Asked { question: Question::Probe(index), invocation, at, .. }) = told.asked else { return };
                let lost = self.policy.probes.get(index).is_none_or(|policy| at.plus(policy.timeout.times(2)).plus(LOST) <= now);
                if lost || after.instance.is_none_or(|(current, _)| current != invocation) {
                    return;
                }
                match verdict {
                    Verdict::Good => {
                        // It ends early when every probe has been good in it.
                        if matches!(before.state, ServiceState::Warming | ServiceState::Unknown) && before.state != after.state {
                            self.warm_until = self.warm_until.min(at);
                        }
                        // In a restart what is answered may have been asked too early to be waited for any more.
                        if before.state != ServiceState::Restarting {
                            self.failing.remove(&index);
                        }
                        *self.good.entry(index).or_default() += 1;
                    }
                    Verdict::Bad if at >= self.warm_until => {
                        self.failing.insert(index);
                        self.good.remove(&index);
                        if let Some(doom) = &mut self.doom {
                            doom.confirmed = true;
                        }
                    }
                    Verdict::Bad | Verdict::Busy => {}
                }
            }
            Input::LogHit(LogHit { invocation, pattern, .. }) => {
                let means = self.policy.patterns.get(*pattern).map(|policy| policy.means);
                if means == Some(Means::Suspect) {
                    self.suspect_line = Some(now);
                }
                if means != Some(Means::Fatal) {
                    return;
                }
                if before.instance.is_none_or(|(current, _)| current != *invocation) {
                    self.early.insert(*invocation);
                } else {
                    // What was proven is not warming up any more, however young it is.
                    let proven = matches!(before.state, ServiceState::Proving | ServiceState::Serving | ServiceState::Suspect);
                    let young = before.instance.is_some_and(|(_, started)| now < started.plus(self.policy.warmup));
                    let sure = self.doom.is_some_and(|doom| doom.confirmed || doom.in_warmup);
                    self.doom = Some(Doom { in_warmup: young && !proven, confirmed: sure || !self.failing.is_empty() });
                }
            }
            Input::Timer | Input::ProcessEnded { .. } | Input::JobEnded { .. } | Input::Memory { .. } | Input::Operator(_) => {}
        }
    }

    fn effects(&mut self, told: &Told<'_>, before: &View, after: &View, effects: &[Effect]) {
        let mut state = before.state;
        for (at, effect) in effects.iter().enumerate() {
            match effect {
                Effect::Probe { question: Question::Probe(_), .. } => self.invariant_the_warm_up_is_left_alone(told.now),
                Effect::Probe { question: Question::Depends(_), .. } | Effect::Dismissed { .. } => {}
                Effect::Restart { ticket, incident, cause, .. } => {
                    self.invariant_never_two_restarts_outstanding(*ticket);
                    self.invariant_nobody_restarts_blindly(told, before, state);
                    self.invariant_a_hold_restarts_nothing(told, after);
                    self.invariant_maintenance_restarts_nothing(told, after);
                    if incident.is_empty() {
                        self.invariant_a_planned_restart_leaves_first_and_has_leave(told, state, cause.label);
                    } else {
                        self.invariant_at_most_so_many_restarts_in_the_window(told.now, state);
                        self.invariant_suspect_evidence_asks_or_waits(told.now, after, evidence_of_restart(&effects[at..]));
                        self.invariant_a_fatal_line_alone_restarts_nothing(cause.label);
                    }
                    let told = effects[at..].iter().any(|effect| matches!(effect, Effect::Changed { to: ServiceState::Restarting, .. }));
                    assert!(told, "a restart without a word on it");
                }
                Effect::WouldRestart { incident, .. } => {
                    assert_eq!(self.policy.mode, Mode::Shadow);
                    if !incident.is_empty() {
                        self.invariant_at_most_so_many_restarts_in_the_window(told.now, state);
                    }
                }
                Effect::Kill { ticket } => self.invariant_only_a_restart_kills_and_once(*ticket),
                Effect::Changed { from, to, because, evidence, .. } => {
                    assert_eq!(*from, state, "changes follow each other");
                    assert!(!because.text.is_empty() && !because.text.ends_with('.') && !because.text.contains('\n'), "{because:?}");
                    state = *to;
                    self.invariant_no_failing_verdict_counts_in_the_warm_up(told.now, because.label);
                    self.invariant_live_traffic_only_raises_suspicion(before, after, *to, because.label);
                    if *to == ServiceState::Leaving {
                        self.begin_leaving(told);
                        self.invariant_a_roll_restarts_only_what_it_names(before, because.label);
                    }
                    if *to == ServiceState::Serving && *from != ServiceState::Suspect {
                        self.invariant_what_serves_was_proven_by_every_probe(because.label);
                    }
                    if matches!(to, ServiceState::Sick | ServiceState::Held) {
                        self.good.clear();
                    }
                    if *to == ServiceState::Parked {
                        let known = matches!(because.label, Label::RestartLimit | Label::FatalAnswer | Label::FatalPattern);
                        assert!(known && evidence.is_some(), "parked without a reason: {because:?}");
                    }
                }
                Effect::Anomaly { what } => assert!(!what.starts_with("refused"), "{what}"),
            }
        }
        assert_eq!(after.state, state, "every change of the state is told");
        self.invariant_delays_are_bounded(told.now, after, effects);
    }

    fn begin_leaving(&mut self, told: &Told<'_>) {
        self.invariant_nothing_planned_begins_unasked(told);
        let out = self.traffic.is_some_and(|seen| seen.confirmed == Confirmed::Out && seen.by == Holder::Operator);
        self.out_since = out.then_some(told.now);
    }

    /// Live traffic alone has a service looked at more closely: it takes out nothing and restarts nothing.
    fn invariant_live_traffic_only_raises_suspicion(&self, before: &View, after: &View, to: ServiceState, label: Label) {
        if label == Label::Witness {
            let named = self.traffic.and_then(|seen| seen.witness).map(|witness| witness.invocation);
            let runs = after.instance.map(|(invocation, _)| invocation);
            assert!(named.is_some() && named == runs, "traffic of {named:?} speaks against {runs:?}");
            assert_eq!((before.state, to), (ServiceState::Serving, ServiceState::Suspect), "for live traffic alone");
        }
    }

    /// A roll names the one instance that it is about.
    fn invariant_a_roll_restarts_only_what_it_names(&self, before: &View, label: Label) {
        if label == Label::Roll {
            let named = self.traffic.and_then(|seen| seen.roll);
            let runs = before.instance.map(|(invocation, _)| invocation);
            assert!(named.is_some() && named == runs, "a roll of {named:?} takes out {runs:?}");
        }
    }

    /// In a warm-up that is to be left alone nothing is probed.
    fn invariant_the_warm_up_is_left_alone(&self, now: Moment) {
        assert!(self.policy.probe_during_warmup || now >= self.warm_until, "a probe in the warm-up");
    }

    /// No failing verdict counts in the warm-up: nothing follows from one.
    fn invariant_no_failing_verdict_counts_in_the_warm_up(&self, now: Moment, label: Label) {
        if matches!(label, Label::ProbeFailing | Label::ProbeFailed | Label::FatalAnswer | Label::NotProvenInTime) {
            assert!(now >= self.warm_until, "{label:?} in the warm-up");
        }
    }

    /// No failing verdict counts in the warm-up: none is even remembered.
    fn invariant_a_failing_verdict_in_the_warm_up_is_not_counted(&self, asked: Asked, before: &View, after: &View) {
        let Question::Probe(index) = asked.question else { return };
        if asked.at < self.warm_until && before.state == after.state {
            let [before, after] = [before, after].map(|view| view.probes.get(index).map(|tally| (tally.good_in_row, tally.bad)));
            assert_eq!(after, before, "it was asked in the warm-up");
        }
    }

    /// What serves was proven: every probe has been good as often in a row as is asked, since something last spoke against it.
    fn invariant_what_serves_was_proven_by_every_probe(&self, label: Label) {
        // A line that was dismissed, and a way out that came to nothing, take it back to where it was.
        if matches!(label, Label::Proven | Label::Recovered) {
            for (index, policy) in self.policy.probes.iter().enumerate() {
                let good = self.good.get(&index).copied().unwrap_or_default();
                assert!(good >= policy.successes, "probe {index} was good {good} times: {label:?}");
            }
        }
    }

    /// Never two restarts outstanding.
    fn invariant_never_two_restarts_outstanding(&mut self, ticket: Ticket) {
        assert_eq!(self.policy.mode, Mode::Supervise, "a restart in shadow mode");
        assert_eq!(self.job, None, "two restarts outstanding");
        (self.job, self.killed) = (Some(ticket), false);
    }

    /// A kill belongs to the restart that is outstanding, and comes once.
    fn invariant_only_a_restart_kills_and_once(&mut self, ticket: Ticket) {
        assert_eq!(self.job, Some(ticket), "a kill without a restart");
        assert!(!self.killed, "a second kill");
        self.killed = true;
    }

    /// Unknown changes nothing: nothing is restarted while systemd does not answer, nor from a state that nobody has judged yet.
    fn invariant_nobody_restarts_blindly(&self, told: &Told<'_>, before: &View, state: ServiceState) {
        assert!(self.visible, "a restart while systemd does not answer");
        let judged = !matches!(state, ServiceState::Stopped | ServiceState::Held | ServiceState::Maintenance | ServiceState::Unknown);
        // A unit that systemd gave up is ours to restart from wherever it was, also when a hold or a mark on it has just ended.
        let ended = before.instance.is_none() && matches!(state, ServiceState::Held | ServiceState::Maintenance);
        let failed = matches!(told.input, Input::Unit(_) | Input::JobEnded { .. });
        assert!(told.ordered || judged || failed || ended, "a restart while {state}");
    }

    /// Unknown changes nothing: what is planned does not begin while systemd does not answer, or without a coordinator's leave.
    fn invariant_nothing_planned_begins_unasked(&self, told: &Told<'_>) {
        assert!(self.visible, "a way out while systemd does not answer");
        let leave = self.traffic.and_then(|seen| seen.permit).is_some_and(|permit| !self.spent.contains(&permit));
        assert!(told.ordered || !self.policy.coordinated || leave, "a way out without leave");
        assert!(told.ordered || self.policy.mode == Mode::Supervise, "a way out in shadow mode");
    }

    /// Unknown changes nothing: what nobody has judged keeps its traffic as it is, and wants no restart.
    fn invariant_unknown_wants_nothing(&self, after: &View) {
        if after.state == ServiceState::Unknown && after.mark.is_none() {
            assert_eq!((after.traffic, after.restart), (Traffic::Keep, RestartWish::No));
        }
    }

    /// A hold restarts nothing, of whatever kind.
    fn invariant_a_hold_restarts_nothing(&self, told: &Told<'_>, after: &View) {
        let down = after.depends.iter().any(|dependency| dependency.up == Some(false));
        assert!(told.ordered || !down, "a restart while something that it depends on is down");
    }

    /// Blocking only ever blocks taking out: a hold takes nothing out, and what its own probes show to be fit is put back.
    fn invariant_a_hold_keeps_no_fit_service_out(&self, now: Moment, after: &View) {
        if after.state == ServiceState::Held && after.mark.is_none() && self.policy.mode == Mode::Supervise {
            let fit = after.instance.is_some() && after.probes.iter().all(|tally| tally.good_in_row >= tally.needed_good);
            assert_ne!(after.traffic, Traffic::Out, "a hold takes nothing out");
            let lines = self.suspect_line.is_some_and(|at| now.since(at) <= bench::WINDOW);
            assert!(!fit || after.traffic == Traffic::In || lines, "fit, and kept out by a hold: {after:?}");
        }
    }

    /// An operator's stop is never overruled.
    fn invariant_an_operators_stop_is_never_overruled(&self, after: &View) {
        // An agent that has just begun has not seen it yet.
        if self.hands_off && self.read {
            let stands = matches!(after.state, ServiceState::Stopped | ServiceState::Maintenance);
            assert!(stands, "an operator's stop stands: {after:?}");
        }
    }

    /// While a maintenance mark stands nothing is restarted, but on a person's word.
    fn invariant_maintenance_restarts_nothing(&self, told: &Told<'_>, after: &View) {
        let marked = after.mark.as_ref().is_some_and(|mark| mark.kind == MarkKind::Maintenance);
        assert!(told.ordered || !marked, "a restart in maintenance");
        assert!(told.ordered || !self.hands_off, "a restart of what an operator stopped");
    }

    /// At most the configured restarts in a window; what is beyond them is a trial, and those are far apart.
    fn invariant_at_most_so_many_restarts_in_the_window(&mut self, now: Moment, state: ServiceState) {
        let policy = self.policy.restart;
        let spaced = self.last_restart.is_none_or(|last| now.since(last) >= policy.trial_every);
        self.regular.retain(|at| now.since(*at) < policy.window);
        if state == ServiceState::Parked {
            assert!(spaced, "a trial too early");
        } else {
            let restarts = self.regular.len();
            assert!(restarts < policy.limit as usize, "{restarts} restarts in {}, and one more", policy.window);
            self.regular.push(now);
        }
        self.last_restart = Some(now);
    }

    /// Suspect evidence restarts only what is out and may be, or alone when nobody has answered for long enough.
    fn invariant_suspect_evidence_asks_or_waits(&self, now: Moment, after: &View, evidence: Option<Evidence>) {
        if evidence != Some(Evidence::Suspect) || !self.policy.coordinated || after.instance.is_none() {
            return;
        }
        match self.traffic.filter(|seen| seen.confirmed != Confirmed::Unknown) {
            Some(seen) => {
                assert_eq!(seen.confirmed, Confirmed::Out, "restarted on suspicion, in rotation");
                assert!(matches!(seen.by, Holder::Warden | Holder::Haproxy), "restarted on suspicion, under somebody's hand");
                let permit = seen.permit.is_some_and(|permit| !self.spent.contains(&permit));
                assert!(permit || !self.gives_permits, "restarted on suspicion, without a permit");
            }
            None => {
                let silent = self.silent_since.map(|since| now.since(since)).unwrap_or_default();
                assert!(silent >= self.policy.coordinator_silent_for, "alone after {silent}");
            }
        }
    }

    /// A fatal line alone restarts nothing but in the warm-up: outside of it a probe has to fail first.
    fn invariant_a_fatal_line_alone_restarts_nothing(&self, label: Label) {
        if label == Label::FatalPattern {
            assert!(self.doom.is_some_and(|doom| doom.in_warmup || doom.confirmed), "a line alone has restarted it");
        }
    }

    /// A planned restart goes out of rotation first, waits for the requests in flight, and has leave to the last.
    fn invariant_a_planned_restart_leaves_first_and_has_leave(&self, told: &Told<'_>, state: ServiceState, cause: Label) {
        if told.ordered {
            return;
        }
        assert_eq!(state, ServiceState::Leaving, "a planned restart without a way out");
        if !self.policy.coordinated {
            return;
        }
        let recycling = matches!(cause, Label::RecycleAge | Label::RecycleMemory | Label::Roll);
        let Some(out_since) = self.out_since else {
            let alone = self.traffic.is_none() && self.silent_since.is_some_and(|since| told.now.since(since) >= COUNTED_WITHIN);
            assert!(!recycling && alone, "a planned restart of what is in rotation");
            return;
        };
        if let Some(seen) = self.traffic {
            let permit = seen.permit.is_some_and(|permit| !self.spent.contains(&permit));
            assert!(!recycling || permit, "a planned restart whose permit is gone");
        }
        let drain = self.policy.stop.drain;
        let waited = told.now.since(out_since);
        match self.traffic.map(|seen| seen.sessions) {
            Some(Some(0)) => {}
            Some(Some(_)) => assert!(waited >= drain, "requests were cut off after {waited}"),
            Some(None) | None => assert!(waited >= drain.min(COUNTED_WITHIN), "not waited for requests"),
        }
    }

    /// In shadow mode nothing is wanted of the balancer, and no restart is announced.
    fn invariant_shadow_mode_wants_nothing(&self, after: &View) {
        if self.policy.mode == Mode::Shadow {
            assert_eq!((after.traffic, after.restart), (Traffic::Keep, RestartWish::No), "shadow mode wants nothing");
        } else if after.mark.is_none() && after.state != ServiceState::Held {
            assert_eq!(after.traffic, after.state.wants());
        }
    }

    /// Never silently for ever: whatever is not fit says what holds it up, and what is to be restarted when or what for.
    fn invariant_what_holds_it_up_is_said(&self, after: &View) {
        use ServiceState::{Leaving, Parked, Restarting, Serving, Sick, Suspect, Waiting};
        let shut = after.gates.iter().any(|gate| gate.status == GateStatus::Shut);
        assert!(matches!(after.state, Serving | Suspect | Leaving) || shut, "nothing holds it up: {after:?}");
        assert!(after.gates.iter().all(|gate| !gate.text.is_empty() && !gate.text.ends_with('.')), "{:?}", after.gates);
        if matches!(after.state, Sick | Waiting | Parked | Leaving) {
            assert!(after.next.is_some() || after.waits_for.is_some(), "for ever: {after:?}");
        }
        if matches!(after.state, Sick | Waiting | Parked | Restarting) {
            assert!(after.last_restart.is_some() || matches!(after.state, Sick | Waiting), "{after:?}");
        }
    }

    /// An incident lasts from the first evidence until it serves again or is stopped.
    fn invariant_an_incident_lasts_from_evidence_to_serving(&self, after: &View) {
        match after.state {
            ServiceState::Serving | ServiceState::Stopped => assert_eq!(after.incident, None, "{after:?}"),
            ServiceState::Suspect | ServiceState::Sick | ServiceState::Waiting | ServiceState::Parked => {
                assert!(after.incident.is_some(), "{after:?}");
            }
            ServiceState::Unknown
            | ServiceState::Starting
            | ServiceState::Warming
            | ServiceState::Proving
            | ServiceState::Restarting
            | ServiceState::Held
            | ServiceState::Leaving
            | ServiceState::Maintenance => {}
        }
    }

    /// A handled timer always moves on.
    fn invariant_timers_always_advance(&self, now: Moment, after: &View, next_wake: Option<Moment>) {
        if let Some(at) = next_wake {
            assert!(at > now, "a handled timer moves on: {at:?} is not after {now:?} in {after:?}");
        }
    }

    /// No restart on fatal evidence is put off for longer than its back-off, or than it takes to ask what it depends on.
    fn invariant_delays_are_bounded(&self, now: Moment, after: &View, effects: &[Effect]) {
        let last = effects.iter().rev().find_map(|effect| match effect {
            Effect::Changed { to, evidence, .. } => Some((*to, *evidence)),
            _ => None,
        });
        if last != Some((ServiceState::Waiting, Some(Evidence::Fatal))) {
            return;
        }
        let asking = self.policy.depends.iter().map(|probe| probe.timeout.max(probe.every_in_doubt).times(u64::from(probe.failures) + 1));
        let shadow = if self.policy.mode == Mode::Shadow { 1_000 } else { 100 };
        let gate = now.plus(asking.max().unwrap_or_default()).plus(Span::from_millis(shadow));
        if let Some(next) = after.next {
            let most = now.plus(self.policy.restart.max_delay).max(gate);
            assert!(next.at <= most, "waits until {next:?}");
        }
    }
}

/// Overload is no sickness: a busy answer counts neither way.
fn invariant_a_busy_answer_is_no_evidence(before: &View, after: &View) {
    if before.state == after.state {
        let counted = |view: &View| view.probes.iter().map(|tally| (tally.good_in_row, tally.bad)).collect::<Vec<_>>();
        assert_eq!(counted(after), counted(before), "a busy answer counted");
    }
}

/// The evidence behind the restart that these effects begin with.
fn evidence_of_restart(effects: &[Effect]) -> Option<Evidence> {
    effects.iter().find_map(|effect| match effect {
        Effect::Changed { to: ServiceState::Restarting, evidence, .. } => *evidence,
        _ => None,
    })
}
