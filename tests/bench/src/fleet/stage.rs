//! The coordinator and HAProxy as processes, in a folder of their own, with certificates for everybody.

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use warden_edge::http::Question;
use warden_edge::tls::Files;

const HAPROXY: &str = "/usr/sbin/haproxy";
/// Bytes: of ten thousand servers they are two million.
const METRICS: usize = 16 << 20;
/// Longer than HAProxy takes to read ten thousand servers.
const BEGIN: Duration = Duration::from_secs(30);

/// Both programs, ended with this value.
pub(super) struct Stage {
    folder: TempDir,
    coordinator: Child,
    haproxy: Child,
    /// Where agents report.
    pub(super) listen: u16,
    /// The page's, which has the metrics.
    page: u16,
    /// HAProxy's.
    pub(super) version: String,
}

/// What a process has used since its start.
pub(super) struct Used {
    pub(super) cpu_ms: u64,
    pub(super) rss_kib: u64,
    pub(super) pss_kib: u64,
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// `node-7`, which is the server's name as well.
pub(super) fn name(at: usize) -> String {
    format!("node-{at}")
}

impl Stage {
    pub(super) fn start(agents: usize, heartbeat: Duration) -> Result<Self> {
        let limit = nix::sys::resource::Resource::RLIMIT_NOFILE;
        let (_, hard) = nix::sys::resource::getrlimit(limit)?;
        nix::sys::resource::setrlimit(limit, hard, hard)?;
        let wanted = agents as u64 + 1_000; // each program has one of each connection
        ensure!(hard >= wanted, "{agents} agents take {wanted} open files, and {hard} are allowed: ulimit -Hn {wanted}");
        let folder = tempfile::Builder::new().prefix("warden-bench-").tempdir()?;
        issue(folder.path(), agents)?;
        let (listen, page, agent_port) = (free_port()?, free_port()?, free_port()?);
        // Everybody is asked about in turn; who is asked more often is no better off here.
        let inter = Duration::from_millis(500).max(Duration::from_micros(1_000 * agents as u64));
        fs::write(folder.path().join("haproxy.cfg"), haproxy(folder.path(), agents, agent_port, inter))?;
        fs::write(folder.path().join("50-bench.toml"), config(folder.path(), listen, page, agent_port, heartbeat))?;
        let log = File::create(folder.path().join("haproxy.log"))?;
        let haproxy = Command::new(HAPROXY)
            .args(["-db", "-f"])
            .arg(folder.path().join("haproxy.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{HAPROXY}: apt-get install haproxy"))?;
        let coordinator = launch(folder.path())?;
        Ok(Self { folder, coordinator, haproxy, listen, page, version: version()? })
    }

    /// The files of one agent.
    pub(super) fn files(&self, at: usize) -> Files {
        let path = |end: &str| self.folder.path().join(format!("{}.{end}", name(at)));
        Files { ca: self.folder.path().join("ca.pem"), cert: path("pem"), key: path("key") }
    }

    pub(super) fn coordinator(&self) -> Result<Used> {
        Used::of(self.coordinator.id())
    }

    pub(super) fn haproxy(&self) -> Result<Used> {
        Used::of(self.haproxy.id())
    }

    /// Of each part of a look at everything: the seconds it took so far, and how often there was one.
    pub(super) async fn looks(&self) -> Result<BTreeMap<String, (f64, f64)>> {
        let url = format!("http://127.0.0.1:{}/metrics", self.page);
        let asked = Question::get(&url, None, None, "warden-bench").map_err(anyhow::Error::msg)?;
        let answer = timeout(Duration::from_secs(10), asked.ask(METRICS)).await.with_context(|| format!("{url} took too long"))??;
        let text = String::from_utf8(answer.body)?;
        let mut looks = BTreeMap::<String, (f64, f64)>::new();
        for line in text.lines().filter_map(|line| line.strip_prefix("warden_coordinator_look_seconds_")) {
            let Some((kind, rest)) = line.split_once("{part=\"") else { continue };
            let Some((part, value)) = rest.split_once("\"} ") else { continue };
            let look = looks.entry(part.to_owned()).or_default();
            match kind {
                "sum" => look.0 = value.parse()?,
                "count" => look.1 = value.parse()?,
                _ => {}
            }
        }
        ensure!(looks.contains_key("read"), "{url} does not say how long a look takes");
        Ok(looks)
    }

    /// Kills it, and starts another.
    pub(super) fn restart_coordinator(&mut self) -> Result<()> {
        self.coordinator.kill()?;
        self.coordinator.wait()?;
        self.coordinator = launch(self.folder.path())?;
        Ok(())
    }

