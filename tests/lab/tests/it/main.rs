//! The lab's own behaviour, on real machines.
//!
//! These tests need root and the lab for themselves: each brings one up and takes it
//! down. All names begin with `lab_`, so that a run without the lab leaves them out.
#![allow(clippy::unwrap_used)] // a test's way to fail; the lint's own exception covers only #[test] functions

mod faults;
mod lifecycle;
mod network;
mod stage;
