//! Logging to journald with structured fields, without ever blocking; to standard error where there is no journald.
//!
//! Fields of a `tracing` event go to the journal under their own names, in capitals: `info!(WARDEN_UNIT = %unit, "…")`.
//! When journald is stuck its socket fills, and lines are dropped rather than waited for: a supervisor that waits for
//! its log is dead (tracing-journald as it comes was seen to block its caller for 6.6 s). What must not be lost is kept elsewhere too.

use crate::descriptor;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::AsRawFd;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// journald takes a datagram within microseconds, or it is stuck.
const START_WITHIN: Duration = Duration::from_secs(1);

/// What can go wrong. Nothing is logged anywhere until [`init`] has succeeded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum InitError {
    #[error("journald cannot be reached although systemd started this program")]
    Journald(#[source] io::Error),
    #[error("logging was set up twice")]
    Twice(#[source] TryInitError),
}

/// Starts logging for the whole process: to journald when systemd connected us to it, else to standard error.
///
/// Our own crates (`warden…`) log from `level` on, everybody else's from warnings on. Call it before any thread exists.
///
/// # Errors
/// When journald should be there and is not, or on a second call.
pub fn init(identifier: &str, level: Level) -> Result<(), InitError> {
    let filter = Targets::new().with_default(LevelFilter::WARN).with_target("warden", level);
    let registry = tracing_subscriber::registry();
    // systemd sets JOURNAL_STREAM for a service whose standard error is the journal (systemd.exec(5)).
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        let (slot, handle) = reload::Layer::new(None::<tracing_journald::Layer>);
        registry.with(slot.with_filter(filter)).try_init().map_err(InitError::Twice)?;
        let identifier = identifier.to_owned();
        connect(move |journald| {
            let layer = journald.with_field_prefix(None).with_syslog_identifier(identifier).with_priority_mappings(PriorityMappings {
                error: Priority::Error,
                warn: Priority::Warning,
                info: Priority::Informational,
                debug: Priority::Debug,
                trace: Priority::Debug,
            });
            // The slot is gone only with the process.
            drop(handle.reload(Some(layer)));
        })
        .map_err(InitError::Journald)
    } else {
        let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false).with_ansi(colours);
        registry.with(layer.with_filter(filter)).try_init().map_err(InitError::Twice)
    }
}

/// Makes the layer on a thread of its own, because it begins by talking to journald, and waits for that as long as journald is stuck. A
/// start does not: what is logged until journald is back is dropped, as it is later.
fn connect(ready: impl FnOnce(tracing_journald::Layer) + Send + 'static) -> io::Result<()> {
    let (done, hears) = sync_channel(1);
    std::thread::Builder::new().name("logging".to_owned()).spawn(move || {
        let made = nonblocking_journald().map(ready);
        // Whoever waited may have gone on.
        let _ = done.send(made);
    })?;
    hears.recv_timeout(START_WITHIN).unwrap_or(Ok(()))
}

/// tracing-journald's layer with its socket made non-blocking. The layer keeps the socket to itself, so its number is
/// told beforehand: the kernel hands out the lowest free one, and the only other thread waits meanwhile.
fn nonblocking_journald() -> io::Result<tracing_journald::Layer> {
    let next = File::open("/dev/null")?.as_raw_fd();
    let layer = tracing_journald::layer()?;
    if !descriptor::kind(next)?.starts_with("socket:") {
        return Err(io::Error::new(ErrorKind::NotFound, "the journal's socket is not where it was expected"));
    }
    descriptor::set_nonblocking(next)?;
    Ok(layer)
}