    /// Each server's name and operational state, once all of them run.
    pub(super) async fn settled(&self, count: usize) -> Result<Vec<String>> {
        let until = Instant::now() + BEGIN.max(Duration::from_millis(20 * count as u64));
        loop {
            let states = self.states()?;
            let run = states.iter().filter(|state| state.ends_with(" 2")).count();
            if run == count {
                return Ok(states);
            }
            ensure!(Instant::now() < until, "{run} of {count} servers run in HAProxy; {}", self.said());
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn states(&self) -> Result<Vec<String>> {
        let mut socket = UnixStream::connect(self.folder.path().join("haproxy.sock"))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.write_all(b"show servers state app\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let rows = answer.lines().filter(|line| line.contains(" app "));
        Ok(rows.filter_map(|row| row.split(' ').nth(3).zip(row.split(' ').nth(5))).map(|(name, state)| format!("{name} {state}")).collect())
    }

    /// The end of what the coordinator said.
    fn said(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("coordinator.log")).unwrap_or_default();
        text.lines().rev().take(3).collect::<Vec<_>>().join(" / ")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in [&mut self.coordinator, &mut self.haproxy] {
            // Gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn launch(folder: &Path) -> Result<Child> {
    // Beside this program, or above the folder of its tests.
    let here = std::env::current_exe()?;
    let mut places = here.ancestors().skip(1).take(2).map(|folder| folder.join("warden-coordinator"));
    let program: PathBuf = places
        .find(|path| path.exists())
        .context("warden-coordinator is not built beside this program: cargo build --release -p warden-coordinator")?;
    let log = File::options().create(true).append(true).open(folder.join("coordinator.log"))?;
    let mut command = Command::new(program);
    command.arg("--config").arg(folder.join("50-bench.toml")).env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?)
}

fn version() -> Result<String> {
    let out = Command::new(HAPROXY).arg("-v").output()?;
    Ok(String::from_utf8_lossy(&out.stdout).split_whitespace().nth(2).unwrap_or("?").to_owned())
}

fn haproxy(folder: &Path, agents: usize, agent_port: u16, inter: Duration) -> String {
    let inter = inter.as_millis();
    let mut text = format!(
        "global\n  stats socket {}/haproxy.sock mode 600 level admin\n  stats timeout 1h\n  stats maxconn 64\n  maxconn 1000\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n\
         backend app\n  default-server agent-check agent-addr 127.0.0.1 agent-port {agent_port} agent-inter {inter}ms\n",
        folder.display()
    );
    for at in 0..agents {
        let name = name(at);
        // Nobody sends it a request; nobody listens there.
        let _ = writeln!(text, "  server {name} 127.0.0.1:9 agent-send \"app/{name}\\n\"");
    }
    text
}

fn config(folder: &Path, listen: u16, page: u16, agent_port: u16, heartbeat: Duration) -> String {
    let folder = folder.display();
    let beat = heartbeat.as_secs();
    format!(
        "listen = '127.0.0.1:{listen}'\nadmin = '{folder}/admin.sock'\npage = '127.0.0.1:{page}'\nstate_directory = '{folder}'\n\
         [tls]\nca = '{folder}/ca.pem'\ncert = '{folder}/server.pem'\nkey = '{folder}/server.key'\n\
         [haproxy]\nsocket = '{folder}/haproxy.sock'\nagent_port = {agent_port}\n\
         [agents]\nheartbeat = '{beat}s'\nlease = '{}s'\n[backend.app]\nstart_by = '{}s'\n",
        beat * 3,
        (beat * 3).max(10)
    )
}

/// Certificates of a CA of this run: the coordinator's, and one for each agent.
fn issue(folder: &Path, agents: usize) -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Bench CA");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(folder.join("ca.pem"), ca.pem())?;
    let one = |file: &str, name: &str, purpose: ExtendedKeyUsagePurpose| -> Result<()> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        fs::write(folder.join(format!("{file}.pem")), params.signed_by(&key, &ca)?.pem())?;
        let file = File::options().create_new(true).write(true).mode(0o600).open(folder.join(format!("{file}.key")));
        Ok(file?.write_all(key.serialize_pem().as_bytes())?)
    };
    one("server", "localhost", ExtendedKeyUsagePurpose::ServerAuth)?;
    (0..agents).try_for_each(|at| one(&name(at), &name(at), ExtendedKeyUsagePurpose::ClientAuth))
}

impl Used {
    fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |at: usize| after.split_whitespace().nth(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let kib = |key: &str| {
            let line = rollup.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or_default()
        };
        // A tick is 10 ms on every Linux that Debian ships.
        Ok(Self { cpu_ms: (ticks(11) + ticks(12)) * 10, rss_kib: kib("Rss:"), pss_kib: kib("Pss:") })
    }
}
