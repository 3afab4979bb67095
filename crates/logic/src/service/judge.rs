//! What probes and log lines mean in each state.

use super::beat::Asked;
use super::input::{Effect, Probed, Question};
use super::precedence::Claim;
use super::state::{Back, Doubt, Proving, State, Trouble};
use super::tally::counted;
use super::{Machine, Turn};
use crate::moment::{Moment, Span};
use crate::reason::Reason;
use warden_protocol::vocab::{Evidence, ServiceState, Verdict};

/// When all probes pass for so long after a fatal line, the line is dismissed.
const DOUBT: Span = Span::from_secs(1);

impl Machine {
    pub(super) fn probed(&mut self, turn: &mut Turn, probed: &Probed) {
        let Some((question, asked)) = self.answered(probed.ticket) else {
            if self.never_given(probed.ticket) {
                self.anomaly(turn, "the answer of a probe that was never sent");
            }
            return;
        };
        match question {
            Question::Depends(index) => self.dependency_answered(index, asked, probed),
            Question::Probe(index) => self.service_answered(turn, index, asked, probed),
        }
    }

    fn service_answered(&mut self, turn: &mut Turn, index: usize, asked: Asked, probed: &Probed) {
        let Some(instance) = self.instance.filter(|instance| instance.invocation == asked.invocation) else { return };
        if probed.fatal && probed.verdict != Verdict::Bad {
            return self.anomaly(turn, "a fatal answer that is not bad");
        }
        if probed.verdict == Verdict::Bad && asked.at < instance.warm_until {
            return;
        }
        let Some(probe) = self.probes.get_mut(index) else { return };
        probe.tally.record(probed.verdict);
        match probed.verdict {
            Verdict::Good => self.good(turn, asked),
            Verdict::Busy => self.busy(turn.now),
            Verdict::Bad if probed.fatal => self.fatal_answer(turn, &probed.text),
            Verdict::Bad => self.bad(turn, index, &probed.text, asked.at),
        }
    }

    /// No probe has confirmed a fatal line.
    pub(super) fn dismiss(&mut self, turn: &mut Turn, trouble: &Trouble, doubt: &Doubt) {
        let reason = Reason::fatal_dismissed(&trouble.cause, doubt.passed);
        self.dismissed = self.dismissed.saturating_add(1);
        self.forget_fatal_lines();
        turn.push(Effect::Dismissed { because: reason.clone() });
        match doubt.back {
            Back::Serving { healthy_since } => self.enter(turn, State::Serving { healthy_since }, reason, None),
            Back::Proving if self.content(turn.now) => {
                self.enter(turn, State::Serving { healthy_since: turn.now }, reason, None);
            }
            Back::Proving | Back::Unknown => self.prove(turn, reason),
        }
    }

    pub(super) fn not_proven(&mut self, turn: &mut Turn, proving: &Proving) {
        let cause = Reason::not_proven_in_time(self.prove_within(turn.now), proving.last_bad.as_deref());
        self.sick(turn, Evidence::Suspect, cause, None);
    }

    /// Every probe has shown as much as it must, and no line in the log speaks against it.
    pub(super) fn content(&self, now: Moment) -> bool {
        (0..self.probes.len()).all(|index| self.good_of(index) >= self.needed(index, now)) && !self.suspect_lines_stand(now)
    }

    /// Some probe has not been good since it became sick, or the log goes on saying so.
    pub(super) fn still_failing(&self, now: Moment) -> bool {
        self.probes.iter().any(|probe| probe.tally.good() == 0) || self.suspect_lines_stand(now)
    }

    /// Good verdicts in a row of the probe that has the fewest.
    pub(super) fn fewest_good(&self) -> u32 {
        self.probes.iter().map(|probe| probe.tally.good()).min().unwrap_or(0)
    }

    /// By then every probe that is to prove it has answered once more.
    fn round(&self) -> Span {
        let each = self
            .policy
            .probes
            .iter()
            .map(|policy| Span::from_micros(policy.every_in_doubt.as_micros().saturating_add(policy.timeout.as_micros())));
        each.max().unwrap_or_default()
    }

