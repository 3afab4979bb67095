//! What probes and log lines mean in each state.

use super::beat::Asked;
use super::input::{Effect, LogHit, Means, Probed};
use super::state::{Back, Doubt, Proving, State, Trouble};
use super::{Machine, Turn};
use crate::moment::{Moment, Span};
use crate::reason::Reason;
use warden_protocol::vocab::{Evidence, Verdict};

/// When all probes pass for so long after a fatal line, the line is dismissed.
const DOUBT: Span = Span::from_secs(1);

impl Machine {
    pub(super) fn probed(&mut self, turn: &mut Turn, probed: &Probed) {
        let Some(asked) = self.beat.answered(probed.ticket) else {
            if self.never_given(probed.ticket) {
                self.anomaly(turn, "the answer of a probe that was never sent");
            }
            return;
        };
        let Some(instance) = self.instance.filter(|instance| instance.invocation == asked.invocation) else { return };
        match (probed.verdict, probed.fatal) {
            (Verdict::Good, false) => self.good(turn, asked),
            (Verdict::Busy, false) => self.busy(turn.now),
            (Verdict::Bad, _) if asked.at < instance.warm_until => {}
            (Verdict::Bad, false) => self.bad(turn, &probed.text, asked.at),
            (Verdict::Bad, true) => self.fatal_answer(turn, &probed.text),
            (Verdict::Good | Verdict::Busy, true) => self.anomaly(turn, "a fatal answer that is not bad"),
        }
    }

    pub(super) fn log_hit(&mut self, turn: &mut Turn, hit: LogHit) {
        let Some(instance) = self.instance.filter(|instance| instance.invocation == hit.invocation) else {
            // Of an older instance, or of one that systemd shows in a moment: kept for that case alone.
            self.early_hit = Some(hit);
            return;
        };
        match hit.means {
            Means::Fatal => self.fatal_line(turn, &hit.line),
            Means::Suspect if turn.now < instance.warm_until => {}
            Means::Suspect => self.bad(turn, &Reason::line(&hit.line), hit.at),
            Means::Recovered => self.says_recovered(turn, &hit.line),
        }
    }

    /// No probe has confirmed a fatal line.
    pub(super) fn dismiss(&mut self, turn: &mut Turn, trouble: &Trouble, doubt: &Doubt) {
        let reason = Reason::fatal_dismissed(&trouble.cause, doubt.passed);
        self.dismissed += 1;
        turn.push(Effect::Dismissed { because: reason.clone() });
        match doubt.back {
            Back::Serving { healthy_since } => self.enter(turn, State::Serving { healthy_since }, reason, None),
            Back::Proving if trouble.good >= self.policy.probe.successes => {
                self.enter(turn, State::Serving { healthy_since: turn.now }, reason, None);
            }
            Back::Proving => {
                let by = turn.now.plus(self.policy.prove_within);
                let proving = Proving { by, last_answer: turn.now, good: trouble.good, last_bad: None };
                self.enter(turn, State::Proving(proving), reason, None);
            }
        }
    }

    pub(super) fn not_proven(&mut self, turn: &mut Turn, proving: &Proving) {
        let cause = Reason::not_proven_in_time(self.policy.prove_within, proving.last_bad.as_deref());
        self.sick(turn, Evidence::Suspect, cause, None);
    }

    fn good(&mut self, turn: &mut Turn, asked: Asked) {
        let enough = self.policy.probe.successes;
        let now = turn.now;
        match &mut self.state {
            State::Unknown { good, bad } => {
                *bad = 0;
                *good += 1;
                if *good >= enough {
                    let reason = Reason::proven_again(*good);
                    self.enter(turn, State::Serving { healthy_since: now }, reason, None);
                }
            }
            State::Warming { .. } => self.cut_warmup_short(turn, asked),
            State::Proving(proving) => {
                proving.last_answer = now;
                proving.good += 1;
                self.proven(turn);
            }
            State::Suspect { healthy_since, .. } => {
                let healthy_since = *healthy_since;
                self.enter(turn, State::Serving { healthy_since }, Reason::recovered(), None);
            }
            State::Sick { trouble, doubt: Some(doubt) } => {
                trouble.good += 1;
                doubt.passed += 1;
            }
            State::Sick { trouble, doubt: None } | State::Waiting { trouble, .. } | State::Parked { trouble, .. } => {
                trouble.good += 1;
                trouble.failed_while_out = false;
                if trouble.good >= enough {
                    let reason = Reason::recovered_before_restart(trouble.good);
                    self.enter(turn, State::Serving { healthy_since: now }, reason, None);
                }
            }
            State::Stopped | State::Starting | State::Serving { .. } | State::Restarting { .. } => {}
        }
    }

