//! Programs and web addresses that are told of the few events that need a person.
//!
//! [`ledger`] decides, as values: what event a change of state is, whether it was told already, whether a hook has had enough for
//! this hour. [`Desk`] takes events without ever waiting, and one task runs the hooks.
//!
//! Guarantees: an event of an incident is told once, whatever comes of the telling; a hook is told at most [`ledger::AN_HOUR`] times an
//! hour; a program has a process group, a deadline and an end; an address has three tries, each with a deadline; what could not be told
//! is said in the journal. Nothing here needs a right that the agent does not have.
//!
//! Left to others: which hooks there are (`crate::config`), and when something happens.

pub mod ledger;
mod runner;
#[cfg(test)]
mod tests;

pub use runner::{Desk, Happened, Runner};

use std::time::Duration;

/// One configured hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name in the configuration.
    pub name: String,
    /// What it is told of; not empty.
    pub on: Vec<HookEvent>,
    /// How it is told.
    pub run: HookRun,
    /// For one run of the program, or for one try at the address.
    pub timeout: Duration,
}

/// How a hook is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookRun {
    /// A program and its arguments, run as the agent's own user and in the agent's sandbox.
    Exec(Vec<String>),
    /// A URL that gets a `POST` of JSON.
    Webhook(String),
}

/// What a hook can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookEvent {
    /// An incident has begun.
    Incident,
    /// It is over: the service is serving again.
    Recovered,
    /// Restarts did not help; it is tried again every few minutes.
    Parked,
    /// Something that the service depends on is down, so nothing is restarted.
    Held,
    /// A restart job was refused or did not end as done.
    RestartFailed,
    /// systemd's start limit was hit.
    StartLimit,
}

impl HookEvent {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Incident, Self::Recovered, Self::Parked, Self::Held, Self::RestartFailed, Self::StartLimit];

    /// Its word in the configuration and in `WARDEN_EVENT`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Recovered => "recovered",
            Self::Parked => "parked",
            Self::Held => "held",
            Self::RestartFailed => "restart_failed",
            Self::StartLimit => "start_limit",
        }
    }

    /// The event with this word.
    #[must_use]
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.label() == label)
    }
}
