//! How an agent grows with the number of its services, and with the number of patterns against a log of fifty thousand lines a second; how
//! the coordinator's page grows with what has happened.

mod page;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;
use warden_lab::Node;
use warden_scenarios::stand::PATIENCE;
use warden_scenarios::timeline::now_micros;
use warden_scenarios::{PutBack, Stand, pause};

/// Services, one after the other.
const SERVICES: [u32; 5] = [1, 10, 50, 100, 200];

/// Patterns of one service, one after the other.
const PATTERNS: [u32; 4] = [1, 10, 30, 100];

/// Lines a second, each of [`LINE`] and a number.
const LINES_A_SECOND: u32 = 50_000;

/// A log's usual line, without what any pattern looks for.
const LINE: &str = "2026-01-01T00:00:00.000 INFO  request handled: GET /api/session status=200 took=1.4ms id=";

/// How long each size is watched.
const WATCHED_FOR: Duration = Duration::from_secs(15);

/// Everything of it is there, but for the units and the configuration.
const FOLDER: &str = "/run/bench-growth";

const CONFIGURATION: &str = "/run/warden/agent.d/70-growth.toml";

/// What takes all of it away, also what a run that was killed has left.
const AWAY: &str = "rm -f /run/warden/agent.d/70-growth.toml; agentctl reload >/dev/null 2>&1 || systemctl restart warden-agent; \
    warden-agent polkit --install >/dev/null; systemctl stop 'growth@*.service' bench-growth bench-writer 2>/dev/null; \
    rm -rf /run/systemd/system/growth@.service /run/bench-growth; systemctl daemon-reload";

/// Answers every probe.
const ANSWERER: &str = r#"
import asyncio

async def answer(reader, writer):
    while (await reader.readline()).strip():
        pass
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npong")
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 18090)
    await server.serve_forever()

asyncio.run(main())
"#;

/// Writes so many lines in each tenth of a second, for so many seconds; then a last line.
const WRITER: &str = r#"
import sys, time

