//! Why: a stable label for machines and one sentence for people, for every decision.
//!
//! The sentences about a service stand here and nowhere else, so that the journal, `STATUS=`, the report and `agentctl`
//! say the same. Each is one sentence without a full stop that says what was seen.

use crate::moment::Span;
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

/// What is said of one service.
#[expect(missing_docs, reason = "the sentence in each body says it")]
impl Reason {
    pub fn not_seen_yet() -> Self {
        Self::new(Label::NotSeenYet, "the agent has just begun and has not seen the unit yet")
    }

    pub fn reattached(age: Span) -> Self {
        Self::new(
            Label::Reattached,
            format!("already running for {age} when the agent began: its traffic stays as it is until probes have told"),
        )
    }

    pub fn proven_again(good: u32, probes: usize) -> Self {
        Self::new(Label::Proven, format!("proven: {} since the agent began", good_probes(good, probes)))
    }

    pub fn unit_missing() -> Self {
        Self::new(Label::UnitMissing, "systemd has no such unit, or it is masked")
    }

    pub fn unit_starting(sub: &str) -> Self {
        Self::new(Label::UnitStarting, format!("systemd is starting the unit ({sub})"))
    }

    pub fn process_ended() -> Self {
        Self::new(Label::UnitExited, "the main process ended")
    }

    pub fn unit_exited(result: &str) -> Self {
        Self::new(Label::UnitExited, format!("the process ended and nobody asked for it (result {result}); systemd restarts it"))
    }

    pub fn unit_failed(result: &str, restart_setting: &str) -> Self {
        Self::new(Label::UnitExited, format!("the unit failed (result {result}) and its Restart={restart_setting} leaves it there"))
    }

    /// `left`: in what state.
    pub fn left_down(failure: &Failure, left: &str) -> Self {
        Self::new(Label::RestartFailed, format!("{failure} and left the unit {left}"))
    }

    pub fn stopped_by_itself(result: &str) -> Self {
        Self::new(Label::UnitExited, format!("systemd stops the unit and nobody asked for it (result {result})"))
    }

    pub fn ended_cleanly(restart_setting: &str) -> Self {
        Self::new(Label::UnitExited, format!("the unit is inactive, which its Restart={restart_setting} calls a proper end"))
    }

    pub fn being_stopped() -> Self {
        Self::new(Label::StoppedByOperator, "somebody's job is stopping the unit")
    }

    pub fn stopped_by_operator(active: &str) -> Self {
        Self::new(
            Label::StoppedByOperator,
            format!("somebody stopped the unit: it is {active} and Restart=always would have brought it back"),
        )
    }

    /// An agent that has just begun cannot tell whether it ever ran.
    pub fn found_down(active: &str) -> Self {
        Self::new(Label::StoppedByOperator, format!("the unit is {active}: somebody stopped it, or nobody has started it yet"))
    }

    pub fn start_limit() -> Self {
        Self::new(Label::StartLimit, "systemd gave up starting the unit (start-limit-hit)")
    }

    pub fn warmup_began(warmup: Span) -> Self {
        Self::new(Label::WarmupBegan, format!("a new process: its warm-up takes {warmup}"))
    }

    pub fn warmup_found(age: Span, warmup: Span) -> Self {
        Self::new(Label::WarmupBegan, format!("the process is {age} old, out of rotation, and its warm-up takes {warmup}"))
    }

    pub fn warmup_over(warmup: Span) -> Self {
        let text = if warmup.is_zero() { "a new process without a warm-up".to_owned() } else { format!("the warm-up of {warmup} is over") };
        Self::new(Label::WarmupOver, text)
    }

    pub fn warmup_cut_short(after: Span) -> Self {
        Self::new(Label::WarmupOver, format!("a good probe ended the warm-up after {after}"))
    }

    pub fn proven(good: u32, probes: usize, warmed: Span) -> Self {
        let after = if warmed.is_zero() { String::new() } else { format!(" after a warm-up of {warmed}") };
        Self::new(Label::Proven, format!("proven: {}{after}", good_probes(good, probes)))
    }

    /// `count`: how many were bad, and how many are too many.
    pub fn probe_failing(what: &str, count: &str) -> Self {
        Self::new(Label::ProbeFailing, format!("{what} ({count})"))
    }

    /// `of`: among so many of the last; otherwise in a row.
    pub fn probe_failed(what: &str, bad: u32, of: Option<u32>) -> Self {
        let times = match of {
            None if bad == 1 => String::new(),
            None => format!(" ({bad} in a row)"),
            Some(of) => format!(" ({bad} of the last {of})"),
        };
        Self::new(Label::ProbeFailed, format!("{what}{times}"))
    }

    pub fn fatal_answer(answer: &str) -> Self {
        Self::new(Label::FatalAnswer, format!("the probe's answer is fatal: {answer}"))
    }

    pub fn fatal_pattern(line: &str) -> Self {
        Self::new(Label::FatalPattern, line)
    }

    pub fn suspect_line(line: &str, count: u32, of: u32, window: Span) -> Self {
        Self::new(Label::PatternFailing, format!("{line} ({count} of {of} within {window})"))
    }

    pub fn suspect_lines(line: &str, count: u32, window: Span) -> Self {
        let times = if count == 1 { String::new() } else { format!(" ({count} within {window})") };
        Self::new(Label::PatternFailed, format!("{line}{times}"))
    }

    pub fn held(what: &str) -> Self {
        Self::new(Label::Held, format!("what it depends on is down, so nothing is restarted and its traffic stays as it is: {what}"))
    }

