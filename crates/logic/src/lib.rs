//! Every decision of Warden, as pure functions over values.
//!
//! The contract of this crate: time is an argument ([`moment::Moment`]), chance is an argument (a number that
//! the caller rolled), and what is wanted done comes back as a value. Nothing here reads a clock, a file, a socket or
//! an environment variable, spawns, sleeps or logs; its manifest has no library that could, and a test holds that.
//!
//! In reading order: [`moment`], the instants that everything is reckoned in; [`reason`], all wording of decisions;
//! [`service`], the machine that judges one supervised service (the agent's); [`fleet`], what reports mean for
//! the servers of a backend (the coordinator's); [`trust`], who may speak for whom.

#![warn(clippy::wildcard_enum_match_arm, reason = "a new state or input must be thought about in each place")]

pub mod fleet;
pub mod moment;
pub mod reason;
pub mod service;
pub mod trust;
