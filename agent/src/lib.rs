//! The agent: judges the health of systemd services on one node, and acts on it.
//!
//! systemd owns the processes; the agent watches, decides and asks. Every decision is made by the pure machine of
//! `warden_logic::service`; this crate is the thin edge around it: facts in, effects out.
//!
//! In reading order: [`run`], the program from arguments to exit code; [`supervisor`], the one task that owns all
//! machines; what feeds it: [`systemd`], [`journal`], [`logfile`], [`status_text`], [`probe`]; what it tells: [`report`] (the coordinators),
//! [`control`] (people on this node), [`metrics`] (Prometheus), [`incident`] (what is kept of incidents), [`hook`] (what is run when
//! something needs a person), [`statefile`] (what outlives the agent). [`config`] reads what is configured, [`polkit`] makes rights
//! of it, `trust` keeps the node's certificate, [`args`] reads the command line, [`child`] runs programs of others. [`ctl`] is the other program of
//! this crate, `agentctl`; it shares the protocol with the agent, and the check of a configuration.
//!
//! Invariants: only [`systemd`] knows zbus; only [`journal`] has `unsafe` code; only [`supervisor`] calls a machine.

pub mod args;
pub mod child;
pub mod config;
pub mod control;
pub mod ctl;
pub mod feed;
pub mod hook;
pub mod incident;
pub mod journal;
pub mod logfile;
mod message_id;
pub mod metrics;
pub mod polkit;
pub mod printable;
pub mod probe;
pub mod report;
pub mod run;
pub mod statefile;
pub mod status_text;
pub mod supervisor;
pub mod systemd;
mod trust;

#[cfg(test)]
#[path = "../../crates/edge/tests/it/authority.rs"]
mod authority;
