//! The coordinator against a fake HAProxy on a paused clock, against a real one, and as a program.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // test code: a panic is the report, and standard error goes with it

mod haproxy_contract;
mod intake;
mod page;
mod page_browser;
mod page_stage;
mod page_webdriver;
mod permits;
mod program;
mod steering;
mod support;
mod trust;
mod wishes;

#[path = "../../../crates/edge/tests/it/authority.rs"]
mod authority;
