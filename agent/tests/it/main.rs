//! The agent's edges against real sockets and a real bus, in one binary.
//!
//! What starts with `lab_` needs a machine that systemd has booted; `tests/on-machine.sh` runs it there. The rest runs anywhere; the
//! bus tests need `dbus-daemon` (Debian: package `dbus`) and say so when it is missing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; the lint's exception covers #[test] functions only")]

mod agentctl;
mod agentctl_control;
mod agentctl_events;
mod agentctl_fleet;
mod agentctl_watch;
mod configuration;
mod configuration_difference;
mod contract;
mod lab;
mod logfiles;
mod probing;
mod probing_kinds;
mod support;
mod systemd;

#[path = "../../../crates/edge/tests/it/authority.rs"]
mod authority;
