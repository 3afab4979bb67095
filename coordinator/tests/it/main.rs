//! The coordinator against a fake HAProxy on a paused clock, against a real one, and as a program.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // test code: a panic is the report, and standard error goes with it

mod alerts;
mod apart;
mod drain_lever;
mod haproxy_contract;
mod haproxy_traps;
mod intake;
mod openapi;
mod page;
mod page_browser;
mod page_stage;
mod page_webdriver;
mod permits;
mod program;
mod roll;
mod schemathesis;
mod several;
mod steering;
mod support;
mod trust;
mod wishes;
mod witness;

#[path = "../../../crates/edge/tests/it/authority.rs"]
mod authority;
