//! Real systemd machines on this computer: Debian booted by `systemd-nspawn`, a switch
//! in a network namespace, and faults on demand.
//!
//! Guarantees: nothing leaves the lab's network; every wait ends; `down` leaves nothing
//! on this computer but the cache.
//!
//! Leaves to others: what runs in the machines (Ansible), and what must hold
//! (the scenarios, which use this crate as a library: [`Lab::open`], [`Lab::node`],
//! [`Node::exec`], [`wait::until`]).

pub mod fault;
pub mod inventory;
pub mod plan;
pub mod wait;

mod cgroup;
mod cli;
mod command;
mod forward;
mod host;
mod image;
mod lab;
mod limits;
mod line;
mod lock;
mod machine;
mod net;
mod node;
mod paths;
mod progress;
mod record;
mod sources;

pub use cli::main;
pub use command::Output;
pub use fault::BadLine;
pub use forward::Port;
pub use lab::{Lab, Wanted};
pub use node::{EXEC_WITHIN, Node, Running, State};
pub use paths::{CACHE, CACHE_ENV, RUN, STATE};
pub use sources::Suite;
