//! A `dbus-daemon` of our own, in a directory of its own, ended with the test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Lets everybody own and call everything; the system bus's policy is systemd's business and tried in the lab.
const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

pub(crate) struct Bus {
    directory: TempDir,
    daemon: Option<Child>,
}

impl Bus {
    pub(crate) fn start() -> Self {
        let mut bus = Self { directory: tempfile::tempdir().unwrap(), daemon: None };
        let text = CONFIGURATION.replace("@SOCKET@", bus.socket().to_str().unwrap());
        std::fs::write(bus.directory.path().join("bus.conf"), text).unwrap();
        bus.boot();
        bus
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.socket().display())
    }

    /// Ends the daemon as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts the daemon; returns when it listens.
    pub(crate) fn boot(&mut self) {
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", self.directory.path().join("bus.conf").display()))
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("dbus-daemon cannot be started ({error}): install Debian's package `dbus`"));
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:"), "dbus-daemon says {address:?}");
        self.daemon = Some(daemon);
    }

    /// SIGSTOP and SIGCONT: a daemon that is there and answers nothing.
    pub(crate) fn freeze(&self, frozen: bool) {
        use nix::sys::signal::{Signal, kill};
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.daemon.as_ref().unwrap().id()).unwrap());
        kill(pid, if frozen { Signal::SIGSTOP } else { Signal::SIGCONT }).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("bus")
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            self.freeze(false);
        }
        self.kill();
    }
}