path, line, rate, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
count, begin = 0, time.monotonic()
with open(path, "a", buffering=1 << 20) as log:
    for tenth in range(seconds * 10):
        log.write("".join(f"{line}{count + n}\n" for n in range(rate // 10)))
        log.flush()
        count += rate // 10
        time.sleep(max(0, begin + (tenth + 1) / 10 - time.monotonic()))
"#;

/// One size.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Size {
    count: u32,
    /// Of one core, in per cent.
    cpu_percent: f64,
    rss_kib: u64,
    /// Of a last line, until a pattern has met it.
    lag_ms: Option<u64>,
}

/// The curves.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Growth {
    services: Vec<Size>,
    patterns: Vec<Size>,
    page: Vec<page::Looked>,
}

impl Growth {
    /// Markdown tables.
    pub(crate) fn markdown(&self) -> Result<String> {
        let mut text = String::from("| services, each asked once a second | CPU, % of a core | RSS, MiB |\n| ---: | ---: | ---: |\n");
        let mib = |size: &Size| size.rss_kib as f64 / 1024.0;
        for size in &self.services {
            writeln!(text, "| {} | {:.2} | {:.1} |", size.count, size.cpu_percent, mib(size))?;
        }
        writeln!(text, "\n| patterns against {LINES_A_SECOND} lines/s | CPU, % of a core | RSS, MiB | a line is met after, ms |")?;
        writeln!(text, "| ---: | ---: | ---: | ---: |")?;
        for size in &self.patterns {
            let lag = size.lag_ms.map_or_else(|| "–".to_owned(), |ms| ms.to_string());
            writeln!(text, "| {} | {:.1} | {:.1} | {lag} |", size.count, size.cpu_percent, mib(size))?;
        }
        writeln!(text, "\n| what has happened, events | the page takes, ms | its size, kB | RSS of the bench with it, MiB |")?;
        writeln!(text, "| ---: | ---: | ---: | ---: |")?;
        for page in &self.page {
            let (ms, kb, mib) = (page.usec as f64 / 1e3, page.bytes as f64 / 1e3, page.rss_kib as f64 / 1024.0);
            writeln!(text, "| {} | {ms:.1} | {kb:.0} | {mib:.1} |", page.events)?;
        }
        Ok(text)
    }
}

/// Takes the agent's on one node of the stand, the page's on this computer.
pub(crate) fn take(stand: &Stand, progress: impl Fn(&str)) -> Result<Growth> {
    let name = &stand.nodes()[0];
    let node = stand.node(name)?;
    node.exec(&["sh", "-c", AWAY])?;
    let _away = PutBack::by(&node, AWAY);
    let write = |file: &str, text: &str| {
        let command = format!("mkdir -p \"$(dirname {file})\" && cat >{file} && chmod 644 {file}");
        node.exec_with_input(text, &["sh", "-c", &command])?.text()
    };
    write(&format!("{FOLDER}/answerer.py"), ANSWERER)?;
    write(&format!("{FOLDER}/writer.py"), WRITER)?;
    write("/run/systemd/system/growth@.service", "[Service]\nExecStart=/bin/sleep infinity\nRestart=always\n")?;
    node.run(&[
        "sh",
        "-c",
        &format!("systemctl daemon-reload; systemd-run -q --collect --unit=bench-growth python3 {FOLDER}/answerer.py"),
    ])?;

    let service = |number: u32, patterns: &str| {
        format!(
            "[[service]]\nunit = \"growth@{number}.service\"\nwarmup = \"0s\"\nprobe_during_warmup = true\n\
             [service.probe.ping]\nhttp = \"http://127.0.0.1:18090/\"\n{patterns}\n"
        )
    };
    let watched = |text: &str, count: u32| -> Result<()> {
        let units: Vec<_> = (1..=count).map(|number| format!("growth@{number}")).collect();
        node.run(&["sh", "-c", &format!("systemctl start {}", units.join(" "))])?;
        write(CONFIGURATION, text)?;
        node.run(&["sh", "-c", "warden-agent polkit --install >/dev/null && agentctl reload"])?;
        stand.wait(PATIENCE, |stand| {
            let services = stand.agent(name)?.services;
            let serving = services.iter().filter(|service| service.state == warden_protocol::vocab::ServiceState::Serving).count();
            ensure!(serving == count as usize + 1, "{serving} of {} services serve", count + 1);
            Ok(())
        })
    };
    let mut growth = Growth { services: Vec::new(), patterns: Vec::new(), page: page::take(&progress)? };
    for count in SERVICES {
        progress(&format!("{count} services"));
        watched(&(1..=count).map(|number| service(number, "")).collect::<String>(), count)?;
        let before = used(&node)?;
        pause(WATCHED_FOR)?;
        growth.services.push(size(count, before, used(&node)?, None));
    }
    for count in PATTERNS {
        progress(&format!("{count} patterns"));
        let log = format!("{FOLDER}/log-{count}");
        write(&log, "")?;
        // The last one is the mark; the others are of the kinds that people write.
        let patterns: String = (1..count)
            .map(|number| {
                let what = if number % 2 == 0 { "regex" } else { "contains" };
                format!("[service.pattern.p{number}]\nfile.path = \"{log}\"\nfile.{what} = \"error {number} of\"\nmeans = \"suspect\"\n")
            })
            .chain([format!("[service.pattern.mark]\nfile.path = \"{log}\"\nfile.contains = \"the mark\"\nmeans = \"suspect\"\n")])
            .collect();
        watched(&service(1, &patterns), 1)?;
        let seconds = WATCHED_FOR.as_secs();
        node.run(&[
            "sh",
            "-c",
            &format!(
                "systemd-run -q --collect --unit=bench-writer python3 {FOLDER}/writer.py {log} '{LINE}' {LINES_A_SECOND} {}",
                seconds + 5
            ),
        ])?;
        pause(Duration::from_secs(2))?;
        let before = used(&node)?;
        pause(WATCHED_FOR)?;
        let after = used(&node)?;
        // While lines still come.
        let hits = || -> Result<u64> {
            let text = node.run(&["curl", "-sf", "-m", "10", &format!("http://{}:7482/metrics", node.address())])?;
            let line = text.lines().find(|line| line.contains("log_hits_total") && line.contains("pattern=\"mark\""));
            Ok(line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map_or(0, |hits| hits as u64))
        };
        let (had, said) = (hits()?, now_micros());
        node.run(&["sh", "-c", &format!("echo 'the mark' >>{log}")])?;
        stand.wait(PATIENCE, |_| {
            ensure!(hits()? > had, "the last line was not met");
            Ok(())
        })?;
        growth.patterns.push(size(count, before, after, Some((now_micros() - said) / 1_000)));
        node.run(&["sh", "-c", &format!("systemctl stop bench-writer 2>/dev/null; rm -f {log}")])?;
    }
    progress("");
    Ok(growth)
}

/// When, how many nanoseconds of a processor, how much memory.
fn used(node: &Node) -> Result<(u64, u64, u64)> {
    let text = node.run(&[
        "sh",
        "-c",
        "systemctl show -P CPUUsageNSec warden-agent; \
        awk '/^VmRSS/ { print $2 }' /proc/$(systemctl show -P MainPID warden-agent)/status",
    ])?;
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(nanoseconds)), Some(Ok(rss_kib))) => Ok((now_micros(), nanoseconds, rss_kib)),
        _ => Err(anyhow::anyhow!("{text}")).context("what the agent has used"),
    }
}

fn size(count: u32, before: (u64, u64, u64), after: (u64, u64, u64), lag_ms: Option<u64>) -> Size {
    let cpu_percent = (after.1 - before.1) as f64 / 10.0 / (after.0 - before.0) as f64;
    Size { count, cpu_percent, rss_kib: after.2, lag_ms }
}
