//! The faults. What may come of each is as narrow as it is known to be: what is not named here is a broken law.

use super::Cause::*;
use super::{Cause, Clients, Fault, Limit, May, Place, Whose};
use crate::stand::poison;
use anyhow::{Context, Result};

/// Nobody sees anything, and no process becomes another.
const UNSEEN: May = May { clients: Clients::Nothing, restart: Whose::Nobodys, out: Whose::Nobodys, warden: false };

/// A program of Warden's dies or begins anew: a silent agent is no dead service.
const REPLACED: May = May { warden: true, ..UNSEEN };

/// One bingo dies: it leaves, is begun anew, and comes back.
const DIES: May = May { clients: Clients::Writes, restart: Whose::Its, out: Whose::Its, warden: false };

/// One node cannot be reached: HAProxy moves on, and nobody is restarted for it.
const UNREACHED: May = May { clients: Clients::Writes, restart: Whose::Nobodys, out: Whose::Its, warden: false };

/// The balancer's own.
const BALANCERS: May = May { clients: Clients::Outage, restart: Whose::Nobodys, out: Whose::Everybodys, warden: false };

/// The database's own: without it nobody is restarted, because bingo could not even start.
const DATABASES: May = BALANCERS;

/// For how long something stands still or is away.
const WHILE: u64 = 8;
/// So much longer than the stand's bingo takes to leak until it turns sick (256 MiB at 10 MiB a second) that it is restarted by then.
const LEAKED: u64 = 30;

/// A minute at most.
const BUSY: &str = "for n in 1 2 3 4; do systemd-run -q --collect --unit=chaos-busy-$n timeout 60 sh -c 'while :; do :; done'; done";

const AGENT: &str = "warden-agent";
const COORDINATOR: &str = "warden-coordinator";

const fn fault(place: Place, name: &'static str, what: &'static str, cause: Cause) -> Fault {
    Fault { name, what, place, cause, lasts: 0, may: UNSEEN, core: false }
}

const fn on_node(name: &'static str, what: &'static str, cause: Cause) -> Fault {
    fault(Place::Node, name, what, cause)
}

const fn on_balancer(name: &'static str, what: &'static str, cause: Cause) -> Fault {
    fault(Place::Balancer, name, what, cause)
}

const fn on_database(name: &'static str, what: &'static str, cause: Cause) -> Fault {
    fault(Place::Database, name, what, cause)
}

const fn on_monitoring(name: &'static str, what: &'static str, cause: Cause) -> Fault {
    fault(Place::Monitoring, name, what, cause)
}

impl Fault {
    const fn lasts(mut self, seconds: u64) -> Self {
        self.lasts = seconds;
        self
    }

    const fn may(mut self, may: May) -> Self {
        self.may = may;
        self
    }

    const fn core(mut self) -> Self {
        self.core = true;
        self
    }
}

/// bingo itself.
const BINGO: [Fault; 11] = [
    on_node("bingo-sick", "bingo answers 500 to everything and says so in its log", Operation(poison::SICK)).may(DIES).core(),
    on_node("bingo-panics", "bingo panics", Operation(poison::PANIC)).may(DIES),
    on_node("bingo-leaks", "bingo takes memory until it turns sick", Operation(poison::LEAK)).lasts(LEAKED).may(DIES),
    on_node("bingo-exits", "bingo ends by itself, without an error", Signal("bingo", "TERM")).may(DIES),
    on_node("bingo-killed", "bingo is killed", Signal("bingo", "KILL")).may(DIES),
    on_node("bingo-hangs", "bingo stands still for good", Signal("bingo", "STOP")).lasts(WHILE).may(DIES).core(),
    on_node("bingo-paused", "bingo stands still for a second", Paused("bingo")).lasts(1).may(May { restart: Whose::Nobodys, ..DIES }),
    on_node("bingo-slowed", "bingo stands still nine tenths of the time", Slowed("bingo")).lasts(WHILE).may(DIES),
    on_monitoring("bingo-overloaded", "more is asked for than the nodes may serve", Overload(400)).lasts(WHILE),
    on_node("bingo-restarted", "somebody restarts bingo by hand", Systemctl("restart bingo")).may(DIES),
    on_node("bingo-stopped", "somebody stops bingo by hand, and starts it again", Stopped("bingo")).lasts(WHILE).may(DIES).core(),
];

