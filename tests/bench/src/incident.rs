//! One incident: a node turns sick, and three programs' own records say when what happened.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;
use warden_scenarios::Stand;
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT, poison};

/// What it took, in microseconds from the fatal line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incident {
    /// Until HAProxy, read back, sent no traffic.
    pub(crate) out_usec: u64,
    /// Until systemd had answered the restart call.
    pub(crate) restart_usec: u64,
}

/// Makes a node sick and waits until it is back.
pub(crate) fn one(stand: &Stand, node: &str) -> Result<Incident> {
    stand.await_whole()?;
    let before = stand.invocation(node, UNIT)?;
    let begin = fatal_line(stand, node)?.unwrap_or(0);
    stand.operation(node, poison::SICK)?;
    undisturbed();
    stand.wait(PATIENCE, |stand| {
        ensure!(stand.invocation(node, UNIT)? != before, "{node} was not restarted yet");
        Ok(())
    })?;
    stand.await_whole()?;
    let line = fatal_line(stand, node)?.filter(|line| *line > begin).with_context(|| format!("{node} wrote no fatal line"))?;
    let out = stamp(stand, BALANCER, "warden-coordinator.service", line, |record| {
        field(record, "WARDEN_EVENT") == "out" && field(record, "WARDEN_SERVER") == node
    })?;
    let call = stamp(stand, node, "warden-agent.service", line, |record| field(record, "WARDEN_EVENT") == "restart_answered")?;
    Ok(Incident { out_usec: out - line, restart_usec: call - line })
}

/// Looking costs processes and questions to systemd, on the two cores that are being measured: nobody looks for a while.
#[expect(clippy::disallowed_methods, reason = "nothing is waited for: the measured machines are left alone")]
fn undisturbed() {
    std::thread::sleep(Duration::from_millis(500));
}

/// When bingo last wrote its fatal line, by its own log's stamp: microseconds since 1970.
pub(crate) fn fatal_line(stand: &Stand, node: &str) -> Result<Option<u64>> {
    let text = stand.node(node)?.run(&["sh", "-c", "grep -h '\"msg\":\"We all gonna die\"' /opt/bongo/logs/*/main.log | tail -n 1"])?;
    if text.is_empty() {
        return Ok(None);
    }
    let record: Value = serde_json::from_str(&text).with_context(|| format!("bingo's log on {node}"))?;
    let time: jiff::Timestamp = field(&record, "timestamp").parse().with_context(|| format!("the stamp in {text}"))?;
    Ok(Some(u64::try_from(time.as_microsecond())?))
}

/// When the first such record since `since` was sent: microseconds since 1970.
fn stamp(stand: &Stand, machine: &str, unit: &str, since: u64, wanted: impl Fn(&Value) -> bool) -> Result<u64> {
    let from = format!("--since=@{}", since / 1_000_000);
    let text = stand.node(machine)?.run(&["journalctl", "-u", unit, "-o", "json", "--no-pager", &from])?;
    for line in text.lines() {
        let record: Value = serde_json::from_str(line)?;
        let at =
            ["_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"].iter().map(|name| field(&record, name)).find(|text| !text.is_empty());
        let at: u64 = at.context("every record has a stamp")?.parse()?;
        if at >= since && wanted(&record) {
            return Ok(at);
        }
    }
    anyhow::bail!("{unit} on {machine} wrote no such record:\n{text}")
}

fn field<'v>(record: &'v Value, name: &str) -> &'v str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}
