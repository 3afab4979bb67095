//! `agentctl check-config`: the same check as `warden-agent check`, for whoever looks for it here.

use super::Failure;
use crate::{args, run};
use std::path::PathBuf;
use std::process::ExitCode;

pub(super) fn run(files: Vec<PathBuf>) -> Result<ExitCode, Failure> {
    let args = args::Args { config: files, command: Some(args::Command::Check) };
    // It has an event loop of its own for the question to systemd, and a thread has one. Nothing else goes on here meanwhile.
    let checked = std::thread::spawn(move || run::main(&args)).join();
    checked.map_err(|_| Failure::cannot_tell("the check did not come to its end".to_owned()))
}
