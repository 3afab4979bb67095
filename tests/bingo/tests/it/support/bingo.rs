//! The program under test: a root directory of its own, a port of its own, and the running process.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sha1::{Digest as _, Sha1};
use tempfile::TempDir;

use crate::support::cluster::Cluster;
use crate::support::{DEADLINE, as_nobody, give_to_nobody, wait_for};

/// An address of loopback that refuses: nothing listens on the discard port.
const REFUSING: &str = "http://127.0.0.1:9/";

/// A place to run bingo in.
pub(crate) struct Site {
    dir: TempDir,
    pub(crate) email: String,
    pub(crate) port: u16,
}

impl Site {
    /// A root directory without a configuration and without a log folder.
    pub(crate) fn bare() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::Builder::new().prefix("bingo-site-").tempdir().unwrap();
        give_to_nobody(dir.path());
        // Ports follow from addresses, so a free port is found by trying addresses.
        let (email, port) = (0..)
            .map(|_| {
                let email = format!("student-{}-{}@example.com", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
                let port = 1024 + u16::try_from(u32::from_str_radix(&sha1(&email)[..8], 16).unwrap() % 31744).unwrap();
                (email, port)
            })
            .find(|(_, port)| TcpListener::bind(("0.0.0.0", *port)).is_ok())
            .unwrap();
        Self { dir, email, port }
    }

    /// With a configuration that names this PostgreSQL port, and a log folder.
    pub(crate) fn configured(database_port: u16) -> Self {
        let site = Self::bare();
        site.write_config(&format!(
            "student_email: {}\npostgres_cluster:\n  hosts:\n  - address: 127.0.0.1\n    port: {database_port}\n  \
             user: postgres\n  password: secret\n  db_name: postgres\n  ssl_mode: disable\n  use_closest_node: false\n",
            site.email
        ));
        std::fs::create_dir_all(site.log_dir()).unwrap();
        give_to_nobody(&site.log_dir());
        site
    }

    /// A cluster with a small data set (500 customers, 29 movies, 5000 sessions), and a site that uses it.
    pub(crate) fn with_data() -> (Cluster, Self) {
        let cluster = Cluster::start();
        let site = Self::configured(cluster.port);
        let output = site.run(&["prepare_db"], &[("BINGO_STANDIN_SCALE", "0.001")]);
        assert!(output.status.success(), "{output:?}");
        (cluster, site)
    }

    pub(crate) fn write_config(&self, text: &str) {
        let path = self.root().join("opt/bingo/config.yaml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Worked out afresh, from the description and not by the program's own code.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.root().join("opt/bongo/logs").join(&sha1(&self.email)[..10])
    }

    /// The lines of the log, each of which must be JSON.
    pub(crate) fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.log_dir().join("main.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    pub(crate) fn raw_log(&self) -> String {
        std::fs::read_to_string(self.log_dir().join("main.log")).unwrap_or_default()
    }

    /// Waits for a message in the log.
    pub(crate) fn wait_for_log(&self, message: &str) -> Value {
        wait_for(message, || {
            let lines = self.log();
            lines.iter().find(|line| line["msg"] == message).cloned().ok_or_else(|| format!("{} other lines", lines.len()))
        })
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let binary = open_binary();
        self.command(&binary, arguments, environment).output().unwrap()
    }

    /// Starts the server and does not wait for anything.
    pub(crate) fn launch(&self, environment: &[(&str, &str)]) -> Bingo<'_> {
        let binary = open_binary();
        let file = |name| File::create(self.root().join(name)).unwrap();
        let child = self.command(&binary, &["run_server"], environment).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Bingo { site: self, child }
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn serve(&self, environment: &[(&str, &str)]) -> Bingo<'_> {
        let mut bingo = self.launch(environment);
        wait_for("the server", || {
            if let Some(status) = bingo.child.try_wait().unwrap() {
                panic!("bingo ended with {status}: {}", bingo.stderr());
            }
            if bingo.stdout().contains("yoohoo_server_launched") { Ok(()) } else { Err(bingo.stdout()) }
        });
        bingo
    }

    fn command(&self, binary: &File, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        // By descriptor, because the build's folder may be closed to other users.
        let mut command = as_nobody(format!("/proc/self/fd/{}", binary.as_raw_fd()), "KILL");
        command
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("BINGO_STANDIN_ROOT", self.root())
            .env("BINGO_STANDIN_STARTUP_URL", REFUSING)
            .env("BINGO_STANDIN_FAILURE_AFTER", "off")
            .envs(environment.iter().copied());
        command
    }
}

/// A running server; killed on drop.
pub(crate) struct Bingo<'a> {
    site: &'a Site,
    child: Child,
}

impl Bingo<'_> {
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.site.root().join("stdout")).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.site.root().join("stderr")).unwrap()
    }

    pub(crate) fn terminate(&self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("bingo's end", || child.try_wait().unwrap().ok_or_else(|| format!("runs on after {DEADLINE:?}")))
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Bingo<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, on a descriptor that survives exec.
fn open_binary() -> File {
    let file = File::open(env!("CARGO_BIN_EXE_bingo")).unwrap();
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    file
}

pub(crate) fn sha1(text: &str) -> String {
    Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