    fn good_of(&self, index: usize) -> u32 {
        self.probes.get(index).map_or(0, |probe| probe.tally.good())
    }

    fn good(&mut self, turn: &mut Turn, asked: Asked) {
        let now = turn.now;
        let content = self.content(now);
        let still_failing = self.still_failing(now);
        let (good, probes) = (self.fewest_good(), self.probes.len());
        let next_answer = now.plus(self.round());
        match &mut self.state {
            State::Unknown => {
                if content {
                    self.warm_at_the_latest(asked.at);
                    self.enter(turn, State::Serving { healthy_since: now }, Reason::proven_again(good, probes), None);
                }
            }
            State::Warming { .. } => self.cut_warmup_short(turn, asked),
            State::Proving(proving) => {
                proving.last_answer = now;
                // Whose answers are all good is not given up for the want of another.
                if proving.last_bad.is_none() {
                    proving.by = proving.by.max(next_answer);
                }
                self.proven(turn);
            }
            State::Suspect { .. } => self.lift_suspicion(turn, Reason::recovered()),
            State::Sick { doubt: Some(doubt), .. } => doubt.passed = doubt.passed.saturating_add(1),
            State::Sick { trouble, doubt: None } | State::Waiting { trouble, .. } | State::Parked { trouble, .. } => {
                trouble.failed_while_out &= still_failing;
                if content {
                    let reason = Reason::recovered_before_restart(good, probes);
                    self.enter(turn, State::Serving { healthy_since: now }, reason, None);
                }
            }
            State::Stopped
            | State::Starting
            | State::Serving { .. }
            | State::Restarting { .. }
            | State::Held
            | State::Leaving(_)
            | State::Maintenance => {}
        }
    }

    /// A warm-up ends early once every probe has been good in it.
    fn cut_warmup_short(&mut self, turn: &mut Turn, asked: Asked) {
        if self.probes.iter().any(|probe| probe.tally.good() == 0) {
            return;
        }
        let Some(instance) = self.instance else { return };
        self.warm_at_the_latest(asked.at);
        self.prove(turn, Reason::warmup_cut_short(turn.now.since(instance.started)));
        self.proven(turn);
    }

    /// The warm-up is over by then: failing verdicts count from now on.
    fn warm_at_the_latest(&mut self, by: Moment) {
        if let Some(instance) = &mut self.instance {
            instance.warm_until = instance.warm_until.min(by);
        }
    }

    fn proven(&mut self, turn: &mut Turn) {
        if matches!(self.state, State::Proving(_)) && self.content(turn.now) {
            let warmed = self.instance.map_or(Span::ZERO, |instance| instance.warm_until.since(instance.started));
            let reason = Reason::proven(self.fewest_good(), self.probes.len(), warmed);
            self.enter(turn, State::Serving { healthy_since: turn.now }, reason, None);
        }
    }

    /// Back to serving, unless something still speaks against it.
    pub(super) fn lift_suspicion(&mut self, turn: &mut Turn, because: Reason) {
        let State::Suspect { healthy_since } = self.state else { return };
        if !self.some_probe_fails() && !self.suspicion_stands(turn.now) {
            self.enter(turn, State::Serving { healthy_since }, because, None);
        }
    }

    /// The last verdict of some probe was bad.
    pub(super) fn some_probe_fails(&self) -> bool {
        self.probes.iter().any(|probe| probe.tally.failing())
    }

    /// No evidence either way.
    fn busy(&mut self, now: Moment) {
        match &mut self.state {
            State::Proving(proving) => {
                proving.by = proving.by.plus(now.since(proving.last_answer));
                proving.last_answer = now;
            }
            // It answers, so it is not dead.
            State::Sick { doubt: Some(doubt), .. } => doubt.passed = doubt.passed.saturating_add(1),
            State::Unknown
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Sick { doubt: None, .. }
            | State::Restarting { .. }
            | State::Waiting { .. }
            | State::Parked { .. }
            | State::Held
            | State::Leaving(_)
            | State::Maintenance => {}
        }
    }

