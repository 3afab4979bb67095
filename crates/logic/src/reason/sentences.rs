//! Every sentence that is said of a service.

use super::{Failure, Label, Obstacle, Reason, good_probes, said};
use crate::moment::Span;

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

    pub fn rolled() -> Self {
        Self::new(Label::Roll, "a roll of the fleet restarts every server once".to_owned())
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

    pub fn witness(failed: u64, requests: u64, window: Span) -> Self {
        let text = format!("HAProxy saw {failed} of {requests} requests to it fail within {window}; its own probes do not say why");
        Self::new(Label::Witness, text)
    }

    pub fn witness_content() -> Self {
        Self::new(Label::Recovered, "live traffic no longer fails")
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