    fn cut_warmup_short(&mut self, turn: &mut Turn, asked: Asked) {
        let Some(instance) = self.instance.as_mut() else { return };
        instance.warm_until = asked.at;
        let after = turn.now.since(instance.started);
        self.prove(turn, Reason::warmup_cut_short(after));
        if let State::Proving(proving) = &mut self.state {
            proving.good = 1;
            self.proven(turn);
        }
    }

    fn proven(&mut self, turn: &mut Turn) {
        let State::Proving(proving) = &self.state else { return };
        if proving.good >= self.policy.probe.successes {
            let warmed = self.instance.map_or(Span::ZERO, |instance| instance.warm_until.since(instance.started));
            let reason = Reason::proven(proving.good, warmed);
            self.enter(turn, State::Serving { healthy_since: turn.now }, reason, None);
        }
    }

    /// No evidence either way.
    fn busy(&mut self, now: Moment) {
        match &mut self.state {
            State::Proving(proving) => {
                proving.by = proving.by.plus(now.since(proving.last_answer));
                proving.last_answer = now;
            }
            // It answers, so it is not dead.
            State::Sick { doubt: Some(doubt), .. } => doubt.passed += 1,
            State::Unknown { .. }
            | State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Serving { .. }
            | State::Suspect { .. }
            | State::Sick { doubt: None, .. }
            | State::Restarting { .. }
            | State::Waiting { .. }
            | State::Parked { .. } => {}
        }
    }

    /// One failure: of a probe asked for at `asked`, or told by the log.
    fn bad(&mut self, turn: &mut Turn, what: &str, asked: Moment) {
        let failures = self.policy.probe.failures;
        match &mut self.state {
            State::Unknown { good, bad } => {
                *good = 0;
                *bad += 1;
                if *bad >= failures {
                    let cause = Reason::probe_failed(what, *bad);
                    self.sick(turn, Evidence::Suspect, cause, None);
                }
            }
            State::Proving(proving) => {
                proving.last_answer = turn.now;
                proving.good = 0;
                proving.last_bad = Some(what.to_owned());
            }
            State::Serving { healthy_since } => {
                let healthy_since = *healthy_since;
                self.failing(turn, what, healthy_since, 1);
            }
            State::Suspect { healthy_since, bad } => {
                let (healthy_since, bad) = (*healthy_since, *bad + 1);
                self.failing(turn, what, healthy_since, bad);
            }
            State::Sick { trouble, doubt: Some(_) } => {
                let cause = trouble.cause.clone().confirmed_by(what);
                self.confirmed(cause);
            }
            State::Sick { trouble, doubt: None } | State::Waiting { trouble, .. } | State::Parked { trouble, .. } => {
                trouble.good = 0;
                trouble.failed_while_out |= trouble.out_since.is_some_and(|since| asked >= since);
            }
            State::Stopped | State::Starting | State::Warming { .. } | State::Restarting { .. } => {}
        }
    }

    fn failing(&mut self, turn: &mut Turn, what: &str, healthy_since: Moment, bad: u32) {
        let failures = self.policy.probe.failures;
        if bad >= failures {
            return self.sick(turn, Evidence::Suspect, Reason::probe_failed(what, bad), None);
        }
        let reason = Reason::probe_failing(what, bad, failures);
        if let State::Suspect { bad: count, .. } = &mut self.state {
            *count = bad;
            self.reason = reason;
        } else {
            self.enter(turn, State::Suspect { healthy_since, bad }, reason, Some(Evidence::Suspect));
        }
    }