    /// A probe that was asked for at `asked` has failed.
    fn bad(&mut self, turn: &mut Turn, index: usize, what: &str, asked: Moment) {
        let Some((policy, probe)) = self.policy.probes.get(index).zip(self.probes.get(index)) else { return };
        let (sick, bad) = (probe.tally.sick(policy), probe.tally.bad(policy));
        let (count, in_a_row) = (counted(bad, policy), policy.failures == policy.of);
        let decides = sick && self.yields_to(Claim::Suspect);
        match &mut self.state {
            State::Unknown | State::Serving { .. } | State::Suspect { .. } | State::Leaving(_) | State::Parked { .. } if decides => {
                let cause = Reason::probe_failed(what, bad, (!in_a_row).then_some(policy.of));
                self.sick(turn, Evidence::Suspect, cause, None);
            }
            State::Serving { .. } | State::Suspect { .. } => self.suspicion(turn, Reason::probe_failing(what, &count)),
            State::Proving(proving) => {
                proving.last_answer = turn.now;
                proving.last_bad = Some(what.to_owned());
            }
            State::Sick { trouble, doubt: Some(_) } => {
                let cause = trouble.cause.clone().confirmed_by(what);
                self.confirmed(cause);
            }
            State::Sick { trouble, doubt: None } | State::Waiting { trouble, .. } | State::Parked { trouble, .. } => {
                trouble.failed_while_out |= trouble.out_since.is_some_and(|since| asked >= since);
            }
            State::Unknown
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Restarting { .. }
            | State::Held
            | State::Leaving(_)
            | State::Maintenance => {}
        }
    }

    /// Too little to act upon: it stays in rotation and is looked at more closely.
    pub(super) fn suspicion(&mut self, turn: &mut Turn, reason: Reason) {
        match self.state {
            State::Serving { healthy_since } => {
                self.enter(turn, State::Suspect { healthy_since }, reason, Some(Evidence::Suspect));
            }
            State::Suspect { .. } => self.reason = reason,
            State::Unknown
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Proving(_)
            | State::Sick { .. }
            | State::Restarting { .. }
            | State::Waiting { .. }
            | State::Parked { .. }
            | State::Held
            | State::Leaving(_)
            | State::Maintenance => {}
        }
    }

    /// Enough lines in the log say that it is sick; the last was written at `at`. They do not confirm a fatal one: whoever
    /// can forge the one can forge the other.
    pub(super) fn suspect_evidence(&mut self, turn: &mut Turn, cause: Reason, at: Moment) {
        let decides = self.yields_to(Claim::Suspect);
        match &mut self.state {
            State::Unknown | State::Serving { .. } | State::Suspect { .. } | State::Leaving(_) | State::Parked { .. } if decides => {
                self.sick(turn, Evidence::Suspect, cause, None);
            }
            State::Proving(proving) => proving.last_bad = Some(cause.text),
            State::Sick { trouble, doubt: None } | State::Waiting { trouble, .. } | State::Parked { trouble, .. } => {
                trouble.failed_while_out |= trouble.out_since.is_some_and(|since| at >= since);
            }
            State::Unknown
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Leaving(_)
            | State::Sick { doubt: Some(_), .. }
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Restarting { .. }
            | State::Held
            | State::Maintenance => {}
        }
    }

    fn fatal_answer(&mut self, turn: &mut Turn, answer: &str) {
        self.prove_anew();
        if let State::Sick { trouble, doubt: Some(_) } = &self.state {
            let cause = trouble.cause.clone().confirmed_by(answer);
            return self.confirmed(cause);
        }
        if !self.yields_to(Claim::Fatal) {
            return;
        }
        let cause = Reason::fatal_answer(answer);
        match &self.state {
            State::Unknown | State::Proving(_) | State::Serving { .. } | State::Suspect { .. } | State::Leaving(_) => {
                self.sick(turn, Evidence::Fatal, cause, None);
            }
            State::Sick { .. } | State::Waiting { .. } | State::Parked { .. } => self.worse(turn, cause),
            State::Stopped | State::Starting | State::Warming { .. } | State::Restarting { .. } | State::Held | State::Maintenance => {}
        }
    }

