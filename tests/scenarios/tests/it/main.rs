//! The scenarios. Every one begins with a whole stand, breaks something under load, and ends with a whole stand.
//!
//! They need the lab, so their names begin with `lab_`; `make test` runs them, one at a time. What they assert is
//! states, order, and what clients saw; never a wall-clock figure.
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test prints what it saw; the runner shows it when it fails")]

mod around;
mod attacker;
mod configuration;
mod continuity;
mod cut_off;
mod day_two;
mod detectors;
mod detectors_bingo;
mod detectors_toys;
mod dying;
mod faults;
mod harness;
mod healthy;
mod peers;
mod roll;
mod witness;
