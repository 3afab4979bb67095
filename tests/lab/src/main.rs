//! `warden-lab`: real systemd machines on this computer. See the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    warden_lab::main()
}
