//! What only a machine that systemd has booted can show. `tests/on-machine.sh` runs these there, as root:
//!
//! `it --ignored lab_ --test-threads 1`
//!
//! Latencies are printed, not asserted: a busy computer must not fail a test.

use crate::contract::{self, Host};
use crate::support::{DEADLINE, until};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use warden_agent::journal::{HITS_A_SECOND, Matcher, Rule, Tail};
use warden_agent::systemd::Units;
use warden_edge::clock::monotonic_micros;
use warden_logic::service::input::{Input, LogHit, UnitSeen};

const DOOM: &str = "We all gonna die";

fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A transient unit, gone with the test.
struct Service(String);

impl Service {
    fn start(name: &str, body: &str) -> Self {
        std::fs::write(format!("/run/systemd/system/{name}"), body).unwrap();
        run(&format!("systemctl daemon-reload && systemctl restart {name}"));
        Self(name.to_owned())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let name = &self.0;
        let _ = Command::new("sh")
            .args(["-c", &format!("systemctl stop {name} 2>/dev/null; rm -f /run/systemd/system/{name} /etc/systemd/system/{name}; systemctl daemon-reload")])
            .status();
    }
}

struct Real(Service);

impl Host for Real {
    fn address(&self) -> Option<String> {
        None
    }

    fn unit(&self) -> String {
        self.0.0.clone()
    }

    async fn kill(&mut self) {
        run(&format!("systemctl kill --signal=KILL --kill-whom=main {}", self.unit()));
    }

    async fn restarts_by_itself(&mut self) {}

    async fn stop(&mut self) {
        run(&format!("systemctl stop {}", self.unit()));
    }

    async fn start(&mut self) {
        run(&format!("systemctl start {}", self.unit()));
    }

    async fn daemon_reload(&mut self) {
        run("systemctl daemon-reload");
    }

    async fn daemon_reexec(&mut self) {
        run("systemctl daemon-reexec");
    }

    async fn restart_bus(&mut self) {
        run("systemctl restart dbus.service");
    }
}

#[tokio::test]
#[ignore = "needs a machine that systemd has booted; tests/on-machine.sh runs it there"]
async fn lab_the_real_systemd_holds_the_contract() {
    let body = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep infinity\nRestart=always\nRestartSec=50ms\n";
    contract::holds(&mut Real(Service::start("warden-contract.service", body))).await;
}

fn unit(input: &Input, wanted: impl Fn(&UnitSeen) -> bool) -> Option<UnitSeen> {
    if let Input::Unit(seen) = input { wanted(seen).then(|| seen.clone()) } else { None }
}

