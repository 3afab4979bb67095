//! `warden-agent`: arguments in, exit code out.

use clap::Parser;
use std::process::ExitCode;
use warden_agent::args::Args;
use warden_agent::run;

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => run::main(&args),
        Err(error) => {
            // --help and --version come this way too; nothing more can be done when even this cannot be written.
            drop(error.print());
            if error.use_stderr() { ExitCode::from(run::USAGE) } else { ExitCode::SUCCESS }
        }
    }
}
