//! A PostgreSQL of the test's own, in a temporary directory, on loopback.

use super::{DEADLINE, eventually};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) struct Cluster {
    dir: TempDir,
    port: u16,
    server: Child,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("warden-pg-").tempdir().unwrap();
        if nix::unistd::geteuid().is_root() {
            run(Command::new("chown").arg("nobody:nogroup").arg(dir.path()));
        }
        let data = dir.path().join("data");
        run(as_nobody(installation().join("initdb"))
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--no-locale", "--wal-segsize=1", "--pgdata"])
            .arg(&data));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(dir.path().join("server.log")).unwrap();
        let server = as_nobody(installation().join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(dir.path())
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let cluster = Self { dir, port, server };
        eventually("PostgreSQL takes connections", async || {
            let log = std::fs::read_to_string(cluster.dir.path().join("server.log")).unwrap_or_default();
            if log.contains("database system is ready to accept connections") { Ok(()) } else { Err(log) }
        })
        .await;
        cluster
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// From now on nobody may log in but who is in already.
    pub(crate) fn refuse_everybody(&self) {
        std::fs::write(self.dir.path().join("data/pg_hba.conf"), "local all all trust\n").unwrap();
        self.signal("HUP");
    }

    /// A session over the Unix socket, open until it is dropped.
    pub(crate) async fn hold(&self) -> tokio::net::UnixStream {
        let path = self.dir.path().join(format!(".s.PGSQL.{}", self.port));
        let mut stream = tokio::net::UnixStream::connect(path).await.unwrap();
        let parameters = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
        stream.write_u32(u32::try_from(parameters.len() + 4).unwrap()).await.unwrap();
        stream.write_all(parameters).await.unwrap();
        // Until `ReadyForQuery`: Z, its length, the state of the transaction.
        let mut seen = Vec::new();
        let ready = tokio::time::timeout(DEADLINE, async {
            while !seen.ends_with(b"Z\0\0\0\x05I") {
                assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "{}", String::from_utf8_lossy(&seen));
            }
        });
        ready.await.expect("a session is ready");
        stream
    }

    pub(crate) fn shut_down_when_idle(&self) {
        self.signal("TERM");
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) {
        self.server.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        run(Command::new("kill").args(["-s", name, &self.server.id().to_string()]));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal("QUIT");
            let _ = self.server.wait();
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// PostgreSQL does not run as root, and the tests usually do. It ends with this thread, whatever happens to the test.
fn as_nobody(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    if nix::unistd::geteuid().is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program).current_dir("/");
    command
}

/// The programs of the newest server that Debian's packages left.
fn installation() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let of_version = |path: &Path| path.file_name().and_then(OsStr::to_str).and_then(|version| version.parse::<u32>().ok());
    let newest = versions.filter(|path| path.join("bin/initdb").exists()).max_by_key(|path| of_version(path));
    newest.unwrap_or_else(|| panic!("no PostgreSQL server below /usr/lib/postgresql: apt-get install postgresql")).join("bin")
}
