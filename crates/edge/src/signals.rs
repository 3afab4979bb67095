//! Signals as values: what the operator or systemd asks of the process.

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_tokio::SignalsInfo;
use std::io;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: end, cleanly.
    Terminate,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: write down what was seen lately.
    Dump,
}

/// The process' signals from now on.
pub struct Signals(SignalsInfo);

impl Signals {
    /// Takes over SIGTERM, SIGINT, SIGHUP and SIGUSR1. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn install() -> io::Result<Self> {
        SignalsInfo::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map(Self)
    }

    /// The next signal. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        match self.0.next().await {
            Some(SIGHUP) => Signal::Reload,
            Some(SIGUSR1) => Signal::Dump,
            // The stream ends only when it is closed, which nobody does; ending is then the honest answer.
            Some(_) | None => Signal::Terminate,
        }
    }
}
