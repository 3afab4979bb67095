//! systemd's notification socket, watchdog and passed sockets. All of it does nothing where systemd did not start us.

use crate::descriptor;
use sd_notify::NotifyState;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Bytes of a status. systemd ignores a message of more than 4,096 bytes whole (`NOTIFY_BUFFER_MAX` in its source), that the service is
/// ready with it, and a line that a person reads is shorter by far.
const LONGEST: usize = 1024;

/// The service is up, and this is what it says of itself.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// One line that `systemctl status` shows.
pub fn status(status: &str) {
    send(&[NotifyState::Status(&one_line(status))]);
}

/// The service still makes progress. Call it from the loop that does the work, never from a side task.
pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// The service is on its way out.
pub fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(&one_line(status))]);
}

/// How often [`watchdog`] must be called: a third of what systemd allows. Nothing: systemd does not watch us.
#[must_use]
pub fn watchdog_beat() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 3)
}

/// The socket that a systemd socket unit passed under this `FileDescriptorName=`. Call it once, before any thread exists.
///
/// # Errors
/// When systemd's variables contradict what is open.
pub fn passed_socket(name: &str) -> io::Result<Option<OwnedFd>> {
    let mut found = None;
    for (number, passed) in sd_notify::listen_fds_with_names()? {
        let owned = descriptor::passed_by_systemd(number)?;
        // What nobody asked for is closed here, by being dropped.
        if passed == name && found.is_none() {
            found = Some(owned);
        }
    }
    Ok(found)
}

/// Errors are left alone on purpose: without the socket nobody listens, and with it a lost line is replaced by the next.
fn send(states: &[NotifyState<'_>]) {
    drop(sd_notify::notify(states));
}

/// The protocol is one line a variable: a line break in foreign text would be another variable. What is longer than [`LONGEST`] is cut.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > LONGEST {
        line.truncate(line.floor_char_boundary(LONGEST));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_that_systemd_takes() {
        assert_eq!(one_line("a\nREADY=1"), "a READY=1");
        for length in LONGEST - 3..LONGEST + 9 {
            let line = one_line(&format!("{}ä", "x".repeat(length)));
            assert!(line.len() <= LONGEST + '…'.len_utf8(), "{}", line.len());
        }
        assert!(one_line(&"ä".repeat(9_000)).ends_with("ä…"));
    }
}
