//! What the idle agent costs, beside monit doing the same job at the same time on the same machine.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fmt;
use std::time::Duration;
use warden_lab::Node;
use warden_scenarios::Stand;
use warden_scenarios::stand::UNIT;

/// The agent's neighbour: asks the same address every second and follows the same log, and only says what it sees.
const MONIT: &str = "\
set daemon 1
set log /run/monit-bench.log
set pidfile /run/monit-bench.pid
set idfile /run/monit-bench.id
set statefile /run/monit-bench.state
check process bingo with pidfile /run/bingo-bench.pid
  if failed url URL content = \"pong\" timeout 2 seconds for 3 cycles then alert
check file bingo-log with path LOG
  if content = \"We all gonna die\" then alert
";

/// How long system calls are counted: strace slows what it watches, so the other figures are taken before it.
const COUNTED_FOR: u64 = 20;

/// What a program cost over the time it was watched.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    program: String,
    rss_kib: u64,
    pss_kib: u64,
    /// Of one core, in per cent.
    cpu_percent: f64,
    wakeups_a_second: f64,
    system_calls_a_second: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| kib as f64 / 1024.0;
        write!(
            f,
            "{:<14}{:>10.2}{:>10.2}{:>10.3}{:>14.1}{:>16.1}",
            self.program,
            mib(self.rss_kib),
            mib(self.pss_kib),
            self.cpu_percent,
            self.wakeups_a_second,
            self.system_calls_a_second
        )
    }
}

/// The head over [`Cost`]'s columns.
pub(crate) const HEAD: &str = "                 RSS, MiB  PSS, MiB    CPU, %  wake-ups a s  system calls a s";

/// Watches both on one node for `minutes`.
pub(crate) fn take(stand: &Stand, minutes: u64, progress: impl Fn(&str)) -> Result<Vec<Cost>> {
    let name = &stand.nodes()[0];
    let node = stand.node(name)?;
    stand.await_whole()?;
    // What only this needs is not on the stand's machines.
    node.run(&["sh", "-c", "command -v monit >/dev/null && command -v strace >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends monit strace >/dev/null"])
        .context("monit and strace, which this is measured with")?;
    let monit = Monit::start(stand, name, &node)?;
    let programs = [("warden-agent", main_pid(&node, "warden-agent.service")?), ("monit", main_pid(&node, Monit::UNIT)?)]
        .map(|(name, pid)| (name.to_owned(), pid));
    // Their first seconds are no idle ones.
    idle(Duration::from_secs(15));
    let before = programs.iter().map(|(_, pid)| Used::read(&node, *pid)).collect::<Result<Vec<_>>>()?;
    for minute in 0..minutes {
        progress(&format!("idle for {minute} of {minutes} min"));
        idle(Duration::from_secs(60));
    }
    let mut costs = Vec::new();
    for ((program, pid), before) in programs.iter().zip(before) {
        let now = Used::read(&node, *pid)?;
        let watched = now.at - before.at;
        costs.push(Cost {
            program: program.clone(),
            rss_kib: now.rss_kib,
            pss_kib: now.pss_kib,
            cpu_percent: now.nanoseconds.saturating_sub(before.nanoseconds) as f64 / 1e7 / watched,
            wakeups_a_second: now.switches.saturating_sub(before.switches) as f64 / watched,
            system_calls_a_second: 0.0,
        });
    }
    for (cost, (program, pid)) in costs.iter_mut().zip(&programs) {
        progress(&format!("counting {program}'s system calls"));
        cost.system_calls_a_second = system_calls(&node, *pid)?;
    }
    drop(monit);
    stand.await_whole()?;
    Ok(costs)
}

#[expect(clippy::disallowed_methods, reason = "nothing is waited for: what is measured is that nothing happens")]
fn idle(time: Duration) {
    std::thread::sleep(time);
}

/// monit beside the agent, gone with this value.
struct Monit<'n>(&'n Node);

impl<'n> Monit<'n> {
    const UNIT: &'static str = "monit-bench.service";

