//! One incident of the comparison: a node turns sick under load, and what clients and HAProxy saw until it was back.

use super::Peer;
use super::keeper::Keeper;
use super::setup::Balancer;
use crate::incident::fatal_line;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::time::Duration;
use warden_scenarios::answers::Class;
use warden_scenarios::faults::cause::{PORT, operation};
use warden_scenarios::stand::{UNIT, poison};
use warden_scenarios::timeline::now_micros;
use warden_scenarios::watch::Seen;
use warden_scenarios::{Load, Mix, Paths, Stand};

/// Longer than two rounds of the slowest check.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of it. Times are microseconds since the service wrote its fatal line.
#[derive(Clone, Debug, Serialize)]
pub(super) struct One {
    /// Until HAProxy sent it nothing new; none: it never was out.
    pub(super) out_usec: Option<u64>,
    /// Until its unit was being stopped; none: nobody restarts it.
    pub(super) restart_usec: Option<u64>,
    /// Until it was in traffic again after its restart.
    pub(super) back_usec: u64,
    /// Requests of clients since the fault.
    pub(super) requests: usize,
    /// Those that failed: an answer of 500 or more, a cut one, or none.
    pub(super) failed: usize,
    /// Those that were answered 429: what is left serves a hundred a second and node.
    pub(super) busy: usize,
    /// Restarts beyond the one that was needed.
    pub(super) needless: u64,
}

/// Up, and with all checks passed: `UP`, never `UP 1/3`.
pub(super) fn full(seen: &Seen) -> bool {
    seen.in_traffic() && !seen.status.contains('/')
}

/// Makes a node sick and waits until it is back.
pub(super) fn one(stand: &Stand, balancer: &Balancer, peer: &Peer, rate: u32, node: &str) -> Result<One> {
    let machine = stand.node(node)?;
    let watch = &balancer.watch;
    stand.wait(PATIENCE, |stand| {
        for name in stand.nodes() {
            let seen = watch.now(name);
            ensure!(seen.as_ref().is_some_and(full), "before the fault {name} is {seen:?}");
        }
        Ok(())
    })?;
    let (starts, invocation) = (stand.starts(node, UNIT)?, stand.invocation(node, UNIT)?);
    let before = fatal_line(stand, node)?.unwrap_or(0);
    let load = Load::start(stand.lab(), balancer.address, Mix { rate, paths: Paths::Cheap })?;
    let traffic = |more: usize| {
        let wanted = load.done() + more;
        stand.wait(PATIENCE, |_| {
            ensure!(load.done() >= wanted, "{} of {wanted} requests are done", load.done());
            Ok(())
        })
    };
    traffic(rate.div_ceil(2) as usize)?;
    let asked = now_micros();
    ensure!(operation(stand, node, poison::SICK)?, "nothing listens on {node}");
    if peer.keeper == Keeper::Nobody {
        stand.wait(PATIENCE, |_| {
            ensure!(watch.since(node, asked)?.iter().any(|seen| !seen.in_traffic()), "HAProxy still sends traffic to {node}");
            Ok(())
        })?;
        machine.run(&["systemctl", "restart", UNIT])?;
    }
    stand.wait(PATIENCE, |stand| {
        ensure!(stand.invocation(node, UNIT)? != invocation, "{node} was not restarted yet");
        Ok(())
    })?;
    let stopped: u64 = machine.property(UNIT, "ActiveExitTimestampMonotonic")?.parse().context("when its unit was stopped")?;
    let back = stand.wait(PATIENCE, |_| {
        let seen = watch.now(node).with_context(|| format!("HAProxy has no {node}"))?;
        ensure!(full(&seen), "{node} is {seen:?}");
        // One that never left is back when it answers again.
        ensure!(
            machine.exec(&["sh", "-c", &format!("{}; curl -sf -m 2 http://127.0.0.1:$port/ping", PORT)])?.ok(),
            "{node} does not answer"
        );
        Ok(if seen.at > stopped { seen.at } else { now_micros() })
    })?;
    traffic(rate.div_ceil(2) as usize)?;
    let line = fatal_line(stand, node)?.filter(|line| *line > before).with_context(|| format!("{node} wrote no fatal line"))?;
    // Its log has the calendar's time; everything else here is monotonic.
    let ago = u64::try_from(jiff::Timestamp::now().as_microsecond())?.saturating_sub(line);
    let fault = now_micros().saturating_sub(ago);
    let answers = load.stop()?;
    let since: Vec<_> = answers.0.iter().filter(|answer| answer.at >= fault).collect();
    let count = |classes: &[Class]| since.iter().filter(|answer| classes.contains(&answer.class)).count();
    let out = watch.since(node, fault)?.into_iter().find(|seen| !seen.in_traffic());
    Ok(One {
        out_usec: out.map(|seen| seen.at - fault),
        restart_usec: (peer.keeper != Keeper::Nobody).then(|| stopped.saturating_sub(fault)),
        back_usec: back.saturating_sub(fault),
        requests: since.len(),
        failed: count(&[Class::ServerError, Class::NoAnswer, Class::Truncated]),
        busy: count(&[Class::Busy]),
        needless: stand.starts(node, UNIT)?.saturating_sub(starts + 1),
    })
}
