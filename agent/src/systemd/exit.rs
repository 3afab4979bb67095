//! The end of a main process, by pidfd: the fastest word there is (p50 0.3 ms), without a reason.

use crate::feed::Feed;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use warden_logic::service::input::{Input, Invocation};

/// Waits for one process. Dropping it stops the waiting.
pub(super) struct ExitWatch {
    pub(super) pid: u32,
    pub(super) invocation: Invocation,
    task: JoinHandle<()>,
}

/// A pidfd that is not yet known to be the unit's: between systemd's answer and the opening the process may have ended
/// and its number been given away. A second reading that still names the same process says that it had not: systemd
/// itself reaps it, and says so only afterwards.
pub(super) struct Unconfirmed {
    pid: u32,
    invocation: Invocation,
    fd: AsyncFd<std::os::fd::OwnedFd>,
}

impl Unconfirmed {
    /// Opens a pidfd.
    pub(super) fn open(pid: u32, invocation: Invocation) -> io::Result<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let fd = pidfd_open(number, PidfdFlags::NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "unsound for types that lie about their descriptor; an OwnedFd does not, and the successor is `unsafe`"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Self { pid, invocation, fd })
    }

    /// Begins to wait; the exit goes to `feed` as that of service `index`, then `and_then` is called.
    pub(super) fn confirm(self, index: usize, feed: Feed, and_then: impl FnOnce() + Send + 'static) -> ExitWatch {
        let Self { pid, invocation, fd } = self;
        let task = tokio::spawn(async move {
            // A pidfd becomes readable once, when the process ends. An error of the reactor would leave D-Bus alone to tell.
            if fd.readable().await.is_ok() && feed.send((index, Input::ProcessEnded { invocation })).await.is_ok() {
                and_then();
            }
        });
        ExitWatch { pid, invocation, task }
    }
}

impl Drop for ExitWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
