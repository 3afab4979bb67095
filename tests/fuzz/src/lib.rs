//! The places where bytes of somebody else come in, each as a function that must return, whatever the bytes.
//!
//! `make fuzz` drives them by libFuzzer; the tests replay the seeds and whatever was ever found (`regressions/`) on every run.

pub mod configuration;
pub mod control;
pub mod haproxy;
pub mod matcher;
pub mod report;
pub mod state;

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("configuration", configuration::run),
    ("control", control::run),
    ("haproxy", haproxy::run),
    ("matcher", matcher::run),
    ("report", report::run),
    ("state", state::run),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}
