//! What the tests stand on: a user that is not root, waiting with a deadline, and the three neighbours.

pub(crate) mod bingo;
pub(crate) mod cluster;
pub(crate) mod http;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

/// Far above what anything here takes, also on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Polls until the condition holds.
///
/// # Panics
/// After [`DEADLINE`], with what the condition said it still misses.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(missing) if Instant::now() > end => panic!("waited in vain for {what}: {missing}"),
            Err(_) => std::thread::park_timeout(Duration::from_millis(10)),
        }
    }
}

/// A command run by a user that is not root, and ended when this thread ends, whatever happens to the test.
///
/// Neither bingo nor PostgreSQL runs as root, and the tests usually do.
pub(crate) fn as_nobody(program: impl AsRef<OsStr>, death: &str) -> Command {
    let mut command = Command::new("setpriv");
    if nix::unistd::geteuid().is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command.args(["--pdeathsig", death, "--"]).arg(program);
    command
}

/// Hands a directory to the user of [`as_nobody`].
pub(crate) fn give_to_nobody(dir: &Path) {
    if nix::unistd::geteuid().is_root() {
        let status = Command::new("chown").arg("nobody:nogroup").arg(dir).status().unwrap();
        assert!(status.success(), "chown {} failed", dir.display());
    }
}
