//! A long time under the steady load, with the ages that bingo really has and faults at random: what clients saw of it.

use crate::progress;
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use warden_lab::wait;
use warden_scenarios::answers::Class;
use warden_scenarios::stand::{BALANCER, UNIT, poison};
use warden_scenarios::{Load, Mix, PutBack, Stand};

/// Answers are counted, and the figures so far written, after each of these.
const SEGMENT: Duration = Duration::from_secs(300);

/// Between two faults: from so many seconds to so many.
const APART: std::ops::Range<u64> = 60..180;

/// In a shell: the port on which bingo listens, empty when it does not.
const PORT: &str = "port=$(ss -Hltnp | sed -n 's/.*:\\([0-9]*\\) .*\"bingo\".*/\\1/p' | head -n 1)";

/// For how long a cable is out, or a process stands still.
const WHILE: Duration = Duration::from_secs(10);

/// What can happen, each as likely as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    Sick,
    Panic,
    Leak,
    Kill,
    Hang,
    Cable,
    AgentKilled,
    CoordinatorKilled,
    HaproxyReloaded,
}

const FAULTS: [Fault; 9] = [
    Fault::Sick,
    Fault::Panic,
    Fault::Leak,
    Fault::Kill,
    Fault::Hang,
    Fault::Cable,
    Fault::HaproxyReloaded,
    Fault::AgentKilled,
    Fault::CoordinatorKilled,
];

/// Requests of one method, by what clients saw.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    all: u64,
    server_error: u64,
    no_answer: u64,
    truncated: u64,
    busy: u64,
}

impl Counts {
    fn failed(self) -> u64 {
        self.server_error + self.no_answer + self.truncated + self.busy
    }
}

/// What came of it, so far.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Soak {
    seed: u64,
    warden: bool,
    seconds: u64,
    methods: BTreeMap<&'static str, Counts>,
    faults: BTreeMap<Fault, u32>,
    /// How often bingo began anew, by fault, age or plan.
    restarts: u64,
}

impl Soak {
    fn add(&mut self, answers: &warden_scenarios::Answers) {
        for answer in &answers.0 {
            let counts = self.methods.entry(answer.method).or_default();
            counts.all += 1;
            match answer.class {
                Class::Answered => {}
                Class::ServerError => counts.server_error += 1,
                Class::NoAnswer => counts.no_answer += 1,
                Class::Truncated => counts.truncated += 1,
                Class::Busy => counts.busy += 1,
            }
        }
    }
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.warden { "with Warden" } else { "without: Restart=always and a check every 31 s" };
        let faults: Vec<_> = self.faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        writeln!(
            f,
            "{} min, seed {}, {who}; bingo began {} times; faults: {}",
            self.seconds / 60,
            self.seed,
            self.restarts,
            faults.join(", ")
        )?;
        writeln!(f)?;
        writeln!(f, "| method | requests | failed | share, % | 5xx | no answer | cut | 429 |")?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for (method, counts) in &self.methods {
            let share = counts.failed() as f64 * 100.0 / counts.all.max(1) as f64;
            let Counts { all, server_error, no_answer, truncated, busy } = counts;
            let failed = counts.failed();
            writeln!(f, "| {method} | {all} | {failed} | {share:.4} | {server_error} | {no_answer} | {truncated} | {busy} |")?;
        }
        Ok(())
    }
}

/// Runs it, and writes the figures so far to `json` after each segment.
pub(crate) fn take(stand: &Stand, minutes: u64, seed: u64, warden: bool, json: Option<&Path>) -> Result<Soak> {
    let _back = if warden { Vec::new() } else { without(stand)? };
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut soak = Soak { seed, warden, seconds: 0, methods: BTreeMap::new(), faults: BTreeMap::new(), restarts: 0 };
    let (begin, whole) = (Instant::now(), Duration::from_secs(minutes * 60));
    let restarts = starts(stand)?;
    let mut next = Duration::from_secs(dice.u64(APART));
    while begin.elapsed() < whole {
        let end = (begin.elapsed() + SEGMENT).min(whole);
        let load = Load::start(stand.lab(), stand.http()?, Mix::steady())?;
        while begin.elapsed() < end {
            let now = begin.elapsed();
            if now >= next {
                let fault = FAULTS[dice.usize(..FAULTS.len())];
                let node = &stand.nodes()[dice.usize(..stand.nodes().len())];
                progress(&format!("{} of {minutes} min: {fault:?} on {node}", now.as_secs() / 60));
                if happen(stand, fault, node, warden).with_context(|| format!("{fault:?} on {node}"))? {
                    *soak.faults.entry(fault).or_default() += 1;
                }
                next = begin.elapsed() + Duration::from_secs(dice.u64(APART));
            }
            pause(next.min(end).saturating_sub(begin.elapsed()).min(Duration::from_secs(5)))?;
            progress(&format!("{} of {minutes} min", begin.elapsed().as_secs() / 60));
        }
        soak.add(&load.stop()?);
        soak.seconds = begin.elapsed().as_secs();
        soak.restarts = starts(stand)?.saturating_sub(restarts);
        if let Some(file) = json {
            std::fs::write(file, serde_json::to_string_pretty(&soak)? + "\n").with_context(|| format!("{}", file.display()))?;
        }
    }
    progress("");
    Ok(soak)
}

