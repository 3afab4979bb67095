//! bingo, the stand-in: behaves as the closed program of that name was seen to behave, failures included.
//!
//! It guarantees what its README lists: the same commands, paths, messages, port and log folder, the same costs per
//! endpoint, the same ways to die. What nobody recorded is chosen here and written down there. Deployment, supervision
//! and recovery are left to others: the program itself never heals.

mod cli;
mod config;
mod database;
mod failure;
mod knobs;
mod log;
mod noise;
mod prepare;
mod say;
mod server;
mod splitmix;
mod startup;

use std::process::ExitCode;

fn main() -> ExitCode {
    if nix::unistd::geteuid().is_root() {
        say::error("Didn't your mom teach you not to run anything incomprehensible from root?");
        return ExitCode::FAILURE;
    }
    cli::run(std::env::args_os())
}