#[tokio::test]
#[ignore = "needs a machine that systemd has booted; tests/on-machine.sh runs it there"]
async fn lab_a_unit_masked_removed_or_renamed_is_followed() {
    let service = Service::start("warden-followed.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    let (name, folder) = (&service.0, "/run/systemd/system");
    let other = Service("warden-followed-again.service".to_owned());
    let renamed = &other.0;
    let (sender, mut inputs) = mpsc::channel(64);
    let _units = Units::start(vec![name.clone()], sender);
    let runs = |loaded| move |input: &Input| unit(input, |seen| seen.loaded == loaded && seen.main_pid > 0);
    let first = until(&mut inputs, "the first reading", runs(true)).await;

    // Neither a mask nor the want of a file ends what runs.
    for (there, back) in [
        (format!("systemctl mask {name}"), format!("systemctl unmask {name}")),
        (
            format!("mv {folder}/{name} {folder}/{name}.away && systemctl daemon-reload"),
            format!("mv {folder}/{name}.away {folder}/{name} && systemctl daemon-reload"),
        ),
    ] {
        run(&there);
        let seen = until(&mut inputs, &there, runs(false)).await;
        assert_eq!((seen.main_pid, seen.invocation), (first.main_pid, first.invocation));
        run(&back);
        let seen = until(&mut inputs, &back, runs(true)).await;
        assert_eq!((seen.main_pid, seen.invocation), (first.main_pid, first.invocation));
    }

    // Its name is that of another unit now, and so are its processes.
    run(&format!(
        "systemctl stop {name} && mv {folder}/{name} {folder}/{renamed} && ln -s {renamed} {folder}/{name} && systemctl daemon-reload && \
         systemctl start {renamed}"
    ));
    for what in ["its process", "its next process"] {
        let invocation = run(&format!("systemctl show --value --property=InvocationID {renamed}"));
        until(&mut inputs, what, |input| runs(true)(input)?.invocation.filter(|found| found.to_string() == invocation.trim())).await;
        run(&format!("systemctl restart {renamed}"));
    }
}

/// A service that logs what is written to its pipe, line by line.
struct Talker {
    _service: Service,
    _directory: TempDir,
    pipe: std::fs::File,
    unit: String,
}

impl Talker {
    fn start(name: &str, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let shown = path.display();
        // Opened for both, so that the shell never sees an end of file.
        let body = format!("[Service]\nLogRateLimitIntervalSec=0\n{settings}\nExecStart=/bin/sh -c 'exec cat <>{shown}'\n");
        let unit = format!("warden-{name}.service");
        let service = Service::start(&unit, &body);
        let pipe = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        Self { _service: service, _directory: directory, pipe, unit }
    }

    fn say(&self, line: &str) {
        (&self.pipe).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn rule(&self) -> Rule {
        let matcher = Matcher::Line(DOOM.to_owned());
        Rule { service: 3, unit: self.unit.clone(), name: "doom".to_owned(), matcher, pattern: 0 }
    }

    fn invocation(&self) -> String {
        run(&format!("systemctl show --value --property=InvocationID {}", self.unit)).trim().to_owned()
    }
}

fn hit(input: &Input) -> Option<LogHit> {
    if let Input::LogHit(hit) = input { Some(hit.clone()) } else { None }
}

fn start(rules: Vec<Rule>, state: &Path, hint: Option<OwnedFd>) -> (Tail, mpsc::Receiver<(usize, Input)>) {
    let (sender, inputs) = mpsc::channel(64);
    (Tail::start(rules, state.to_owned(), hint, sender), inputs)
}

/// A tail begins to read some time after its start; a line that is seen says that it does.
async fn settled(talker: &Talker, tail: &Tail) {
    let settled = timeout(DEADLINE, async {
        while tail.health().records == 0 {
            talker.say("are you there?");
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(settled.await.is_ok(), "no record was read: {:?}", tail.health());
}

#[tokio::test]
#[ignore = "needs a machine that systemd has booted; tests/on-machine.sh runs it there"]
async fn lab_lines_of_the_unit_are_hits_and_nobody_else_s() {
    let talker = Talker::start("talker", "");
    let forger = Talker::start("forger", "");
    let state = tempfile::tempdir().unwrap();
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    settled(&talker, &tail).await;
    forger.say(DOOM);
    run(&format!("logger --journald <<END\nMESSAGE={DOOM}\n_SYSTEMD_UNIT={}\nEND", talker.unit));
    talker.say(&format!("GET /?q={DOOM}"));
    talker.say(&format!("  {DOOM}\u{1b}"));
    talker.say(&format!("  {DOOM} "));
    let before = monotonic_micros();
    let first = until(&mut inputs, "the hit", hit).await;
    assert_eq!((first.line.as_str(), first.pattern), (format!("journal: {DOOM}").as_str(), 0));
    assert_eq!(first.invocation.to_string(), talker.invocation());
    assert!(first.at.as_micros() < before + 5_000_000 && first.at.as_micros() > before - 5_000_000);
    let health = tail.health();
    assert_eq!((health.hits.get(&3), health.error, health.source.as_str()), (Some(&1), None, "journal, poll 5 ms"));
    assert!(tail.stop().await);
    assert!(inputs.recv().await.is_none(), "one hit and no more");
}

#[tokio::test]
#[ignore = "needs a machine that systemd has booted; tests/on-machine.sh runs it there"]
async fn lab_a_restart_of_the_agent_misses_nothing_and_repeats_nothing() {
    let talker = Talker::start("talker", "");
    let state = tempfile::tempdir().unwrap();
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    settled(&talker, &tail).await;
    talker.say(DOOM);
    let first = until(&mut inputs, "the first", hit).await;
    assert!(tail.stop().await);
    talker.say(DOOM);
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    let second = until(&mut inputs, "the one in between", hit).await;
    assert!(second.at > first.at);
    talker.say(DOOM);
    let third = until(&mut inputs, "the one after", hit).await;
    assert!(third.at > second.at);
    drop(tail);

    // Killed, not stopped: what was told a moment ago may be told again, and nothing is lost.
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    settled(&talker, &tail).await;
    talker.say(DOOM);
    until(&mut inputs, "the next", |input| hit(input).filter(|hit| hit.at > third.at)).await;
    assert!(tail.stop().await);

    // Without a position only what comes is told.
    std::fs::remove_file(state.path().join("cursor")).unwrap();
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    settled(&talker, &tail).await;
    talker.say(DOOM);
    let last = until(&mut inputs, "the last", hit).await;
    assert!(last.at.as_micros() > monotonic_micros() - 5_000_000 && tail.health().hits[&3] == 1, "{:?}", tail.health());
}

#[tokio::test]
#[ignore = "needs a machine that systemd has booted; tests/on-machine.sh runs it there"]
async fn lab_rotation_and_a_restart_of_journald_lose_nothing() {
    let talker = Talker::start("talker", "");
    let state = tempfile::tempdir().unwrap();
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    settled(&talker, &tail).await;
    for disturbance in [
        "journalctl --rotate",
        "journalctl --rotate --vacuum-files=1",
        "journalctl --rotate --vacuum-time=1us",
        "systemctl restart systemd-journald",
        "journalctl --sync",
    ] {
        run(disturbance);
        talker.say(DOOM);
        until(&mut inputs, disturbance, hit).await;
        assert_eq!(tail.health().error, None, "{disturbance}");
    }
    assert_eq!(tail.health().hits[&3], 5);
    assert_eq!(tail.health().error, None);
}

/// journald goes on again, whatever came of the test.
struct Stuck;

impl Stuck {
    fn begin() -> Self {
        run("systemctl kill --signal=STOP --kill-whom=main systemd-journald");
        Self
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = Command::new("systemctl").args(["kill", "--signal=CONT", "--kill-whom=main", "systemd-journald"]).status();
    }
}

#[tokio::test]
#[ignore = "needs a machine that systemd has booted; tests/on-machine.sh runs it there"]
async fn lab_lines_that_wait_for_a_stuck_journald_are_read_when_it_goes_on() {
    let talker = Talker::start("talker", "");
    let state = tempfile::tempdir().unwrap();
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    settled(&talker, &tail).await;
    let stuck = Stuck::begin();
    talker.say(DOOM);
    // Who reads waits for no journald: the end, and another begin.
    assert!(tail.stop().await);
    let (next, mut after) = start(vec![talker.rule()], state.path(), None);
    drop(stuck);
    until(&mut after, "the line", hit).await;
    assert!(inputs.recv().await.is_none(), "and it is told once");
    assert_eq!((next.health().hits[&3], next.health().error), (1, None));
}

#[tokio::test]
#[ignore = "needs a machine that systemd has booted; tests/on-machine.sh runs it there"]
async fn lab_a_journal_that_was_vacuumed_meanwhile_is_read_on_and_the_gap_is_told() {
    let talker = Talker::start("talker", "");
    let state = tempfile::tempdir().unwrap();
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    settled(&talker, &tail).await;
    talker.say(DOOM);
    let first = until(&mut inputs, "the first", hit).await;
    assert_eq!(tail.health().gaps, 0);
    assert!(tail.stop().await);
    run("journalctl --sync; journalctl --rotate --vacuum-time=1us");
    talker.say(DOOM);
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    let second = until(&mut inputs, "the one after the gap", hit).await;
    assert!(second.at > first.at);
    let health = tail.health();
    assert_eq!((health.gaps, health.error), (1, None));
    assert!(tail.stop().await);
}

#[tokio::test]
#[ignore = "needs a machine that systemd has booted; tests/on-machine.sh runs it there"]
async fn lab_floods_are_thinned_and_gaps_are_counted() {
    let talker = Talker::start("talker", "");
    let state = tempfile::tempdir().unwrap();
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    settled(&talker, &tail).await;
    for _ in 0..2_000 {
        talker.say(DOOM);
    }
    talker.say("are you there?");
    let counted = timeout(DEADLINE, async {
        while tail.health().hits.get(&3) != Some(&2_000) {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(counted.await.is_ok(), "{:?}", tail.health());
    assert!(tail.stop().await);
    let mut forwarded = 0;
    while inputs.recv().await.is_some() {
        forwarded += 1;
    }
    assert!((HITS_A_SECOND..500).contains(&forwarded), "{forwarded}");

    let limited = Talker::start("limited", "LogRateLimitIntervalSec=1s\nLogRateLimitBurst=5");
    let (tail, _inputs) = start(vec![limited.rule()], state.path(), None);
    // journald says how many it dropped when the interval is over and the next message comes.
    let told = timeout(DEADLINE, async {
        while tail.health().suppressed == 0 {
            limited.say(&"again\n".repeat(500));
            sleep(Duration::from_millis(300)).await;
        }
    });
    assert!(told.await.is_ok(), "{:?}", tail.health());
}

/// The socket that a unit of ours will hand to the agent.
fn hint_socket() -> OwnedFd {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
    use std::os::fd::AsRawFd;
    std::fs::create_dir_all("/run/systemd/journald.conf.d").unwrap();
    std::fs::write("/run/systemd/journald.conf.d/warden-test.conf", "[Journal]\nForwardToSyslog=yes\n").unwrap();
    run("systemctl stop syslog.socket rsyslog.service 2>/dev/null; systemctl restart systemd-journald");
    let path = "/run/systemd/journal/syslog";
    let _ = std::fs::remove_file(path);
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(socket.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    socket
}

/// Prints how long it takes from the writing of a line to the hit in the feed.
async fn latencies(what: &str, talker: &Talker, inputs: &mut mpsc::Receiver<(usize, Input)>) {
    let (mut taken, mut since_receipt) = (Vec::new(), Vec::new());
    for round in 0..100_u64 {
        // Not in step with any poll, and below the throttle.
        sleep(Duration::from_millis(105 + round % 7)).await;
        let written = monotonic_micros();
        talker.say(DOOM);
        let hit = until(inputs, what, hit).await;
        let now = monotonic_micros();
        taken.push(now - written);
        since_receipt.push(now - hit.at.as_micros());
    }
    for (from, mut taken) in [("written", taken), ("received by journald", since_receipt)] {
        taken.sort_unstable();
        let [p50, p90, p99, max] = [50, 90, 98, 99].map(|rank| taken[rank]);
        #[expect(clippy::print_stdout, reason = "a figure for the reader of the test's output")]
        {
            println!("{what}: fatal line {from} → hit in the feed: p50 {p50} µs, p90 {p90} µs, p99 {p99} µs, max {max} µs (n=100)");
        }
    }
}

#[tokio::test]
#[ignore = "needs a machine that systemd has booted; tests/on-machine.sh runs it there"]
async fn lab_latency_by_poll_and_by_hint() {
    let talker = Talker::start("talker", "");
    let state = tempfile::tempdir().unwrap();
    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), None);
    settled(&talker, &tail).await;
    latencies("poll", &talker, &mut inputs).await;
    assert!(tail.stop().await);

    let (tail, mut inputs) = start(vec![talker.rule()], state.path(), Some(hint_socket()));
    settled(&talker, &tail).await;
    latencies("hint", &talker, &mut inputs).await;
    assert_eq!(tail.health().source, "journal, hint socket");
    drop(tail);
    std::fs::remove_file("/run/systemd/journal/syslog").unwrap();
    std::fs::remove_file("/run/systemd/journald.conf.d/warden-test.conf").unwrap();
}
