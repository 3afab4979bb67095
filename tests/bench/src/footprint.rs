//! What Warden's programs cost, idle and at the steady load, beside monit, supervisord, keepalived and HAProxy at the same time.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fmt;
use std::time::Duration;
use warden_lab::Node;
use warden_scenarios::stand::{BALANCER, UNIT};
use warden_scenarios::{Load, Mix, PutBack, Stand};

/// The agent's neighbour: asks the same address every second and follows the same log, and only says what it sees.
const MONIT: &str = "\
set daemon 1
set log /run/bench-monit.log
set pidfile /run/bench-monit.pid
set idfile /run/bench-monit.id
set statefile /run/bench-monit.state
check process bingo with pidfile /run/bench-bingo.pid
  if failed url URL content = \"pong\" timeout 2 seconds for 3 cycles then alert
check file bingo-log with path LOG
  if content = \"We all gonna die\" then alert
";

/// It has no check of a service's health: it holds one process, as systemd does for the others.
const SUPERVISOR: &str = "\
[supervisord]
nodaemon=true
user=root
logfile=/run/bench-supervisor.log
pidfile=/run/bench-supervisor.pid
[program:held]
command=sleep infinity
";

/// As it stands beside a HAProxy: an address of its own, and a check every second.
const KEEPALIVED: &str = "\
global_defs {
  script_user nobody
  enable_script_security
}
vrrp_script balancer {
  script \"/usr/bin/curl -sf -m 2 -o /dev/null http://127.0.0.1/ping\"
  interval 1
  fall 3
  rise 2
}
vrrp_instance bench {
  state MASTER
  interface INTERFACE
  virtual_router_id 51
  priority 100
  advert_int 1
  track_script { balancer }
  virtual_ipaddress { 198.18.0.250/32 }
}
";

/// How long system calls are counted: strace slows what it watches, so the other figures are taken before it.
const COUNTED_FOR: u64 = 20;

/// How long the steady load lasts.
const LOADED_FOR: u64 = 30;

/// What is watched: its name, the unit that it runs as, and whether that is on the balancer.
const PROGRAMS: [(&str, &str, bool); 6] = [
    ("warden-agent", "warden-agent", false),
    ("monit", "bench-monit", false),
    ("supervisord", "bench-supervisor", false),
    ("warden-coordinator", "warden-coordinator", true),
    ("keepalived", "bench-keepalived", true),
    ("HAProxy", "haproxy", true),
];

/// What a program cost over the time it was watched: with its child processes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    program: String,
    rss_kib: u64,
    pss_kib: u64,
    /// Of one core, in per cent.
    cpu_percent: f64,
    wakeups_a_second: f64,
    system_calls_a_second: f64,
    /// At the steady load of 60 requests a second.
    loaded_cpu_percent: f64,
    loaded_rss_kib: u64,
    binary_bytes: u64,
    /// From its process to its word that it is ready; none: it says none.
    start_usec: Option<u64>,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| kib as f64 / 1024.0;
        write!(
            f,
            "| {} | {:.1} | {:.1} | {:.3} | {:.1} | {:.1} | {:.2} | {:.1} | {:.1} | {} |",
            self.program,
            mib(self.rss_kib),
            mib(self.pss_kib),
            self.cpu_percent,
            self.wakeups_a_second,
            self.system_calls_a_second,
            self.loaded_cpu_percent,
            mib(self.loaded_rss_kib),
            mib(self.binary_bytes / 1024),
            self.start_usec.map_or_else(|| "–".to_owned(), |usec| (usec / 1_000).to_string()),
        )
    }
}

/// The head over [`Cost`]'s columns.
pub(crate) const HEAD: &str = "\
| | RSS, MiB | PSS, MiB | CPU, % of a core | wake-ups a s | system calls a s | CPU at 60 requests/s, % | RSS then, MiB | binary, MiB | ready after, ms |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";