/// Warden's own programs.
const WARDEN: [Fault; 30] = [
    on_node("agent-killed", "an agent is killed", Signal(AGENT, "KILL")).may(REPLACED).core(),
    on_node("agent-paused", "an agent stands still", Paused(AGENT)).lasts(WHILE),
    on_node("agent-restarted", "an agent is restarted", Systemctl("restart warden-agent")).may(REPLACED),
    on_node("agent-stopped", "an agent is away", Stopped(AGENT)).lasts(WHILE).may(REPLACED),
    on_node("agent-slowed", "an agent stands still nine tenths of the time", Slowed(AGENT)).lasts(WHILE),
    on_node("agent-reloaded-badly", "an agent is to take a configuration that is wrong", ReloadedBadly(AGENT)).lasts(3),
    on_node("agent-out-of-descriptors", "an agent can open nothing more", Limited(AGENT, Limit::Files)).lasts(WHILE).may(REPLACED),
    on_node("agent-out-of-processes", "an agent can begin no thread and no process more", Limited(AGENT, Limit::Tasks))
        .lasts(WHILE)
        .may(REPLACED),
    on_node("agent-disk-full", "the disk of an agent's state is full", DiskFull(AGENT)).lasts(WHILE).may(REPLACED),
    on_node("agent-disk-read-only", "the disk of an agent's state is read-only", DiskReadOnly(AGENT)).lasts(WHILE).may(REPLACED),
    on_node("agent-disk-slow", "the disk of an agent's state is slow", DiskSlow(AGENT)).lasts(WHILE),
    on_node("agent-clock-ahead", "an agent's clock steps two hours ahead", ClockSteps(AGENT, 7200)).lasts(WHILE).may(REPLACED),
    on_node("agent-clock-back", "an agent's clock steps two hours back", ClockSteps(AGENT, -7200)).lasts(WHILE).may(REPLACED),
    on_node("agent-certificate-expired", "a node's certificate runs out", Certificate).lasts(WHILE).may(REPLACED),
    on_node(
        "agent-upgraded",
        "an agent's package is installed again",
        Shell("dpkg --force-confold --install /var/cache/warden/*.deb >/dev/null", ""),
    )
    .may(REPLACED),
    on_balancer("coordinator-killed", "the coordinator is killed", Signal(COORDINATOR, "KILL")).may(REPLACED),
    on_balancer("coordinator-paused", "the coordinator stands still", Paused(COORDINATOR)).lasts(WHILE),
    on_balancer("coordinator-restarted", "the coordinator is restarted", Systemctl("restart warden-coordinator")).may(REPLACED),
    on_balancer("coordinator-stopped", "the coordinator is away", Stopped(COORDINATOR)).lasts(WHILE).may(REPLACED),
    on_balancer("coordinator-slowed", "the coordinator stands still nine tenths of the time", Slowed(COORDINATOR)).lasts(WHILE),
    on_balancer("coordinator-reloaded-badly", "the coordinator is to take a configuration that is wrong", ReloadedBadly(COORDINATOR))
        .lasts(3),
    on_balancer("coordinator-out-of-descriptors", "the coordinator can open nothing more", Limited(COORDINATOR, Limit::Files))
        .lasts(WHILE)
        .may(REPLACED),
    on_balancer("coordinator-out-of-processes", "the coordinator can begin no thread more", Limited(COORDINATOR, Limit::Tasks))
        .lasts(WHILE)
        .may(REPLACED),
    on_balancer("coordinator-disk-full", "the disk of the coordinator's state is full", DiskFull(COORDINATOR)).lasts(WHILE).may(REPLACED),
    on_balancer("coordinator-disk-read-only", "the disk of the coordinator's state is read-only", DiskReadOnly(COORDINATOR))
        .lasts(WHILE)
        .may(REPLACED),
    on_balancer("coordinator-disk-slow", "the disk of the coordinator's state is slow", DiskSlow(COORDINATOR)).lasts(WHILE),
    on_balancer("coordinator-clock-ahead", "the coordinator's clock steps two hours ahead", ClockSteps(COORDINATOR, 7200))
        .lasts(WHILE)
        .may(REPLACED),
    on_balancer("coordinator-clock-back", "the coordinator's clock steps two hours back", ClockSteps(COORDINATOR, -7200))
        .lasts(WHILE)
        .may(REPLACED),
    on_balancer("coordinator-certificate-expired", "the coordinator's certificate runs out", Certificate).lasts(WHILE).may(REPLACED),
    on_balancer(
        "coordinator-upgraded",
        "the coordinator's package is installed again",
        Shell("dpkg --force-confold --install /var/cache/warden/*.deb >/dev/null", ""),
    )
    .may(REPLACED),
];

