//! A long time under the steady load, with the ages that bingo really has and faults at random: what clients saw of it.

use crate::figures::Distribution;
use crate::progress;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use warden_scenarios::answers::Class;
use warden_scenarios::faults::cause::{PORT, operation};
use warden_scenarios::stand::{BALANCER, UNIT, poison};
use warden_scenarios::{Load, Mix, PutBack, Stand, pause};

/// Answers are counted, and the figures so far written, after each of these.
const SEGMENT: Duration = Duration::from_secs(300);

/// Between two faults: from so many seconds to so many.
const APART: std::ops::Range<u64> = 60..180;

/// For how long a cable is out, or a process stands still.
const WHILE: Duration = Duration::from_secs(10);

/// What can happen, each as likely as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// Of failed requests, so many are told one by one.
const TOLD: usize = 500;

/// What must stay flat: resident memory and open files of what runs all the time, and what the journals hold.
const WATCHED: [(&str, &str); 3] =
    [("agent", "warden-agent.service"), ("coordinator", "warden-coordinator.service"), ("haproxy", "haproxy.service")];

/// Requests of one method, by what clients saw.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
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

/// A process that should neither grow nor gather open files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    /// `agent on bingo-1`.
    name: String,
    rss_kib: u64,
    open_files: u64,
}

/// How things stood after a segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sample {
    seconds: u64,
    processes: Vec<Process>,
    /// Of all machines together.
    journal_kib: u64,
    /// Of the segment's GETs.
    get_usec: Distribution,
}

/// What came of it, so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Soak {
    seed: u64,
    warden: bool,
    seconds: u64,
    methods: BTreeMap<String, Counts>,
    faults: BTreeMap<Fault, u32>,
    /// How often bingo began anew, by fault, age or plan.
    restarts: u64,
    samples: Vec<Sample>,
    /// The first failed requests, word by word.
    failed: Vec<String>,
}

impl Soak {
    fn add(&mut self, answers: &warden_scenarios::Answers) {
        for answer in &answers.0 {
            let counts = self.methods.entry(answer.method.to_owned()).or_default();
            counts.all += 1;
            match answer.class {
                Class::Answered => {}
                Class::ServerError => counts.server_error += 1,
                Class::NoAnswer => counts.no_answer += 1,
                Class::Truncated => counts.truncated += 1,
                Class::Busy => counts.busy += 1,
            }
        }
        let free = TOLD.saturating_sub(self.failed.len());
        self.failed.extend(answers.failed().take(free).map(|answer| {
            let (at, usec, method, path, class, detail) =
                (answer.at, answer.usec, answer.method, answer.path, answer.class, &answer.detail);
            format!("done at {at} µs after {usec} µs: {method} {path}: {class:?}: {detail}")
        }));
    }

    /// What an earlier run left in `file`, to go on from there.
    ///
    /// # Errors
    /// When it cannot be read, or is of another soak.
    fn resumed(file: &Path, seed: u64, warden: bool) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("{}: there is nothing to go on from", file.display()))?;
        let soak: Self = serde_json::from_str(&text).with_context(|| format!("{}", file.display()))?;
        ensure!(
            (soak.seed, soak.warden) == (seed, warden),
            "{} is of seed {}, {} Warden: give the same, or begin anew without --resume",
            file.display(),
            soak.seed,
            if soak.warden { "with" } else { "without" }
        );
        Ok(soak)
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
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else { return Ok(()) };
        writeln!(f)?;
        writeln!(f, "| what should stay flat | after {} min | after {} min |", first.seconds / 60, last.seconds / 60)?;
        writeln!(f, "| --- | ---: | ---: |")?;
        for (now, then) in first.processes.iter().flat_map(|then| {
            let now = last.processes.iter().find(|now| now.name == then.name);
            now.map(|now| (now, then))
        }) {
            let mib = |process: &Process| process.rss_kib as f64 / 1024.0;
            writeln!(f, "| {}: RSS, MiB | {:.1} | {:.1} |", now.name, mib(then), mib(now))?;
            writeln!(f, "| {}: open files | {} | {} |", now.name, then.open_files, now.open_files)?;
        }
        writeln!(f, "| journals of all machines, MiB | {} | {} |", first.journal_kib / 1024, last.journal_kib / 1024)?;
        writeln!(f, "| GETs, ms (p50 p95 p99) | {} | {} |", first.get_usec.brief(), last.get_usec.brief())
    }
}

/// Which soak is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) minutes: u64,
    pub(crate) seed: u64,
    pub(crate) warden: bool,
    /// The figures so far are written there after each segment.
    pub(crate) json: Option<&'a Path>,
    /// Go on from the figures that an earlier run left there.
    pub(crate) resume: bool,
}

