//! How a fault is brought about, and how it is undone.

use super::{Fault, Place};
use crate::certificates::End;
use crate::put_back::PutBack;
use crate::stand::{BALANCER, Stand};
use anyhow::{Result, ensure};
use std::time::Duration;
use warden_lab::Node;
use warden_lab::fault::BadLine;

/// In a shell: the port on which bingo listens, empty when it does not.
pub const PORT: &str = "port=$(ss -Hltnp | sed -n 's/.*:\\([0-9]*\\) .*\"bingo\".*/\\1/p' | head -n 1)";

/// In a shell: the process of a unit ($unit); of one whose first process only waits, the one that works.
const WORKER: &str = "pid=$(systemctl show -P MainPID $unit); case $unit in haproxy|varnish) pid=$(pgrep -P $pid | tail -n 1); esac";

/// It stands still nine tenths of the time, until it or this ends. What this leaves stopped goes on.
const SLOWLY: &str = "trap 'kill -CONT $pid 2>/dev/null; exit 0' TERM; \
    while kill -STOP $pid 2>/dev/null; do sleep 0.09; kill -CONT $pid 2>/dev/null || break; sleep 0.01; done";

/// A small file system, full, over the folder in which a unit keeps its state.
const DISK_FULL: &str = "d=/var/lib/UNIT; cp -a $d /run/chaos-state; mount -t tmpfs -o size=256k chaos $d; \
    cp -a /run/chaos-state/. $d; chown --reference=/run/chaos-state $d; chmod --reference=/run/chaos-state $d; \
    dd if=/dev/zero of=$d/full bs=1k 2>/dev/null || true; systemctl restart UNIT";

const DISK_READ_ONLY: &str = "d=/var/lib/UNIT; mount --bind $d $d; mount -o remount,ro,bind $d; systemctl restart UNIT";

/// What undoes both.
const DISK_AGAIN: &str = "systemctl stop UNIT; umount /var/lib/UNIT || true; rm -rf /run/chaos-state; systemctl start UNIT";

/// By strace, because the machines share this computer's disk.
const DISK_SLOW: &str = "command -v strace >/dev/null || apt-get -q install -y --no-install-recommends strace >/dev/null; \
    systemd-run -q --collect --unit=chaos-disk strace -qq -f -o /dev/null -e trace=fsync,fdatasync,rename \
    -e inject=fsync,fdatasync,rename:delay_enter=500000 -p $(systemctl show -P MainPID UNIT)";

/// libfaketime stands between a unit and the clock, because the machines share this computer's. Unpacked, not installed.
const CLOCK: &str = "f=/run/chaos-clock; drop=/run/systemd/system/UNIT.service.d; mkdir -p $f $drop; \
    dpkg-deb -x /opt/warden-lab-packages/libfaketime_*.deb $f; echo +0 >$f/clock; chmod -R a+rX $f; \
    set -- $f/usr/lib/*/faketime/libfaketimeMT.so.1; printf '[Service]\\nEnvironment=LD_PRELOAD=%s FAKETIME_TIMESTAMP_FILE=%s \
    FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1\\n' $1 $f/clock >$drop/90-chaos.conf; \
    systemctl daemon-reload; systemctl restart UNIT; grep -q faketime /proc/$(systemctl show -P MainPID UNIT)/maps; \
    echo $step >$f/clock";

const CLOCK_AGAIN: &str = "rm -rf /run/systemd/system/UNIT.service.d/90-chaos.conf; systemctl daemon-reload; systemctl restart UNIT; \
    rm -rf /run/chaos-clock";

/// Two hundred connections a second, four hundred at a time, a minute at most.
const FLOOD: &str = include_str!("../../flood.py");

/// Open-loop, a minute at most, two hundred requests under way at most.
const LOAD: &str = include_str!("../../overload.py");