/// What the machines run beside.
const MACHINES: [Fault; 25] = [
    on_node("journald-killed", "a node's journald is killed", Signal("systemd-journald", "KILL")),
    on_node("journald-restarted", "a node's journald is restarted", Systemctl("restart systemd-journald")),
    on_node("journald-paused", "a node's journald stands still", Paused("systemd-journald")).lasts(WHILE),
    on_node("journald-slowed", "a node's journald stands still nine tenths of the time", Slowed("systemd-journald")).lasts(WHILE),
    on_node(
        "journal-vacuumed",
        "a node's journal is thrown away",
        Shell("journalctl --sync; journalctl -q --rotate --vacuum-time=1us", ""),
    ),
    on_balancer("balancer-journald-restarted", "the balancer's journald is restarted", Systemctl("restart systemd-journald")),
    on_balancer("balancer-journald-paused", "the balancer's journald stands still", Paused("systemd-journald")).lasts(WHILE),
    on_node("dbus-restarted", "a node's D-Bus is restarted", Systemctl("restart dbus")).core(),
    on_node("dbus-killed", "a node's D-Bus is killed", Signal("dbus", "KILL")),
    on_node("dbus-paused", "a node's D-Bus stands still", Paused("dbus")).lasts(WHILE),
    on_node(
        "polkit-killed",
        "a node's polkit is killed",
        Shell("systemctl start polkit; pkill -KILL polkitd", "systemctl reset-failed polkit 2>/dev/null"),
    ),
    on_node("polkit-paused", "a node's polkit stands still", Paused("polkit")).lasts(WHILE),
    on_node("logind-restarted", "a node's logind is restarted", Systemctl("restart systemd-logind")),
    on_node("systemd-reloaded", "a node's systemd reads its units again", Systemctl("daemon-reload")),
    on_node("systemd-reexecuted", "a node's systemd begins anew", Systemctl("daemon-reexec")),
    on_balancer("balancer-systemd-reexecuted", "the balancer's systemd begins anew", Systemctl("daemon-reexec")),
    on_node("node-busy", "a node's processors have four other things to do", Shell(BUSY, "systemctl stop 'chaos-busy-*' 2>/dev/null"))
        .lasts(WHILE)
        .may(UNREACHED),
    on_node("node-power", "a node loses its power", Power).lasts(WHILE).may(May { warden: true, ..DIES }),
    on_monitoring("monitoring-power", "the monitoring machine loses its power", Power).lasts(WHILE),
    on_database("database-power", "the database's machine loses its power", Power).lasts(WHILE).may(DATABASES),
    on_balancer("balancer-power", "the balancer loses its power", Power).lasts(WHILE).may(May { warden: true, ..BALANCERS }),
    on_monitoring("prometheus-killed", "Prometheus is killed", Signal("prometheus", "KILL")),
    on_monitoring("prometheus-paused", "Prometheus stands still", Paused("prometheus")).lasts(WHILE),
    on_monitoring("alertmanager-killed", "Alertmanager is killed", Signal("prometheus-alertmanager", "KILL")),
    on_monitoring("alertmanager-stopped", "Alertmanager is away", Stopped("prometheus-alertmanager")).lasts(WHILE),
];

