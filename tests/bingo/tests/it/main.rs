//! The stand-in as its users meet it: a process, a port, files, and a PostgreSQL of its own for every test.
//!
//! PostgreSQL is a condition, not an option: without it the tests fail and name the package.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

mod support;

mod cli;
mod database;
mod endpoints;
mod failures;
mod limiter;
mod prepare;
mod start;
