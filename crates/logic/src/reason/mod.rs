//! Why: a stable label for machines and one sentence for people, for every decision.
//!
//! The sentences about a service stand in [`sentences`] and nowhere else, so that the journal, `STATUS=`, the report and `agentctl`
//! say the same. Each is one sentence without a full stop that says what was seen.

mod sentences;

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why something was decided. The label is one of a closed set, so that a metric's cardinality is bounded by the type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What kind of reason.
    pub label: Label,
    /// One sentence without a full stop: what was seen. May quote foreign text.
    pub text: String,
}

impl Reason {
    /// A reason with its sentence.
    pub fn new(label: Label, text: impl Into<String>) -> Self {
        Self { label, text: text.into() }
    }
}

/// Why a restart came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// systemd refused the call, in these words.
    Refused(String),
    /// systemd's word for the end of the job.
    Ended(String),
    /// The job ended as done, but the process is the one from before.
    SameProcess,
    /// Nobody knows how the job ended, and the process is the one from before.
    Lost,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "systemd refused the restart: {why}"),
            Self::Ended(word) => write!(f, "the restart job ended as {word}"),
            Self::SameProcess => f.write_str("the restart job ended as done, but the process is still the same"),
            Self::Lost => f.write_str("nobody knows what became of the restart job, and the process is still the same"),
        }
    }
}

/// Why a planned restart is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It would have been the last.
    Floor,
    /// A person's mark in HAProxy.
    Mark,
    /// There is no leave for it any more.
    Permit,
    /// Nobody said that it is out.
    Unconfirmed,
    /// systemd does not answer, or somebody else's job is under way.
    Busy,
    /// It only says what it would do.
    Shadow,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Floor => "the floor keeps it in: no other server could take its traffic",
            Self::Mark => "an operator's mark in HAProxy keeps it where it is",
            Self::Permit => "the permit was withdrawn or has run out",
            Self::Unconfirmed => "HAProxy has not confirmed in time that it is out",
            Self::Busy => "systemd, or somebody's job for the unit, was in the way",
            Self::Shadow => "in shadow mode nothing is",
        })
    }
}