/// HAProxy, Varnish, PostgreSQL.
const NEIGHBOURS: [Fault; 15] = [
    on_balancer("haproxy-reloaded", "HAProxy is reloaded", Systemctl("reload haproxy")).core(),
    on_balancer("haproxy-restarted", "HAProxy is restarted", Systemctl("restart haproxy")).may(BALANCERS),
    on_balancer("haproxy-killed", "HAProxy's worker is killed", Signal("haproxy", "KILL")).may(BALANCERS),
    on_balancer("haproxy-paused", "HAProxy's worker stands still", Paused("haproxy")).lasts(5).may(BALANCERS),
    on_balancer("haproxy-slowed", "HAProxy's worker stands still nine tenths of the time", Slowed("haproxy")).lasts(WHILE).may(BALANCERS),
    on_balancer("varnish-killed", "Varnish's worker is killed", Signal("varnish", "KILL")),
    on_balancer("varnish-paused", "Varnish's worker stands still", Paused("varnish")).lasts(WHILE),
    on_balancer("varnish-restarted", "Varnish is restarted", Systemctl("restart varnish")),
    on_balancer("varnish-stopped", "Varnish is away", Stopped("varnish")).lasts(WHILE),
    on_database("postgresql-killed", "PostgreSQL is killed", Signal("postgresql@17-main", "KILL")).may(DATABASES),
    on_database("postgresql-restarted", "PostgreSQL is restarted", Systemctl("restart postgresql@17-main")).may(DATABASES),
    on_database("postgresql-paused", "PostgreSQL's first process stands still", Paused("postgresql@17-main")).lasts(WHILE).may(DATABASES),
    on_database("postgresql-frozen", "every process of PostgreSQL stands still", Shell("pkill -STOP -u postgres", "pkill -CONT -u postgres")).lasts(WHILE).may(DATABASES),
    on_database("postgresql-stopped", "PostgreSQL is away", Stopped("postgresql@17-main")).lasts(WHILE).may(DATABASES).core(),
    on_database("postgresql-locked", "somebody holds a lock on every table", Shell("systemd-run -q --collect --unit=chaos-lock --uid=postgres sh -c \"(echo 'BEGIN; LOCK TABLE sessions, customers, movies; '; sleep 60) | psql -q bingo\"", "systemctl stop chaos-lock")).lasts(5).may(DATABASES),
];

/// Lines between them.
const LINES: [Fault; 17] = [
    on_node("node-cable", "a node's cable is out", Cable).lasts(WHILE).may(UNREACHED).core(),
    on_node("node-deaf-to-balancer", "what the balancer sends to a node does not arrive", Rule("input", "ip saddr 198.18.0.10 drop"))
        .lasts(WHILE)
        .may(UNREACHED)
        .core(),
    on_node("node-mute-to-balancer", "what a node sends to the balancer does not arrive", Rule("output", "ip daddr 198.18.0.10 drop"))
        .lasts(WHILE)
        .may(UNREACHED),
    on_node("node-line-lossy", "a node's line loses a packet in twenty", Line { delay: "", jitter: "", loss: "5%", rate: "" })
        .lasts(WHILE)
        .may(UNREACHED),
    on_node("node-line-late", "a node's line is 200 ms late each way", Line { delay: "200ms", jitter: "", loss: "", rate: "" })
        .lasts(WHILE)
        .may(UNREACHED),
    on_node(
        "node-line-out-of-order",
        "a node's line brings packets in another order",
        Line { delay: "20ms", jitter: "20ms", loss: "", rate: "" },
    )
    .lasts(WHILE)
    .may(UNREACHED),
    on_node("node-line-narrow", "a node's line carries a megabit a second", Line { delay: "", jitter: "", loss: "", rate: "1mbit" })
        .lasts(WHILE)
        .may(UNREACHED),
    on_node(
        "agent-unheard",
        "what an agent sends to the coordinator does not arrive",
        Rule("output", "ip daddr 198.18.0.10 tcp dport 7443 drop"),
    )
    .lasts(WHILE),
    on_node(
        "agent-unanswered",
        "what the coordinator answers an agent does not arrive",
        Rule("input", "ip saddr 198.18.0.10 tcp sport 7443 drop"),
    )
    .lasts(WHILE),
    on_balancer("agent-refused", "the coordinator's port refuses", Rule("input", "tcp dport 7443 reject with tcp reset")).lasts(WHILE),
    on_node("node-cut-from-database", "a node does not reach the database", Rule("output", "tcp dport 5432 drop"))
        .lasts(WHILE)
        .may(UNREACHED),
    on_node("node-refused-by-database", "the database refuses a node", Rule("output", "tcp dport 5432 reject with tcp reset"))
        .lasts(WHILE)
        .may(UNREACHED),
    on_database("database-cable", "the database's cable is out", Cable).lasts(WHILE).may(DATABASES),
    on_database(
        "database-line-lossy",
        "the database's line loses a packet in twenty",
        Line { delay: "", jitter: "", loss: "5%", rate: "" },
    )
    .lasts(WHILE)
    .may(DATABASES),
    on_database(
        "database-line-late",
        "the database's line is 100 ms late each way",
        Line { delay: "100ms", jitter: "", loss: "", rate: "" },
    )
    .lasts(WHILE)
    .may(DATABASES),
    on_monitoring("monitoring-cable", "the monitoring machine's cable is out", Cable).lasts(WHILE),
    on_balancer("balancer-cable", "the balancer's cable is out", Cable).lasts(WHILE).may(BALANCERS),
];