    pub(super) fn fatal_line(&mut self, turn: &mut Turn, line: &str) {
        self.prove_anew();
        if !self.yields_to(Claim::Fatal) {
            return;
        }
        let cause = Reason::fatal_pattern(line);
        let young = self.instance.is_some_and(|instance| turn.now < instance.warm_until);
        let back = match &self.state {
            // Nothing is probed then, so it stands by itself.
            State::Warming { .. } => None,
            State::Unknown | State::Leaving(_) if young => None,
            State::Unknown | State::Proving(_) => Some(Back::Proving),
            State::Serving { healthy_since } | State::Suspect { healthy_since } => Some(Back::Serving { healthy_since: *healthy_since }),
            // Probes fail already: they confirm it.
            State::Sick { .. } | State::Waiting { .. } | State::Parked { .. } if self.some_probe_fails() => return self.worse(turn, cause),
            // It was taken for sick by lines alone, or for want of good answers.
            State::Sick { .. } => Some(Back::Proving),
            // Its restart comes anyway.
            State::Waiting { .. } | State::Parked { .. } => return,
            State::Leaving(leaving) => Some(leaving.back.clone()),
            State::Stopped | State::Starting | State::Restarting { .. } | State::Held | State::Maintenance => return,
        };
        let doubt = back.map(|back| Doubt { until: turn.now.plus(DOUBT), passed: 0, back });
        // The probe that confirms it is asked for after the line; one that is on its way asked too early.
        self.ask_all_anew();
        self.sick(turn, Evidence::Fatal, cause, doubt);
    }

    /// No probe that was asked in the time of the doubt is on its way: such a one has the last word.
    pub(super) fn doubt_is_answered(&self, doubt: &Doubt) -> bool {
        doubt.passed > 0 && !self.probes.iter().any(|probe| probe.beat.asked_before(doubt.until))
    }

    fn sick(&mut self, turn: &mut Turn, evidence: Evidence, cause: Reason, doubt: Option<Doubt>) {
        let trouble = Trouble { alone_delay: self.alone_delay(turn.roll), ..Trouble::new(turn.now, cause.clone(), evidence) };
        self.prove_anew();
        self.ask_dependencies_anew();
        self.enter(turn, State::Sick { trouble, doubt }, cause, Some(evidence));
    }

    /// What was good before does not show that it is well again.
    pub(super) fn prove_anew(&mut self) {
        for probe in &mut self.probes {
            probe.tally.doubt();
        }
    }

    /// The doubt is over: it is as sick as the line said. The restart follows in this very turn, unless a gate is shut;
    /// then the view says why it is sick in these words.
    fn confirmed(&mut self, cause: Reason) {
        self.prove_anew();
        if let State::Sick { trouble, doubt } = &mut self.state {
            *doubt = None;
            trouble.cause = cause.clone();
            self.reason = cause;
        }
    }

    /// Suspect evidence became fatal.
    fn worse(&mut self, turn: &mut Turn, cause: Reason) {
        let mut state = self.state.clone();
        let Some(trouble) = state.trouble_mut().filter(|trouble| trouble.evidence != Evidence::Fatal) else { return };
        trouble.evidence = Evidence::Fatal;
        trouble.cause = cause.clone();
        self.enter(turn, state, cause, Some(Evidence::Fatal));
    }

    /// A state was entered: what the probes said before counts no more once it is proven.
    pub(super) fn settle_tallies(&mut self, from: ServiceState, to: ServiceState) {
        if to == ServiceState::Serving && from != ServiceState::Suspect {
            for probe in &mut self.probes {
                probe.tally.forgive();
            }
        }
    }
}