    pub fn hold_over() -> Self {
        Self::new(Label::HoldOver, "what it depends on is back: it is judged afresh")
    }

    pub fn maintenance(by: &str, reason: &str) -> Self {
        Self::new(Label::Maintenance, format!("in maintenance by {by}{}", said(reason)))
    }

    pub fn maintenance_over() -> Self {
        Self::new(Label::MaintenanceOver, "maintenance is over: it is judged afresh")
    }

    pub fn asked_to_restart(by: &str, reason: &str) -> Self {
        Self::new(Label::Operator, format!("{by} asked for a restart{}", said(reason)))
    }

    pub fn too_old(age: Span) -> Self {
        Self::new(Label::RecycleAge, format!("the process is {age} old and is recycled before its age becomes a problem"))
    }

    pub fn too_heavy(held: u64, above: u64) -> Self {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
        Self::new(Label::RecycleMemory, format!("it holds {}, more than the {} it is recycled at", mib(held), mib(above)))
    }

    pub fn leaving(cause: &Self) -> Self {
        Self::new(cause.label, format!("out of rotation for a planned restart: {}", cause.text))
    }

    pub fn planned_given_up(why: Obstacle, by_operator: bool) -> Self {
        let remedy = match (why, by_operator) {
            (Obstacle::Shadow, _) => "",
            (_, true) => "; agentctl restart --now does not wait",
            (_, false) => "; it is tried again later",
        };
        Self::new(Label::PlannedGivenUp, format!("not restarted: {why}{remedy}"))
    }

    pub fn planned_failed(failure: &Failure) -> Self {
        Self::new(Label::RestartFailed, format!("the planned restart came to nothing: {failure}"))
    }

    pub fn restart_began_past_limit(cause: &Self) -> Self {
        Self::new(Label::RestartBegan, format!("restarted, past systemd's start limit, which was lifted first, because of: {}", cause.text))
    }

    pub fn would_restart(cause: &Self, delay: Span) -> Self {
        Self::new(
            Label::Shadow,
            format!("shadow mode: here it would have been restarted; again in {delay} unless it recovers: {}", cause.text),
        )
    }

    pub fn lines_ceased() -> Self {
        Self::new(Label::Recovered, "no such line has come again")
    }

    /// The same, once a probe has failed too.
    #[must_use]
    pub fn confirmed_by(self, answer: &str) -> Self {
        Self { text: format!("{}; a probe confirms it: {answer}", self.text), ..self }
    }

    pub fn fatal_dismissed(cause: &Self, passed: u32) -> Self {
        let answers = if passed == 1 { "the one answer since was".to_owned() } else { format!("all {passed} answers since were") };
        Self::new(Label::FatalDismissed, format!("no probe confirms \"{}\": {answers} not bad", cause.text))
    }

    pub fn recovered() -> Self {
        Self::new(Label::Recovered, "the next probe was good again")
    }

    pub fn recovered_by_line(line: &str) -> Self {
        Self::new(Label::Recovered, format!("it says so itself: {line}"))
    }

    pub fn recovered_before_restart(good: u32, probes: usize) -> Self {
        Self::new(Label::Recovered, format!("{} before anything was done", good_probes(good, probes)))
    }

    pub fn not_proven_in_time(within: Span, last_bad: Option<&str>) -> Self {
        let last =
            last_bad.map_or_else(|| "no probe failed, but too few were good".to_owned(), |text| format!("the last that failed: {text}"));
        Self::new(Label::NotProvenInTime, format!("not proven within {within} of its warm-up; {last}"))
    }

    pub fn restart_began(cause: &Self) -> Self {
        Self::new(cause.or_limit(Label::RestartBegan), format!("restarted because of: {}", cause.text))
    }

    pub fn backing_off(delay: Span, cause: &Self) -> Self {
        Self::new(cause.or_limit(Label::BackingOff), format!("restart in {delay} because of: {}", cause.text))
    }

    /// systemd's start limit is named by its label whatever is done about it: it wants a person's eye.
    fn or_limit(&self, label: Label) -> Label {
        if self.label == Label::StartLimit { Label::StartLimit } else { label }
    }

    pub fn restart_failed(failure: &Failure, delay: Span) -> Self {
        Self::new(Label::RestartFailed, format!("{failure}; next try in {delay}"))
    }

    /// `restarts`: in the window that ends now.
    pub fn restart_limit(restarts: u32, window: Span, trial_every: Span, cause: &Self) -> Self {
        let tried = match restarts {
            0 => "restarts did not help".to_owned(),
            1 => format!("restarts did not help, the last of them within {window}"),
            _ => format!("{restarts} restarts in {window} did not help"),
        };
        Self::new(Label::RestartLimit, format!("{tried}; one trial every {trial_every}: {}", cause.text))
    }

    pub fn trial(cause: &Self) -> Self {
        Self::new(Label::Trial, format!("trial restart after having given up: {}", cause.text))
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
    /// A planned restart did not come about.
    PlannedGivenUp = "planned_given_up",
    /// In shadow mode: it would have been restarted.
    Shadow = "shadow",
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Reason::held("refused"),
            Reason::hold_over(),
            Reason::maintenance("anna", "a new disk"),
            Reason::maintenance("anna", ""),
            Reason::maintenance_over(),
            Reason::asked_to_restart("anna", ""),
            Reason::too_old(span),
            Reason::too_heavy(2_000_000, 1_000_000),
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
