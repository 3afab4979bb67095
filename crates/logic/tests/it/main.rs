//! What must hold of every decision, as properties over generated worlds, and as single cases where one is worth a name.
#![allow(clippy::unwrap_used)] // test code: a panic is the report

mod fleet;
mod service;
mod sim;
mod trust;