/// True when it happened: a node that is down at the moment cannot be made sick, and without Warden nobody can kill it.
fn happen(stand: &Stand, fault: Fault, node: &str, warden: bool) -> Result<bool> {
    let machine = stand.node(node)?;
    match fault {
        Fault::Sick => return operation(stand, node, poison::SICK),
        Fault::Panic => return operation(stand, node, poison::PANIC),
        Fault::Leak => return operation(stand, node, poison::LEAK),
        Fault::Kill => return Ok(machine.exec(&["systemctl", "kill", "--signal=KILL", "--kill-who=main", UNIT])?.ok()),
        Fault::Hang => {
            let _back = PutBack::by(&machine, format!("systemctl kill --signal=CONT --kill-who=main {UNIT} || true"));
            if !machine.exec(&["systemctl", "kill", "--signal=STOP", "--kill-who=main", UNIT])?.ok() {
                return Ok(false);
            }
            pause(WHILE)?;
        }
        Fault::Cable => {
            machine.link(false)?;
            let paused = pause(WHILE);
            machine.link(true)?;
            paused?;
        }
        Fault::AgentKilled | Fault::CoordinatorKilled if !warden => return Ok(false),
        Fault::AgentKilled => machine.kill("warden-agent.service")?,
        Fault::CoordinatorKilled => stand.node(BALANCER)?.kill("warden-coordinator.service")?,
        Fault::HaproxyReloaded => drop(stand.node(BALANCER)?.run(&["systemctl", "reload", "haproxy"])?),
    }
    Ok(true)
}

/// By bingo's own port, because in the other half of the comparison no agent knows its address. False when nobody listens.
fn operation(stand: &Stand, node: &str, value: u64) -> Result<bool> {
    let command = format!("{PORT}; curl -s -m 5 -d '{{\"operation\": {value}}}' http://127.0.0.1:$port/operation");
    let out = stand.node(node)?.exec(&["sh", "-c", &command])?;
    // 3: no port, 7: refused. Some values end the process before it has answered.
    Ok(!matches!(out.status.code(), Some(3 | 7)))
}

/// Warden away, and in its place what the people who deployed bingo had.
fn without(stand: &Stand) -> Result<Vec<PutBack>> {
    let mut back = Vec::new();
    for name in stand.nodes() {
        let node = stand.node(name)?;
        back.push(PutBack::by(&node, "systemctl stop soak-check 2>/dev/null; systemctl start warden-agent"));
        node.run(&["systemctl", "stop", "warden-agent"])?;
        let check = format!(
            "while sleep 31; do {PORT}; [ \"$(curl -s -m 5 http://127.0.0.1:$port/ping)\" = pong ] || systemctl restart bingo; done"
        );
        node.run(&["systemd-run", "--quiet", "--collect", "--unit=soak-check", "sh", "-c", &check])?;
    }
    let balancer = stand.node(BALANCER)?;
    back.push(PutBack::by(&balancer, "systemctl start warden-coordinator"));
    balancer.run(&["systemctl", "stop", "warden-coordinator"])?;
    Ok(back)
}

/// How often bingo has begun on all nodes, by its own words.
fn starts(stand: &Stand) -> Result<u64> {
    stand.nodes().iter().try_fold(0, |sum, node| {
        let count = stand.node(node)?.run(&["sh", "-c", "journalctl -q -b -u bingo -o cat | grep -c yoohoo_server_launched || true"])?;
        Ok(sum + count.trim().parse::<u64>().with_context(|| format!("a count, not {count}"))?)
    })
}

fn pause(time: Duration) -> Result<()> {
    let begin = Instant::now();
    wait::until(time + Duration::from_secs(5), || if begin.elapsed() >= time { Ok(()) } else { Err("it is not time yet".to_owned()) })
}
