//! Descriptors that reach us as bare numbers: the two places where Rust cannot know who owns them.
//!
//! One of the two modules of the project with `unsafe` (the other binds libsystemd). Both functions are called at
//! start, before any thread exists that could open or close a descriptor meanwhile.
#![allow(unsafe_code, reason = "a number says nothing about ownership; the callers' contract does")]

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes over a descriptor that systemd passed to this process, and marks it close-on-exec.
///
/// # Errors
/// When there is no such descriptor.
pub(crate) fn passed_by_systemd(number: RawFd) -> io::Result<OwnedFd> {
    check(number)?;
    // SAFETY: systemd passed it to this process (sd_listen_fds checked LISTEN_PID and unset the variables), so nobody
    // else here owns it, and `check` has just seen that it is open.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&descriptor, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    Ok(descriptor)
}

/// Makes an open descriptor that a library keeps to itself non-blocking.
pub(crate) fn set_nonblocking(number: RawFd) -> io::Result<()> {
    check(number)?;
    // SAFETY: open, as `check` has just seen, and borrowed for this function only.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = OFlag::from_bits_truncate(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// What an open descriptor is, as /proc tells it: `socket:[4711]`.
pub(crate) fn kind(number: RawFd) -> io::Result<String> {
    Ok(std::fs::read_link(format!("/proc/self/fd/{number}"))?.to_string_lossy().into_owned())
}

fn check(number: RawFd) -> io::Result<()> {
    kind(number).map(|_| ())
}