    fn start(stand: &Stand, name: &str, node: &'n Node) -> Result<Self> {
        let probes = stand.service(name)?.probes;
        let url = &probes.first().context("the agent has no probe")?.target;
        let log = node.run(&["sh", "-c", "ls /opt/bongo/logs/*/main.log"])?;
        let config = MONIT.replace("URL", url).replace("LOG", log.trim());
        let pid = main_pid(node, UNIT)?;
        let script = format!(
            "systemctl disable -q --now monit 2>/dev/null || true; echo {pid} > /run/bingo-bench.pid; umask 077; cat > /run/monit-bench.rc <<'END'\n{config}END\n\
             systemd-run -q --unit={} monit -I -c /run/monit-bench.rc",
            Self::UNIT
        );
        node.run(&["sh", "-c", &script])?;
        let monit = Self(node);
        // It counts as the same job only once it has seen both things well.
        stand.wait(Duration::from_secs(30), |_| {
            let seen = node.run(&["sh", "-c", "cat /run/monit-bench.log 2>/dev/null || true"])?;
            ensure!(node.property(Self::UNIT, "ActiveState")? == "active", "monit has ended: {seen}");
            ensure!(!seen.is_empty(), "monit has said nothing yet");
            Ok(())
        })?;
        Ok(monit)
    }
}

impl Drop for Monit<'_> {
    #[expect(clippy::print_stderr, reason = "a destructor can only say it")]
    fn drop(&mut self) {
        if let Err(error) = self.0.run(&["sh", "-c", "systemctl stop monit-bench.service; rm -f /run/monit-bench.* /run/bingo-bench.pid"]) {
            eprintln!("monit could not be taken away: {error:#}");
        }
    }
}

fn main_pid(node: &Node, unit: &str) -> Result<u32> {
    let text = node.property(unit, "MainPID")?;
    text.parse().ok().filter(|pid| *pid > 0).with_context(|| format!("{unit} has no main process: {text}"))
}

/// What a process has used since its start, over all its threads.
struct Used {
    /// When it was read: seconds since the machine's boot.
    at: f64,
    rss_kib: u64,
    pss_kib: u64,
    nanoseconds: u64,
    /// Voluntary context switches: it had gone to sleep and was woken.
    switches: u64,
}

impl Used {
    fn read(node: &Node, pid: u32) -> Result<Self> {
        let text = node.run(&["sh", "-c", &format!(
            "cat /proc/uptime && cd /proc/{pid} && grep -E '^(Rss|Pss):' smaps_rollup && for t in task/*; do awk '{{ print \"ran:\", $1 }}' $t/schedstat; grep ^voluntary $t/status; done"
        )])?;
        let sum = |key: &str| -> Result<u64> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key));
            let numbers: Vec<u64> = lines.filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect();
            ensure!(!numbers.is_empty(), "no {key} of process {pid} in:\n{text}");
            Ok(numbers.iter().sum())
        };
        let at = text.split_whitespace().next().and_then(|uptime| uptime.parse().ok()).context("/proc/uptime begins with a number")?;
        Ok(Self { at, rss_kib: sum("Rss:")?, pss_kib: sum("Pss:")?, nanoseconds: sum("ran:")?, switches: sum("voluntary_ctxt_switches:")? })
    }
}

/// Counted by strace for a while, all threads.
fn system_calls(node: &Node, pid: u32) -> Result<f64> {
    let script = format!("timeout -s INT {COUNTED_FOR} strace -c -f -q -p {pid} 2>&1 || true");
    let text = node.run(&["sh", "-c", &script])?;
    // The last line of the table: `100.00    0.001234           2       617        12 total`.
    let total = text.lines().find(|line| line.trim_end().ends_with(" total")).with_context(|| format!("strace told nothing:\n{text}"))?;
    let calls: u64 = total.split_whitespace().nth(3).and_then(|number| number.parse().ok()).with_context(|| format!("strace: {total}"))?;
    Ok(calls as f64 / COUNTED_FOR as f64)
}
