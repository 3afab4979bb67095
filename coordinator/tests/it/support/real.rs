//! A real HAProxy in master-worker mode, in a folder of its own, with servers of ours behind it.
//!
//! `WARDEN_TEST_HAPROXY` names another binary than the one in the PATH, to try another version.

use super::backend::Backend;
use super::{free_port, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

pub(crate) struct Haproxy {
    folder: TempDir,
    master: Child,
    /// The port that clients ask.
    pub(crate) front: u16,
    pub(crate) agent_port: u16,
    /// `n1`, `n2`, and `bare`, which has no agent check.
    pub(crate) backends: [Backend; 3],
}

/// Connections enough for everybody in a test.
const ROOMY: &str = "stats maxconn 64";

fn binary() -> PathBuf {
    let named = std::env::var_os("WARDEN_TEST_HAPROXY").map(PathBuf::from);
    let places = named.into_iter().chain(["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].map(PathBuf::from));
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| {
        panic!("HAProxy is missing: apt-get install haproxy (these tests steer a real one), or name a binary in WARDEN_TEST_HAPROXY")
    })
}

impl Haproxy {
    pub(crate) async fn start(bare: bool) -> Self {
        Self::start_with(bare, "").await
    }

    /// `server`: more words on every server's line.
    pub(crate) async fn start_with(bare: bool, server: &str) -> Self {
        Self::launch(free_port(), true, bare, server, ROOMY, |_| String::new()).await
    }

    /// With more behind the last line of its configuration; `more` gets the port of a backend that is fit.
    pub(crate) async fn and(more: impl FnOnce(u16) -> String) -> Self {
        Self::launch(free_port(), true, true, "", ROOMY, more).await
    }

    /// With room for so many connections on its runtime socket.
    pub(crate) async fn tight(connections: usize) -> Self {
        Self::launch(free_port(), true, true, "", &format!("stats maxconn {connections}"), |_| String::new()).await
    }

    /// Another one with the same servers, by name, which asks the same coordinator.
    pub(crate) async fn beside(other: &Self) -> Self {
        Self::launch(other.agent_port, true, false, "", ROOMY, |_| String::new()).await
    }

    /// `n1` and `n2` without an agent check.
    pub(crate) async fn plain() -> Self {
        Self::launch(free_port(), false, false, "", ROOMY, |_| String::new()).await
    }

    async fn launch(agent_port: u16, agent: bool, bare: bool, server: &str, global: &str, more: impl FnOnce(u16) -> String) -> Self {
        let folder = tempfile::Builder::new().prefix("warden-haproxy-").tempdir_in("/tmp").unwrap();
        let backends = [Backend::start().await, Backend::start().await, Backend::start().await];
        let front = free_port();
        let socket = folder.path().join("haproxy.sock");
        let mut config = format!(
            "global\n  stats socket {} mode 660 level admin\n  {global}\n  max-spread-checks 50ms\n  hard-stop-after 5s\n\
             defaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n  option http-server-close\n\
             frontend fe\n  bind 127.0.0.1:{front}\n  default_backend app\n\
             backend app\n  option httpchk GET /ping\n  default-server check inter 300ms fall 2 rise 2 {server}\n",
            socket.display()
        );
        for (name, backend) in [("n1", &backends[0]), ("n2", &backends[1])] {
            let asks = format!("agent-check agent-addr 127.0.0.1 agent-port {agent_port} agent-inter 100ms agent-send \"app/{name}\\n\"");
            writeln!(config, "  server {name} 127.0.0.1:{} {}", backend.port, if agent { &asks } else { "" }).unwrap();
        }
        if bare {
            writeln!(config, "  server bare 127.0.0.1:{}", backends[2].port).unwrap();
        }
        config += &more(backends[2].port);
        std::fs::write(folder.path().join("haproxy.cfg"), config).unwrap();
        let master = spawn(&folder);
        let haproxy = Self { folder, master, front, agent_port, backends };
        haproxy.ready().await;
        haproxy
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("haproxy.sock")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("haproxy.cfg")
    }

    pub(crate) fn backend(&self, name: &str) -> &Backend {
        &self.backends[["n1", "n2", "bare"].iter().position(|known| *known == name).unwrap()]
    }

    async fn ready(&self) {
        until("HAProxy answers and every server is up", || async {
            let state = self.try_operator("show servers state app").await.map_err(|error| error.to_string())?;
            let up = state.lines().skip(2).filter(|line| line.split(' ').nth(5) == Some("2")).count();
            let all = state.lines().skip(2).filter(|line| !line.is_empty()).count();
            if all > 0 && up == all { Ok(()) } else { Err(state) }
        })
        .await;
    }

    /// What a person types on the admin socket: a connection of its own, as socat makes one.
    pub(crate) async fn operator(&self, line: &str) -> String {
        self.try_operator(line).await.unwrap()
    }

    async fn try_operator(&self, line: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.socket()).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Ends every connection to the runtime socket.
    pub(crate) async fn end_runtime_connections(&self) {
        for session in self.operator("show sess").await.lines().filter(|line| line.contains(" fe=GLOBAL ")) {
            let (address, _) = session.split_once(':').unwrap();
            self.operator(&format!("shutdown session {address}")).await;
        }
    }

    /// The admin state of a server, as HAProxy has it.
    pub(crate) async fn admin(&self, name: &str) -> u32 {
        let state = self.operator("show servers state app").await;
        let row = state.lines().find(|line| line.split(' ').nth(3) == Some(name)).unwrap_or_else(|| panic!("no {name} in {state}"));
        row.split(' ').nth(6).unwrap().parse().unwrap()
    }

    /// A column of `show stat` for a server of `app`.
    pub(crate) async fn stat(&self, name: &str, column: &str) -> String {
        let stat = self.operator("show stat").await;
        let at = stat.lines().next().unwrap().trim_start_matches("# ").split(',').position(|title| title == column).unwrap();
        let row = stat.lines().find(|line| line.starts_with(&format!("app,{name},"))).unwrap_or_else(|| panic!("no {name} in {stat}"));
        row.split(',').nth(at).unwrap().to_owned()
    }

    pub(crate) async fn worker(&self) -> i32 {
        let info = self.operator("show info").await;
        info.lines().find_map(|line| line.strip_prefix("Pid: ")).unwrap().parse().unwrap()
    }

    pub(crate) fn signal_worker(worker: i32, signal: Signal) {
        kill(Pid::from_raw(worker), signal).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.master.id()).unwrap()), signal).unwrap();
    }

    /// `systemctl reload haproxy`, without a state file; comes back when a new worker answers.
    pub(crate) async fn reload(&self) {
        let before = self.worker().await;
        // A master that has just begun loses the signal: it is sent again every second.
        let asked = std::cell::Cell::new(Instant::now());
        self.signal(Signal::SIGUSR2);
        until("a new worker answers", || async {
            if asked.get().elapsed() > Duration::from_secs(1) {
                asked.set(Instant::now());
                self.signal(Signal::SIGUSR2);
            }
            let info = self.try_operator("show info").await.unwrap_or_default();
            let pid: Option<i32> = info.lines().find_map(|line| line.strip_prefix("Pid: ")).and_then(|pid| pid.parse().ok());
            if pid.is_some_and(|pid| pid != before) { Ok(()) } else { Err(info.lines().next().map(str::to_owned)) }
        })
        .await;
    }

    /// `systemctl restart haproxy`.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        self.begin_again().await;
    }

    pub(crate) fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        self.master.wait().unwrap();
    }

    /// After a stop.
    pub(crate) async fn begin_again(&mut self) {
        self.master = spawn(&self.folder);
        until("the new HAProxy answers", || async { self.try_operator("show info").await.map(drop).map_err(|error| error.to_string()) })
            .await;
    }
}

fn spawn(folder: &TempDir) -> Child {
    let log = std::fs::File::create(folder.path().join("haproxy.log")).unwrap();
    Command::new(binary())
        .arg("-W")
        .arg("-f")
        .arg(folder.path().join("haproxy.cfg"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // SIGTERM to the master ends its workers as well.
        self.signal(Signal::SIGTERM);
        drop(self.master.wait());
        if std::thread::panicking() {
            eprintln!("HAProxy said:\n{}", std::fs::read_to_string(self.folder.path().join("haproxy.log")).unwrap_or_default());
        }
    }
}
