//! Why: a stable label for machines and one sentence for people, for every decision.

use serde::{Deserialize, Serialize};

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
    /// systemd says that the unit runs.
    UnitActive = "unit_active",
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
}
