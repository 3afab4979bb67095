//! The same fault at the same load against what people would use instead of Warden, and against Warden.

mod incident;
mod keeper;
mod paper;
mod setup;

pub(crate) use paper::write;

use crate::progress;
use anyhow::{Context, Result, ensure};
use incident::One;
use keeper::Keeper;
use serde::Serialize;
use setup::Balancer;
use std::collections::BTreeMap;
use warden_scenarios::stand::BALANCER;
use warden_scenarios::{Settings, Speed, Stand};

/// Somebody's way of keeping clients from a sick server, and of restarting it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Its word on the command line.
    pub(crate) key: &'static str,
    /// For people.
    name: &'static str,
    /// What stands behind `default-server` in HAProxy's configuration.
    server: &'static str,
    /// Safe requests that failed are tried again elsewhere.
    retries: bool,
    keeper: Keeper,
    /// Incidents take a minute: a few have to do.
    slow: bool,
}

/// HAProxy's own defaults for a check: every 2 s, three failures, two passes.
const DEFAULTS: &str = "check";

/// As the role `haproxy` has it, but for slow start: the others have none, and the way back is measured.
const OURS: &str = "check inter 1s fall 2 rise 2 agent-check agent-addr 127.0.0.1 agent-port 7481 agent-inter 200ms";

/// In the order of the table.
pub(crate) const PEERS: [Peer; 9] = [
    Peer { key: "defaults", name: "HAProxy's defaults", server: DEFAULTS, retries: false, keeper: Keeper::Nobody, slow: false },
    Peer {
        key: "tuned",
        name: "HAProxy, inter 500ms fastinter 100ms fall 2",
        server: "check inter 500ms fastinter 100ms fall 2",
        retries: false,
        keeper: Keeper::Nobody,
        slow: false,
    },
    Peer {
        key: "observe",
        name: "HAProxy, observe layer7, mark-down after 10",
        server: "check observe layer7 error-limit 10 on-error mark-down",
        retries: false,
        keeper: Keeper::Nobody,
        slow: false,
    },
    Peer {
        key: "patroni",
        name: "HAProxy as in Patroni's sample",
        server: "check inter 3s fall 3 rise 2 on-marked-down shutdown-sessions",
        retries: false,
        keeper: Keeper::Nobody,
        slow: false,
    },
    Peer {
        key: "shell",
        name: "a shell check every 31 s, HAProxy's defaults",
        server: DEFAULTS,
        retries: false,
        keeper: Keeper::Shell,
        slow: true,
    },
    Peer {
        key: "monit",
        name: "monit every second, HAProxy's defaults",
        server: DEFAULTS,
        retries: false,
        keeper: Keeper::Monit,
        slow: false,
    },
    Peer { key: "log", name: "Warden, log pattern", server: OURS, retries: false, keeper: Keeper::Warden { pattern: true }, slow: false },
    Peer {
        key: "probes",
        name: "Warden, probes only",
        server: OURS,
        retries: false,
        keeper: Keeper::Warden { pattern: false },
        slow: false,
    },
    Peer {
        key: "retries",
        name: "Warden, log pattern, HAProxy's retries",
        server: OURS,
        retries: true,
        keeper: Keeper::Warden { pattern: true },
        slow: false,
    },
];

/// What is to be taken.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// So many incidents for each peer and rate; a third of it where one takes a minute.
    pub(crate) incidents: u32,
    /// Requests a second.
    pub(crate) rates: Vec<u32>,
    /// By their keys; nobody: all.
    pub(crate) only: Vec<String>,
}

/// One peer at one rate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    key: &'static str,
    name: &'static str,
    rate: u32,
    incidents: Vec<One>,
}

/// All of it, and where it was taken.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    taken: String,
    machine: BTreeMap<&'static str, String>,
    nodes: usize,
    rows: Vec<Row>,
}

/// Takes the figures on the running stand, which is as before afterwards.
pub(crate) fn take(stand: &Stand, plan: &Plan) -> Result<Figures> {
    ensure!(
        stand.nodes().len() == 3,
        "this stand has {} nodes, and the comparison is of three: make clean, then make deploy NODES=3 SCALE=0.01",
        stand.nodes().len()
    );
    for key in &plan.only {
        let keys = PEERS.map(|peer| peer.key);
        ensure!(keys.contains(&key.as_str()), "there is no {key}; there are {}", keys.join(", "));
    }
    let machine = machine(stand)?;
    // Each incident ends with a server that is back, so starts are made quick; what is compared lies before that.
    let quick = Speed { warmup: "200ms", slow_start: false, restarts_at_will: true };
    let _settings = stand.nodes().iter().map(|node| Settings::apply(stand, node, quick)).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for peer in PEERS.iter().filter(|peer| plan.only.is_empty() || plan.only.iter().any(|key| key == peer.key)) {
        // The keeper goes last: it puts Warden back, which wants the stand's own HAProxy again.
        let _kept = peer.keeper.begin(stand).with_context(|| format!("setting up: {}", peer.name))?;
        let balancer = Balancer::begin(stand, peer).with_context(|| format!("setting up: {}", peer.name))?;
        for rate in &plan.rates {
            let count = if peer.slow { plan.incidents.div_ceil(3) } else { plan.incidents };
            let mut incidents = Vec::new();
            for number in 0..count {
                progress(&format!("{}, {rate} requests/s: incident {} of {count}", peer.name, number + 1));
                let node = &stand.nodes()[number as usize % stand.nodes().len()];
                incidents.push(
                    incident::one(stand, &balancer, peer, *rate, node)
                        .with_context(|| format!("{}, {rate} requests/s, incident {}", peer.name, number + 1))?,
                );
            }
            rows.push(Row { key: peer.key, name: peer.name, rate: *rate, incidents });
        }
    }
    progress("");
    Ok(Figures { taken: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(), machine, nodes: stand.nodes().len(), rows })
}

/// What the figures depend on.
fn machine(stand: &Stand) -> Result<BTreeMap<&'static str, String>> {
    let balancer = stand.node(BALANCER)?;
    let node = stand.node(&stand.nodes()[0])?;
    let first = |text: String| text.lines().next().unwrap_or_default().trim().to_owned();
    Ok(BTreeMap::from([
        ("debian", first(balancer.run(&["cat", "/etc/debian_version"])?)),
        ("haproxy", first(balancer.run(&["dpkg-query", "-W", "-f", "${Version}", "haproxy"])?)),
        ("systemd", first(balancer.run(&["dpkg-query", "-W", "-f", "${Version}", "systemd"])?)),
        ("monit", keeper::monit(&node).map(first)?),
        ("warden", first(node.run(&["warden-agent", "--version"])?)),
        ("kernel", first(node.run(&["uname", "-r"])?)),
        ("processor", first(node.run(&["sh", "-c", "sed -n 's/^model name.*: //p' /proc/cpuinfo"])?)),
        ("cores", first(node.run(&["nproc"])?)),
    ]))
}