/// A person's words, where there are any.
fn said(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// So many good verdicts in a row of each of so many probes.
fn good_probes(good: u32, probes: usize) -> String {
    match (good, probes) {
        (1, 0 | 1) => "1 good probe".to_owned(),
        (_, 0 | 1) => format!("{good} good probes"),
        (1, _) => format!("1 good answer of each of {probes} probes"),
        _ => format!("{good} good answers of each of {probes} probes"),
    }
}

macro_rules! labels {
    ($($(#[$meta:meta])* $variant:ident = $label:literal,)+) => {
        /// Kinds of reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Label { $($(#[$meta])* #[serde(rename = $label)] $variant,)+ }

        impl Label {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable word in metrics, JSON and the journal.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

labels! {
    /// The agent has just begun to look.
    NotSeenYet = "not_seen_yet",
    /// systemd is starting it.
    UnitStarting = "unit_starting",
    /// The process ended, and nobody asked for it.
    UnitExited = "unit_exited",
    /// A person stopped the unit.
    StoppedByOperator = "stopped_by_operator",
    /// systemd gave up because of its start limit.
    StartLimit = "start_limit",
    /// systemd has no such unit, or it is masked.
    UnitMissing = "unit_missing",
    /// The warm-up has begun.
    WarmupBegan = "warmup_began",
    /// The warm-up is over.
    WarmupOver = "warmup_over",
    /// Enough good probes.
    Proven = "proven",
    /// The agent began while the service was already proven to run: no new warm-up.
    Reattached = "reattached",
    /// A probe failed, fewer times than the threshold.
    ProbeFailing = "probe_failing",
    /// Probes failed as often as the threshold says.
    ProbeFailed = "probe_failed",
    /// Lines in the log speak against it, fewer than the threshold.
    PatternFailing = "pattern_failing",
    /// Lines in the log say that it is sick, as many as the threshold says.
    PatternFailed = "pattern_failed",
    /// A probe's answer says that it is fatally sick.
    FatalAnswer = "fatal_answer",
    /// A line in the log says that it is fatally sick.
    FatalPattern = "fatal_pattern",
    /// A fatal line that no probe confirmed.
    FatalDismissed = "fatal_dismissed",
    /// It recovered before anything was done.
    Recovered = "recovered",
    /// The warm-up was over and it did not prove itself in time.
    NotProvenInTime = "not_proven_in_time",
    /// A restart job was sent.
    RestartBegan = "restart_began",
    /// A restart job failed.
    RestartFailed = "restart_failed",
    /// A restart waits for its back-off.
    BackingOff = "backing_off",
    /// Restarts did not help.
    RestartLimit = "restart_limit",
    /// One trial after having given up.
    Trial = "trial",
    /// Something that it depends on is down.
    Held = "held",
    /// What it depends on is back.
    HoldOver = "hold_over",
    /// An operator's mark: nothing is restarted.
    Maintenance = "maintenance",
    /// The end of that.
    MaintenanceOver = "maintenance_over",
    /// An operator asked for a restart.
    Operator = "operator",
    /// Its age makes a planned restart due.
    RecycleAge = "recycle_age",
    /// Its memory makes a planned restart due.
    RecycleMemory = "recycle_memory",
    /// Live traffic fails more often than it should.
    Witness = "witness",
    /// A roll of the fleet makes a planned restart due.
    Roll = "roll",
    /// A planned restart did not come about.
    PlannedGivenUp = "planned_given_up",
    /// In shadow mode: it would have been restarted.
    Shadow = "shadow",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Span;

    #[test]
    fn labels_are_distinct_and_serialise_as_they_read() {
        let distinct: std::collections::HashSet<_> = Label::ALL.iter().map(|label| label.as_str()).collect();
        assert_eq!(distinct.len(), Label::ALL.len());
        for label in Label::ALL {
            assert_eq!(serde_json::to_string(label).unwrap(), format!("\"{}\"", label.as_str()));
        }
    }

    /// One of each; where figures change the words, one of each wording.
    fn all() -> Vec<Reason> {
        let span = Span::from_secs(30);
        let cause = || Reason::fatal_pattern("journal: We all gonna die");
        let failure = Failure::Ended("timeout".to_owned());
        let obstacles = [Obstacle::Floor, Obstacle::Mark, Obstacle::Permit, Obstacle::Unconfirmed, Obstacle::Busy, Obstacle::Shadow];
        let failures = [Failure::Refused("access denied".to_owned()), failure.clone(), Failure::SameProcess, Failure::Lost];
        let mut all = vec![
            Reason::not_seen_yet(),
            Reason::reattached(span),
            Reason::proven_again(2, 1),
            Reason::unit_missing(),
            Reason::unit_starting("start"),
            Reason::process_ended(),
            Reason::unit_exited("exit-code"),
            Reason::unit_failed("exit-code", "on-failure"),
            Reason::left_down(&failure, "inactive"),
            Reason::stopped_by_itself("watchdog"),
            Reason::ended_cleanly("no"),
            Reason::being_stopped(),
            Reason::stopped_by_operator("inactive"),
            Reason::found_down("inactive"),
            Reason::start_limit(),
            Reason::warmup_began(span),
            Reason::warmup_found(span, span),
            Reason::warmup_over(Span::ZERO),
            Reason::warmup_over(span),
            Reason::warmup_cut_short(span),
            Reason::proven(1, 1, Span::ZERO),
            Reason::proven(2, 3, span),
            Reason::probe_failing("timed out after 2 s", "1 of 3 in a row"),
            Reason::probe_failed("timed out after 2 s", 3, None),
            Reason::probe_failed("timed out after 2 s", 3, Some(10)),
            Reason::fatal_answer("500"),
            cause(),
            cause().confirmed_by("500"),
            Reason::suspect_line("journal: slow", 1, 3, span),
            Reason::suspect_lines("journal: slow", 3, span),
            Reason::lines_ceased(),
            Reason::witness(30, 150, span),
            Reason::witness_content(),
            Reason::held("refused"),
            Reason::hold_over(),
            Reason::maintenance("anna", "a new disk"),
            Reason::maintenance("anna", ""),
            Reason::maintenance_over(),
            Reason::asked_to_restart("anna", ""),
            Reason::too_old(span),
            Reason::too_heavy(2_000_000, 1_000_000),
            Reason::rolled(),
            Reason::leaving(&Reason::too_old(span)),
            Reason::restart_began_past_limit(&cause()),
            Reason::would_restart(&cause(), span),
            Reason::fatal_dismissed(&cause(), 1),
            Reason::fatal_dismissed(&cause(), 4),
            Reason::recovered(),
            Reason::recovered_by_line("journal: all is well"),
            Reason::recovered_before_restart(2, 1),
            Reason::not_proven_in_time(span, None),
            Reason::not_proven_in_time(span, Some("500")),
            Reason::restart_began(&cause()),
            Reason::backing_off(span, &cause()),
            Reason::restart_limit(0, span, span, &cause()),
            Reason::restart_limit(1, span, span, &cause()),
            Reason::restart_limit(5, span, span, &cause()),
            Reason::trial(&cause()),
        ];
        all.extend(failures.iter().flat_map(|failure| [Reason::restart_failed(failure, span), Reason::planned_failed(failure)]));
        all.extend(obstacles.into_iter().flat_map(|obstacle| [true, false].map(|by_hand| Reason::planned_given_up(obstacle, by_hand))));
        all
    }

    #[test]
    fn each_is_one_plain_sentence_without_a_full_stop() {
        for Reason { label, text } in all() {
            let plain =
                !text.is_empty() && !text.ends_with(['.', ':', ' ', ';']) && !text.contains(['\n', '\t', '!']) && !text.contains("  ");
            assert!(plain, "{label:?}: {text:?}");
            let quotes = text.starts_with("systemd") || text.starts_with("HAProxy");
            assert!(quotes || text.starts_with(|letter: char| letter.is_lowercase() || letter.is_ascii_digit()), "{label:?}: {text:?}");
            for wrong in ["1 restarts", "1 probes", "1 answers", "1 requests", "0 ms"] {
                assert!(!text.contains(wrong), "{label:?}: {text:?}");
            }
        }
    }

    #[test]
    fn every_label_is_given_to_something_and_no_two_sentences_are_the_same() {
        let all = all();
        let given: std::collections::HashSet<_> = all.iter().map(|reason| reason.label).collect();
        let missing: Vec<_> = Label::ALL.iter().filter(|label| !given.contains(label)).collect();
        assert!(missing.is_empty(), "no sentence has {missing:?}");
        let distinct: std::collections::HashSet<_> = all.iter().map(|reason| &reason.text).collect();
        // An obstacle that leaves no choice has one sentence for both.
        assert_eq!(distinct.len(), all.len() - 1);
    }

    #[test]
    fn a_start_limit_keeps_its_label_whatever_is_done_about_it() {
        let cause = Reason::start_limit();
        for reason in [Reason::restart_began(&cause), Reason::backing_off(Span::from_secs(1), &cause)] {
            assert_eq!(reason.label, Label::StartLimit);
        }
    }
}