/// Runs it. Each segment draws its own faults from the seed and its number, so that a resumed soak meets the same ones.
pub(crate) fn take(stand: &Stand, plan: Plan<'_>) -> Result<Soak> {
    let Plan { minutes, seed, warden, json, resume } = plan;
    let mut soak = match json {
        Some(file) if resume => Soak::resumed(file, seed, warden)?,
        _ => Soak {
            seed,
            warden,
            seconds: 0,
            methods: BTreeMap::new(),
            faults: BTreeMap::new(),
            restarts: 0,
            samples: Vec::new(),
            failed: Vec::new(),
        },
    };
    let _back = if warden { Vec::new() } else { without(stand)? };
    let before = starts(stand)?;
    let (earlier, restarts) = (soak.seconds, soak.restarts);
    let begin = Instant::now();
    let run = || Duration::from_secs(earlier) + begin.elapsed();
    let whole = Duration::from_secs(minutes * 60);
    while run() < whole {
        let segment = run().as_secs() / SEGMENT.as_secs();
        let mut dice = fastrand::Rng::with_seed(seed.wrapping_mul(1_000_000).wrapping_add(segment));
        let end = (run() + SEGMENT).min(whole);
        let mut next = run() + Duration::from_secs(dice.u64(APART));
        let load = Load::start(stand.lab(), stand.http()?, Mix::steady())?;
        while run() < end {
            let now = run();
            if now >= next {
                let fault = FAULTS[dice.usize(..FAULTS.len())];
                let node = &stand.nodes()[dice.usize(..stand.nodes().len())];
                progress(&format!("{} of {minutes} min: {fault:?} on {node}", now.as_secs() / 60));
                if happen(stand, fault, node, warden).with_context(|| format!("{fault:?} on {node}"))? {
                    *soak.faults.entry(fault).or_default() += 1;
                }
                next = run() + Duration::from_secs(dice.u64(APART));
            }
            pause(next.min(end).saturating_sub(run()).min(Duration::from_secs(5)))?;
            progress(&format!("{} of {minutes} min", run().as_secs() / 60));
        }
        let answers = load.stop()?;
        soak.add(&answers);
        soak.seconds = run().as_secs();
        soak.restarts = restarts + starts(stand)?.saturating_sub(before);
        soak.samples.push(sample(stand, soak.seconds, warden, &answers)?);
        if let Some(file) = json {
            std::fs::write(file, serde_json::to_string_pretty(&soak)? + "\n").with_context(|| format!("{}", file.display()))?;
        }
    }
    progress("");
    Ok(soak)
}

fn sample(stand: &Stand, seconds: u64, warden: bool, answers: &warden_scenarios::Answers) -> Result<Sample> {
    let mut sample = Sample {
        seconds,
        processes: Vec::new(),
        journal_kib: 0,
        get_usec: Distribution::of(answers.0.iter().filter(|answer| answer.method == "GET").map(|answer| answer.usec)),
    };
    for name in stand.nodes().iter().map(String::as_str).chain([BALANCER]) {
        let node = stand.node(name)?;
        let journal = node.run(&["sh", "-c", "du -skc /var/log/journal /run/log/journal 2>/dev/null | tail -n 1 | cut -f 1"])?;
        sample.journal_kib += journal.trim().parse::<u64>().with_context(|| format!("kibibytes, not {journal}"))?;
        for (program, unit) in WATCHED {
            let here = (program == "agent") != (name == BALANCER);
            if !here || (!warden && program != "haproxy") {
                continue;
            }
            // Of a service of several processes, the one that works: HAProxy's master only waits.
            let script = format!(
                "pid=$(systemctl show -P MainPID {unit}); worker=$(pgrep -P $pid | tail -n 1); cd /proc/${{worker:-$pid}} && \
                 awk '/^VmRSS/ {{ print $2 }}' status && ls fd | wc -l"
            );
            // A process that was killed a moment ago is given the time to be there again.
            let (rss_kib, open_files) = stand.wait(Duration::from_secs(20), |_| {
                let text = node.run(&["sh", "-c", &script]).with_context(|| format!("what {program} on {name} uses"))?;
                let mut numbers = text.split_whitespace().map(str::parse::<u64>);
                match (numbers.next(), numbers.next()) {
                    (Some(Ok(rss_kib)), Some(Ok(open_files))) => Ok((rss_kib, open_files)),
                    _ => anyhow::bail!("what {program} on {name} uses: {text}"),
                }
            })?;
            sample.processes.push(Process { name: format!("{program} on {name}"), rss_kib, open_files });
        }
    }
    Ok(sample)
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