/// How long a certificate lasts that runs out on purpose: both ends meet under it before.
const SHORT_LIFE: Duration = Duration::from_secs(8);

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// A request to a node's bingo, past the balancer (see [`crate::stand::poison`]).
    Operation(u64),
    /// A signal to a unit's process, once.
    Signal(&'static str, &'static str),
    /// A unit's process stands still until it is undone.
    Paused(&'static str),
    /// A unit's process stands still nine tenths of the time until it is undone.
    Slowed(&'static str),
    /// `systemctl`, once: a verb and perhaps a unit.
    Systemctl(&'static str),
    /// A unit is stopped until it is undone.
    Stopped(&'static str),
    /// A unit begins anew, and can have no more of these than it had.
    Limited(&'static str, Limit),
    /// The disk with the state of a program of Warden's is full to the last byte until it is undone; the program begins anew on it.
    DiskFull(&'static str),
    /// The same, and it cannot be written.
    DiskReadOnly(&'static str),
    /// What a program of Warden's writes takes half a second each until it is on the disk.
    DiskSlow(&'static str),
    /// The clock of a program of Warden's steps by so many seconds, and back when it is undone.
    ClockSteps(&'static str, i32),
    /// A program of Warden's is to take a configuration that is wrong.
    ReloadedBadly(&'static str),
    /// A rule of nftables in a hook (`input`, `output`) of the machine, until it is undone.
    Rule(&'static str, &'static str),
    /// The machine's cable is out until it is undone.
    Cable,
    /// The line to the machine is bad until it is undone: late by, later by up to, lost share, at most so much.
    Line {
        /// As in `200ms`; empty: none of it.
        delay: &'static str,
        /// As in `20ms`.
        jitter: &'static str,
        /// As in `5%`.
        loss: &'static str,
        /// As in `1mbit`.
        rate: &'static str,
    },
    /// The machine loses its power, and is booted when it is undone.
    Power,
    /// The certificate of the Warden program on that machine runs out, and is renewed when it is undone.
    Certificate,
    /// A stranger on that machine opens connections to `host:port` or a path of a socket, a few hundred at most, and says nothing,
    /// half a request, a request without end, or garbage on them, until it is undone. `NODE` is the node. As `user:group`.
    Flooded(&'static str, &'static str),
    /// So many GETs a second of `http://lb-1/ping` beside the load, from that machine, until it is undone.
    Overload(u32),
    /// Commands of the shell: what brings it about, and what undoes it (nothing, for what happens once).
    Shell(&'static str, &'static str),
}

/// What a unit can have only so many of.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Open files, sockets and the like.
    Files,
    /// Threads and processes.
    Tasks,
}

impl Place {
    /// The machine, given which of the nodes it is about.
    ///
    /// # Errors
    /// When the lab has none of that name.
    pub fn machine(self, stand: &Stand, node: &str) -> Result<Node> {
        stand.node(match self {
            Self::Node => node,
            Self::Balancer => BALANCER,
            Self::Database => "db-1",
            Self::Monitoring => "mon-1",
        })
    }
}

impl Fault {
    /// Brings it about; when this returns, it is in effect. What is handed back undoes it.
    ///
    /// # Errors
    /// When it cannot be brought about; nothing is left of it.
    pub fn begin(&self, stand: &Stand, node: &str) -> Result<Option<PutBack>> {
        let machine = self.place.machine(stand, node)?;
        let shell = |begin: &str, end: &str| -> Result<Option<PutBack>> {
            let back = (!end.is_empty()).then(|| PutBack::by(&machine, format!("set -e; {end}")));
            machine.run(&["sh", "-c", &format!("set -e; {begin}")])?;
            Ok(back)
        };
        match self.cause {
            Cause::Operation(value) => {
                ensure!(operation(stand, node, value)?, "nothing listens on {node}");
                Ok(None)
            }
            Cause::Signal(unit, signal) => shell(&format!("unit={unit}; {WORKER}; kill -{signal} $pid"), ""),
            // By its process: a bus that stands still carries no order to go on.
            Cause::Paused(unit) => {
                let pid = machine.run(&["sh", "-c", &format!("unit={unit}; {WORKER}; echo $pid")])?;
                let pid = pid.trim();
                shell(&format!("kill -STOP {pid}"), &format!("kill -CONT {pid} 2>/dev/null || true"))
            }
            Cause::Slowed(unit) => shell(
                &format!(
                    "unit={unit}; {WORKER}; export pid; systemd-run -q --collect --unit=chaos-slow-$unit -E pid sh -c \"{}\"",
                    quoted(SLOWLY)
                ),
                &format!("systemctl stop chaos-slow-{unit} 2>/dev/null || true"),
            ),
            Cause::Systemctl(words) => shell(&format!("systemctl {words}"), ""),
            Cause::Stopped(unit) => shell(&format!("systemctl stop {unit}"), &format!("systemctl start {unit}")),
            Cause::Cable => {
                let put = machine.clone();
                let back = PutBack::with(format!("{}: its cable", machine.name()), move || put.link(true));
                machine.link(false)?;
                Ok(Some(back))
            }
            Cause::Line { delay, jitter, loss, rate } => {
                let word = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                let line = BadLine { delay: word(delay), jitter: word(jitter), loss: word(loss), rate: word(rate) };
                let good = machine.clone();
                let back = PutBack::with(format!("{}: its line", machine.name()), move || good.line(None));
                machine.line(Some(&line))?;
                Ok(Some(back))
            }
            Cause::Power => {
                let on = machine.clone();
                // The switch's end of its cable is out as well.
                let back = PutBack::with(format!("{}: its power", machine.name()), move || on.boot().and_then(|()| on.link(true)));
                machine.poweroff()?;
                Ok(Some(back))
            }
            Cause::Certificate => {
                let end = if self.place == Place::Balancer { End::coordinator(stand)? } else { End::agent(node) };
                let unit = if self.place == Place::Balancer { "warden-coordinator" } else { "warden-agent" };
                let back = end.replace(stand, SHORT_LIFE)?;
                crate::pause(SHORT_LIFE)?;
                // Open connections go on under what was good when they began.
                machine.run(&["systemctl", "restart", unit])?;
                Ok(Some(back))
            }
            Cause::Limited(unit, limit) => {
                let pid = machine.run(&["sh", "-c", &format!("unit={unit}; {WORKER}; echo $pid")])?;
                let (name, most) = match limit {
                    Limit::Files => ("LimitNOFILE", machine.run(&["sh", "-c", &format!("ls /proc/{}/fd | wc -l", pid.trim())])?),
                    Limit::Tasks => ("LimitNPROC", tasks_like(&machine, pid.trim())?.to_string()),
                };
                let drop_in = format!("/run/systemd/system/{unit}.service.d/90-chaos.conf");
                let again = format!("systemctl daemon-reload; systemctl restart {unit}");
                shell(
                    &format!("mkdir -p $(dirname {drop_in}); printf '[Service]\n{name}={}\n' >{drop_in}; {again}", most.trim()),
                    &format!("rm -f {drop_in}; {again}"),
                )
            }
            Cause::DiskFull(unit) => shell(&of_unit(DISK_FULL, unit), &of_unit(DISK_AGAIN, unit)),
            Cause::DiskReadOnly(unit) => shell(&of_unit(DISK_READ_ONLY, unit), &of_unit(DISK_AGAIN, unit)),
            Cause::DiskSlow(unit) => shell(&of_unit(DISK_SLOW, unit), "systemctl stop chaos-disk 2>/dev/null || true"),
            Cause::ClockSteps(unit, seconds) => shell(&format!("step={seconds:+}; {}", of_unit(CLOCK, unit)), &of_unit(CLOCK_AGAIN, unit)),
            Cause::ReloadedBadly(unit) => {
                let file = format!("/etc/warden/{}.d/99-chaos.toml", unit.trim_start_matches("warden-"));
                let begin = format!("echo 'nonsense = ' >{file}; systemctl reload {unit} || true");
                shell(&begin, &format!("rm -f {file}; systemctl reload {unit}"))
            }
            Cause::Rule(hook, rule) => {
                let table = format!("table inet chaos {{ chain c {{ type filter hook {hook} priority filter; {rule}; }}; }}");
                shell(&format!("nft '{table}'"), "nft delete table inet chaos 2>/dev/null || true")
            }
            Cause::Flooded(target, who) => {
                let (user, group) = who.split_once(':').unwrap_or((who, who));
                let target = target.replace("NODE", node);
                let begin = format!(
                    "cat >/run/chaos-flood.py <<'END'\n{FLOOD}END\nsystemd-run -q --collect --unit=chaos-flood --uid={user} --gid={group} \
                     python3 /run/chaos-flood.py {target}"
                );
                shell(&begin, "systemctl stop chaos-flood 2>/dev/null; rm -f /run/chaos-flood.py")
            }
            Cause::Overload(rate) => shell(
                &format!(
                    "cat >/run/chaos-load.py <<'END'\n{LOAD}END\nsystemd-run -q --collect --unit=chaos-load python3 /run/chaos-load.py {rate}"
                ),
                "systemctl stop chaos-load 2>/dev/null; rm -f /run/chaos-load.py",
            ),
            Cause::Shell(begin, end) => shell(begin, end),
        }
    }
}

/// The tasks of all processes of the user that a machine's process runs as. The kernel counts them by the user's number, and the
/// lab's machines share this computer's kernel: those of other machines count as well.
fn tasks_like(machine: &Node, pid: &str) -> Result<u64> {
    let user = machine.run(&["stat", "-c", "%u", &format!("/proc/{pid}")])?;
    let mut tasks = 0;
    for process in std::fs::read_dir("/proc")? {
        // One that has ended meanwhile has no tasks.
        let Ok(status) = std::fs::read_to_string(process?.path().join("status")) else { continue };
        let word = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next());
        if word("Uid:") == Some(user.trim()) {
            tasks += word("Threads:").and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(tasks)
}

/// A text about a unit: `UNIT` in it is the unit.
fn of_unit(text: &str, unit: &str) -> String {
    text.replace("UNIT", unit)
}

/// Within double quotes of a shell, as it stands.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$")
}

/// By bingo's own port, which needs no agent that knows it. False when nobody listens.
///
/// # Errors
/// When the node cannot be reached.
pub fn operation(stand: &Stand, node: &str, value: u64) -> Result<bool> {
    let command = format!("{PORT}; curl -s -m 5 -d '{{\"operation\": {value}}}' http://127.0.0.1:$port/operation");
    let out = stand.node(node)?.exec(&["sh", "-c", &command])?;
    // 3: no port, 7: refused. Some values end the process before it has answered.
    Ok(!matches!(out.status.code(), Some(3 | 7)))
}