/// Strangers who mean harm, on a machine that has no business here or as a user who has none.
const STRANGERS: [Fault; 5] = [
    on_database("coordinator-flooded", "a stranger floods the port for agents", Flooded("lb-1:7443", "nobody:nogroup")).lasts(WHILE).core(),
    on_database("page-flooded", "a stranger floods the live page", Flooded("lb-1:7480", "nobody:nogroup")).lasts(WHILE),
    on_balancer("agent-check-flooded", "a user floods the port that HAProxy asks", Flooded("127.0.0.1:7481", "nobody:nogroup"))
        .lasts(WHILE),
    on_node("metrics-flooded", "a stranger floods an agent's metrics", Flooded("NODE:7482", "nobody:nogroup")).lasts(WHILE),
    on_node("agent-socket-flooded", "a user floods an agent's socket", Flooded("/run/warden/agent.sock", "nobody:warden")).lasts(WHILE),
];

/// Several at once: names, each with the number of the node that it is about.
pub const TOGETHER: [&[(&str, usize)]; 13] = [
    &[("bingo-sick", 0), ("bingo-sick", 1)],
    &[("bingo-sick", 0), ("bingo-hangs", 1)],
    &[("bingo-sick", 0), ("agent-killed", 0)],
    &[("bingo-sick", 0), ("coordinator-killed", 0)],
    &[("agent-unheard", 0), ("bingo-sick", 0)],
    &[("journald-paused", 0), ("bingo-sick", 0)],
    &[("dbus-restarted", 0), ("bingo-sick", 0)],
    &[("polkit-killed", 0), ("bingo-sick", 0)],
    &[("postgresql-stopped", 0), ("bingo-sick", 0)],
    &[("bingo-sick", 0), ("agent-upgraded", 0)],
    &[("coordinator-killed", 0), ("haproxy-reloaded", 0), ("bingo-sick", 1)],
    &[("node-power", 0), ("coordinator-restarted", 0)],
    &[("node-cable", 0), ("agent-killed", 1), ("haproxy-reloaded", 0)],
];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Fault> {
    BINGO.iter().chain(&WARDEN).chain(&MACHINES).chain(&NEIGHBOURS).chain(&LINES).chain(&STRANGERS)
}

/// The one of that name.
///
/// # Errors
/// When there is none, with those that begin alike, or how all are printed.
pub fn find(name: &str) -> Result<&'static Fault> {
    let part = name.split('-').next().unwrap_or_default();
    all().find(|fault| fault.name == name).with_context(|| {
        let alike: Vec<_> = all().map(|fault| fault.name).filter(|other| other.starts_with(part)).collect();
        match alike[..] {
            [] => format!("there is no fault {name}; warden-chaos --list prints them"),
            _ => format!("there is no fault {name}; there are {}", alike.join(", ")),
        }
    })
}