    fn fatal_answer(&mut self, turn: &mut Turn, answer: &str) {
        match &self.state {
            State::Unknown { .. } | State::Proving(_) | State::Serving { .. } | State::Suspect { .. } => {
                self.sick(turn, Evidence::Fatal, Reason::fatal_answer(answer), None);
            }
            State::Sick { trouble, doubt: Some(_) } => {
                let cause = trouble.cause.clone().confirmed_by(answer);
                self.confirmed(cause);
            }
            State::Sick { .. } | State::Waiting { .. } | State::Parked { .. } => self.worse(turn, Reason::fatal_answer(answer)),
            State::Stopped | State::Starting | State::Warming { .. } | State::Restarting { .. } => {}
        }
    }

    fn fatal_line(&mut self, turn: &mut Turn, line: &str) {
        let cause = Reason::fatal_pattern(line);
        let young = self.instance.is_some_and(|instance| turn.now < instance.warm_until);
        let back = match &self.state {
            // Nothing is probed then, so it stands by itself.
            State::Warming { .. } => None,
            State::Unknown { .. } if young => None,
            State::Unknown { .. } | State::Proving(_) => Some(Back::Proving),
            State::Serving { healthy_since } | State::Suspect { healthy_since, .. } => {
                Some(Back::Serving { healthy_since: *healthy_since })
            }
            // Probes have failed already: they confirm it.
            State::Sick { .. } | State::Waiting { .. } | State::Parked { .. } => return self.worse(turn, cause),
            State::Stopped | State::Starting | State::Restarting { .. } => return,
        };
        let doubt = back.map(|back| Doubt { until: turn.now.plus(DOUBT), passed: 0, back });
        // The probe that confirms it is asked for after the line; one that is on its way asked too early.
        self.beat.restart();
        self.sick(turn, Evidence::Fatal, cause, doubt);
    }

    fn says_recovered(&mut self, turn: &mut Turn, line: &str) {
        match &mut self.state {
            State::Suspect { healthy_since, .. } => {
                let healthy_since = *healthy_since;
                self.enter(turn, State::Serving { healthy_since }, Reason::recovered_by_line(line), None);
            }
            State::Unknown { bad, .. } => *bad = 0,
            State::Stopped
            | State::Starting
            | State::Warming { .. }
            | State::Proving(_)
            | State::Serving { .. }
            | State::Sick { .. }
            | State::Restarting { .. }
            | State::Waiting { .. }
            | State::Parked { .. } => {}
        }
    }

    fn sick(&mut self, turn: &mut Turn, evidence: Evidence, cause: Reason, doubt: Option<Doubt>) {
        let trouble = Trouble { alone_delay: self.alone_delay(turn.roll), ..Trouble::new(turn.now, cause.clone(), evidence) };
        self.enter(turn, State::Sick { trouble, doubt }, cause, Some(evidence));
    }

    /// The doubt is over: it is as sick as the line said. The restart follows in this very turn, unless a gate is shut;
    /// then the view says why it is sick in these words.
    fn confirmed(&mut self, cause: Reason) {
        if let State::Sick { trouble, doubt } = &mut self.state {
            *doubt = None;
            trouble.good = 0;
            trouble.cause = cause.clone();
            self.reason = cause;
        }
    }

    /// Suspect evidence became fatal; what is fatal already stays as it is.
    fn worse(&mut self, turn: &mut Turn, cause: Reason) {
        let mut state = self.state.clone();
        let Some(trouble) = state.trouble_mut() else { return };
        trouble.good = 0;
        if trouble.evidence != Evidence::Fatal {
            trouble.evidence = Evidence::Fatal;
            trouble.cause = cause.clone();
            self.enter(turn, state, cause, Some(Evidence::Fatal));
        } else {
            self.state = state;
        }
    }
}