/// Watches all of them for `minutes` of idleness, and then under load.
pub(crate) fn take(stand: &Stand, minutes: u64, progress: impl Fn(&str)) -> Result<Vec<Cost>> {
    let name = &stand.nodes()[0];
    let (node, balancer) = (stand.node(name)?, stand.node(BALANCER)?);
    stand.await_whole()?;
    let _neighbours = neighbours(stand, name, &node, &balancer)?;
    let programs = PROGRAMS.map(|(program, unit, far)| (program, unit, if far { &balancer } else { &node }));
    // Their first seconds are no idle ones.
    idle(Duration::from_secs(15));
    let read = || programs.iter().map(|(_, unit, node)| Used::read(node, unit)).collect::<Result<Vec<_>>>();
    let before = read()?;
    for minute in 0..minutes {
        progress(&format!("idle for {minute} of {minutes} min"));
        idle(Duration::from_secs(60));
    }
    let after = read()?;
    progress("under load");
    let load = Load::start(stand.lab(), stand.http()?, Mix::steady())?;
    let loaded = read()?;
    idle(Duration::from_secs(LOADED_FOR));
    let end = read()?;
    load.stop()?;
    let mut costs = Vec::new();
    for (number, (program, unit, node)) in programs.iter().enumerate() {
        progress(&format!("counting {program}'s system calls"));
        let (idle, busy) = ((&before[number], &after[number]), (&loaded[number], &end[number]));
        let watched = idle.1.at - idle.0.at;
        costs.push(Cost {
            program: (*program).to_owned(),
            rss_kib: idle.1.rss_kib,
            pss_kib: idle.1.pss_kib,
            cpu_percent: Used::cpu_percent(idle),
            wakeups_a_second: idle.1.switches.saturating_sub(idle.0.switches) as f64 / watched,
            system_calls_a_second: system_calls(node, unit)?,
            loaded_cpu_percent: Used::cpu_percent(busy),
            loaded_rss_kib: busy.1.rss_kib,
            binary_bytes: node
                .run(&["sh", "-c", &format!("stat -Lc %s /proc/$(systemctl show -P MainPID {unit})/exe")])?
                .trim()
                .parse()
                .context("a program's size")?,
            start_usec: start(node, unit)?,
        });
    }
    Ok(costs)
}

/// How long the unit's last start took, when it says when it is ready.
fn start(node: &Node, unit: &str) -> Result<Option<u64>> {
    if !node.property(unit, "Type")?.starts_with("notify") {
        return Ok(None);
    }
    let at = |property: &str| -> Result<u64> {
        let text = node.property(unit, property)?;
        text.parse().with_context(|| format!("{unit}: {property} is {text}"))
    };
    Ok(Some(at("ActiveEnterTimestampMonotonic")?.saturating_sub(at("ExecMainStartTimestampMonotonic")?)))
}

/// monit and supervisord beside the agent, keepalived beside the coordinator; gone with what is handed back.
fn neighbours(stand: &Stand, name: &str, node: &Node, balancer: &Node) -> Result<Vec<PutBack>> {
    // What only this needs is not on the stand's machines.
    let install = |node: &Node, packages: &str| {
        let command = format!(
            "dpkg-query -s {packages} >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends {packages} >/dev/null; \
             systemctl disable -q --now {packages} 2>/dev/null || true"
        );
        node.run(&["sh", "-c", &command]).with_context(|| format!("{packages}, which this is measured with"))
    };
    install(node, "monit strace supervisor")?;
    install(balancer, "strace keepalived")?;
    let back = [
        PutBack::by(node, "systemctl stop bench-monit bench-supervisor 2>/dev/null; rm -f /run/bench-*"),
        PutBack::by(balancer, "systemctl stop bench-keepalived 2>/dev/null; rm -f /run/bench-*"),
    ];
    let probes = stand.service(name)?.probes;
    let url = &probes.first().context("the agent has no probe")?.target;
    let log = node.run(&["sh", "-c", "ls /opt/bongo/logs/*/main.log"])?;
    let pid = node.property(UNIT, "MainPID")?;
    let start = |node: &Node, unit: &str, config: &str, command: &str| {
        let script = format!(
            "umask 077; cat > /run/{unit}.conf <<'END'\n{config}END\nsystemd-run -q --collect --unit={unit} {command} /run/{unit}.conf"
        );
        node.run(&["sh", "-c", &script])
    };
    node.run(&["sh", "-c", &format!("echo {pid} > /run/bench-bingo.pid")])?;
    start(node, "bench-monit", &MONIT.replace("URL", url).replace("LOG", log.trim()), "monit -I -c")?;
    start(node, "bench-supervisor", SUPERVISOR, "supervisord -n -c")?;
    let interface = balancer.run(&["sh", "-c", "ip -o -4 route get 198.18.0.11 | sed 's/.* dev \\([^ ]*\\).*/\\1/'"])?;
    let keepalived = "keepalived --dont-fork --pid=/run/bench-keepalived.pid --vrrp_pid=/run/bench-vrrp.pid --use-file";
    start(balancer, "bench-keepalived", &KEEPALIVED.replace("INTERFACE", interface.trim()), keepalived)?;
    // monit counts as the same job only once it has seen both things well.
    stand.wait(Duration::from_secs(30), |_| {
        let seen = node.run(&["sh", "-c", "cat /run/bench-monit.log 2>/dev/null || true"])?;
        ensure!(!seen.is_empty(), "monit has said nothing yet");
        for (unit, node) in [("bench-monit", node), ("bench-supervisor", node), ("bench-keepalived", balancer)] {
            ensure!(
                node.property(unit, "ActiveState")? == "active",
                "{unit} has ended: {}",
                node.run(&["journalctl", "-n", "5", "-u", unit])?
            );
        }
        let addresses = balancer.run(&["ip", "-o", "address"])?;
        ensure!(addresses.contains("198.18.0.250"), "keepalived has no address yet");
        Ok(())
    })?;
    Ok(back.into())
}

