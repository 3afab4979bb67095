//! `agentctl check-config`: the same check as `warden-agent check`, for whoever looks for it here.

use super::{Failure, print};
use crate::config::{Report, check};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

pub(super) async fn run(files: &[PathBuf]) -> Result<ExitCode, Failure> {
    let Report { text, code } = check(files).await;
    if code == 0 {
        print(&text)?;
    } else {
        // Faults go where a person sees them although the output is sent elsewhere.
        drop(write!(anstream::stderr().lock(), "{text}"));
    }
    Ok(ExitCode::from(code))
}
