//! A PostgreSQL of the test's own, in a temporary directory, on loopback.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::support::{as_nobody, give_to_nobody, wait_for};

pub(crate) struct Cluster {
    dir: TempDir,
    pub(crate) port: u16,
    server: Option<Child>,
}

impl Cluster {
    /// Starts one on a fresh data directory.
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("bingo-pg-").tempdir().unwrap();
        give_to_nobody(dir.path());
        copy(&template(), &dir.path().join("data"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut cluster = Self { dir, port, server: None };
        cluster.resume();
        cluster
    }

    /// Starts the server on the data that is there.
    pub(crate) fn resume(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("server.log")).unwrap();
        let server = as_nobody(installation().1.join("postgres"), "QUIT")
            .arg("-D")
            .arg(self.dir.path().join("data"))
            .arg("-k")
            .arg(self.dir.path())
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
        wait_for("PostgreSQL", || self.connect().map(drop).map_err(|error| format!("{error}; log: {}", self.log())));
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // setpriv has become the server, so this is the postmaster's own id.
            kill(Pid::from_raw(i32::try_from(server.id()).unwrap()), Signal::SIGQUIT).unwrap();
            server.wait().unwrap();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    fn connect(&self) -> Result<Sql, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let login = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port);
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&login, NoTls).await?;
            tokio::spawn(connection);
            Ok::<_, tokio_postgres::Error>(client)
        })?;
        Ok(Sql { runtime, client })
    }

    /// A connection for looking behind bingo's back.
    pub(crate) fn sql(&self) -> Sql {
        self.connect().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A blocking connection.
pub(crate) struct Sql {
    runtime: Runtime,
    client: Client,
}

impl Sql {
    /// Runs statements and gives the rows of them all, every value as text, columns separated by `|`.
    pub(crate) fn run(&self, text: &str) -> Vec<String> {
        let messages = self.runtime.block_on(self.client.simple_query(text)).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|column| row.get(column).unwrap_or_default()).collect::<Vec<_>>().join("|"))
                }
                _ => None,
            })
            .collect()
    }

    /// The only value of the only row.
    pub(crate) fn value(&self, text: &str) -> String {
        let rows = self.run(text);
        assert_eq!(rows.len(), 1, "{text}: {rows:?}");
        rows.into_iter().next().unwrap()
    }
}

/// An initialised data directory that all test processes copy: `initdb` would be most of the tests' time.
fn template() -> PathBuf {
    let (version, binaries) = installation();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = home.join(format!("postgresql-{version}-of-user-{}", nix::unistd::geteuid()));
    // The first test process makes it, the others wait here. The lock ends with the file.
    let lock = File::create(home.join("postgresql.lock")).unwrap();
    lock.lock().unwrap();
    if !template.exists() {
        let dir = tempfile::Builder::new().prefix("bingo-initdb-").tempdir().unwrap();
        give_to_nobody(dir.path());
        let output = as_nobody(binaries.join("initdb"), "QUIT")
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--no-locale", "--encoding=UTF8", "--wal-segsize=1", "--pgdata"])
            .arg(dir.path().join("data"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let unfinished = template.with_extension("unfinished");
        let _ = std::fs::remove_dir_all(&unfinished);
        copy(&dir.path().join("data"), &unfinished);
        std::fs::rename(&unfinished, &template).unwrap();
    }
    template
}

/// With owners and modes, about which PostgreSQL is particular.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp -a {} {} failed", from.display(), to.display());
}

/// Version and programs of the newest server that Debian's packages left.
fn installation() -> (u32, PathBuf) {
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        let version = path.file_name()?.to_str()?.parse().ok()?;
        let binaries = path.join("bin");
        (binaries.join("initdb").exists() && binaries.join("postgres").exists()).then_some((version, binaries))
    });
    found.max().unwrap_or_else(|| panic!("no PostgreSQL server below /usr/lib/postgresql: apt-get install postgresql"))
}