#[expect(clippy::disallowed_methods, reason = "nothing is waited for: what is measured is that nothing happens")]
fn idle(time: Duration) {
    std::thread::sleep(time);
}

/// What a unit's processes have used since their start.
struct Used {
    /// When it was read: seconds since the machine's boot.
    at: f64,
    rss_kib: u64,
    pss_kib: u64,
    /// Of all that the unit has run, ended ones too.
    nanoseconds: u64,
    /// Voluntary context switches: it had gone to sleep and was woken.
    switches: u64,
}

impl Used {
    fn read(node: &Node, unit: &str) -> Result<Self> {
        let text = node.run(&["sh", "-c", &format!(
            "cat /proc/uptime; echo \"ran: $(systemctl show -P CPUUsageNSec {unit})\"; main=$(systemctl show -P MainPID {unit}); \
             for pid in $main $(pgrep -P $main); do cd /proc/$pid 2>/dev/null || continue; grep -E '^(Rss|Pss):' smaps_rollup; grep -h ^voluntary task/*/status; done"
        )])?;
        let sum = |key: &str| -> Result<u64> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key));
            let numbers: Vec<u64> = lines.filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect();
            ensure!(!numbers.is_empty(), "no {key} of {unit} in:\n{text}");
            Ok(numbers.iter().sum())
        };
        let at = text.split_whitespace().next().and_then(|uptime| uptime.parse().ok()).context("/proc/uptime begins with a number")?;
        Ok(Self { at, rss_kib: sum("Rss:")?, pss_kib: sum("Pss:")?, nanoseconds: sum("ran:")?, switches: sum("voluntary_ctxt_switches:")? })
    }

    fn cpu_percent((before, after): (&Self, &Self)) -> f64 {
        after.nanoseconds.saturating_sub(before.nanoseconds) as f64 / 1e7 / (after.at - before.at)
    }
}

/// Counted by strace for a while, all threads and child processes.
fn system_calls(node: &Node, unit: &str) -> Result<f64> {
    let script = format!(
        "main=$(systemctl show -P MainPID {unit}); pids=$(pgrep -P $main | sed 's/^/-p /' | tr '\\n' ' '); \
         timeout -s INT {COUNTED_FOR} strace -c -f -q -p $main $pids 2>&1 || true"
    );
    let text = node.run(&["sh", "-c", &script])?;
    // The last line of the table: `100.00    0.001234           2       617        12 total`. A process that makes none has no table.
    let Some(total) = text.lines().find(|line| line.trim_end().ends_with(" total")) else {
        ensure!(text.trim().is_empty(), "strace: {text}");
        return Ok(0.0);
    };
    let calls: u64 = total.split_whitespace().nth(3).and_then(|number| number.parse().ok()).with_context(|| format!("strace: {total}"))?;
    Ok(calls as f64 / COUNTED_FOR as f64)
}
