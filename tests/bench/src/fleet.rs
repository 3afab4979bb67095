//! A coordinator under many agents: the real program and a real HAProxy on loopback, and agents that are simulated over real TLS.
//!
//! In reading order: [`stage`], the coordinator and HAProxy as processes; [`agents`], the generator; this page, the measuring. HAProxy's
//! servers have no check of their own: a thousand of those cost a part of a core that says nothing of the coordinator.

mod agents;
mod stage;

use crate::figures::Distribution;
use agents::{Agents, Seen};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use stage::{Stage, Used};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Everybody is connected and heard within this, also ten thousand on two cores.
const PATIENCE: Duration = Duration::from_secs(120);

/// What one size came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    agents: usize,
    haproxy: String,
    seconds: u64,
    heartbeat_ms: u64,
    reports_a_second: f64,
    changes: usize,
    cpu_percent: f64,
    haproxy_cpu_percent: f64,
    rss_kib: u64,
    pss_kib: u64,
    report_usec: Distribution,
    confirmed_usec: Distribution,
    /// A look at everything, by its parts: milliseconds each, and how many a second.
    looks: BTreeMap<String, (f64, f64)>,
    /// From the death of a coordinator until the next one has heard everybody again, in milliseconds.
    recovered_ms: u64,
    moved_by_restart: usize,
}

/// The head over [`Figures::row`].
pub(crate) const HEAD: &str = "| agents | heartbeat | reports/s | report, ms: p50 p95 p99 | changes | change → confirmed, ms: p50 p95 p99 | CPU, % of a core | RSS, MiB | PSS, MiB | HAProxy CPU, % | all heard after a restart, s | a look at everything, ms |\n\
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |";

impl Figures {
    /// One line of a Markdown table.
    pub(crate) fn row(&self) -> String {
        let mib = |kib: u64| kib as f64 / 1_024.0;
        format!(
            "| {} | {:.1} s | {:.0} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {} |",
            self.agents,
            self.heartbeat_ms as f64 / 1_000.0,
            self.reports_a_second,
            self.report_usec.brief(),
            self.changes,
            self.confirmed_usec.brief(),
            self.cpu_percent,
            mib(self.rss_kib),
            mib(self.pss_kib),
            self.haproxy_cpu_percent,
            self.recovered_ms as f64 / 1_000.0,
            self.looks.iter().map(|(part, (ms, a_second))| format!("{part} {ms:.1} ({a_second:.1}/s)")).collect::<Vec<_>>().join(", "),
        )
    }
}

/// Measures one size for so many seconds.
///
/// # Errors
/// When a program cannot be run, or somebody is not heard. Everything that was started is ended.
pub(crate) fn take(agents: usize, seconds: u64, progress: impl Fn(&str)) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, measure(agents, seconds, progress))
}

async fn measure(count: usize, seconds: u64, progress: impl Fn(&str)) -> Result<Figures> {
    // A fleet of that size is told to beat more slowly: two thousand reports a second are what one core bears.
    let heartbeat = if count >= 5_000 { Duration::from_secs(5) } else { Duration::from_secs(1) };
    progress(&format!("{count} agents: certificates, HAProxy, coordinator"));
    let mut stage = Stage::start(count, heartbeat)?;
    let agents = Agents::start(&stage, count, heartbeat);
    heard(&agents, count, "at first", &progress).await?;
    stage.settled(count).await?;

    progress(&format!("{count} agents: measuring for {seconds} s"));
    agents.changing(true);
    let looked = stage.looks().await?;
    let (begin, haproxy) = (stage.coordinator()?, stage.haproxy()?);
    agents.take();
    let began = Instant::now();
    sleep(Duration::from_secs(seconds)).await;
    let Seen { reports, confirmed } = agents.take();
    let took = began.elapsed().as_secs_f64();
    let (end, haproxy_end) = (stage.coordinator()?, stage.haproxy()?);
    let looks = stage.looks().await?.into_iter().map(|(part, (sum, count))| {
        let (sum_before, count_before) = looked.get(&part).copied().unwrap_or_default();
        let times = count - count_before;
        (part, ((sum - sum_before) * 1_000.0 / times.max(1.0), times / took))
    });
    let looks = looks.collect();
    agents.changing(false);
    agents.calm(PATIENCE).await.context("not everybody is well again after the measuring")?;
    let before = stage.settled(count).await?;

    progress(&format!("{count} agents: the coordinator dies and begins anew"));
    stage.restart_coordinator()?;
    agents.forget_answers();
    let begun = Instant::now();
    heard(&agents, count, "after its restart", &progress).await?;
    let recovered_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let after = stage.settled(count).await?;
    let percent = |used: &Used, before: &Used| used.cpu_ms.saturating_sub(before.cpu_ms) as f64 / 10.0 / took;
    Ok(Figures {
        agents: count,
        haproxy: stage.version.clone(),
        seconds,
        heartbeat_ms: u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX),
        reports_a_second: reports.len() as f64 / took,
        changes: confirmed.len(),
        cpu_percent: percent(&end, &begin),
        haproxy_cpu_percent: percent(&haproxy_end, &haproxy),
        rss_kib: end.rss_kib,
        pss_kib: end.pss_kib,
        report_usec: Distribution::of(reports.into_iter()),
        confirmed_usec: Distribution::of(confirmed.into_iter()),
        looks,
        recovered_ms,
        moved_by_restart: before.iter().zip(&after).filter(|(before, after)| before != after).count(),
    })
}

async fn heard(agents: &Agents, count: usize, when: &str, progress: &impl Fn(&str)) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let answered = agents.answered();
        if answered >= count {
            return Ok(());
        }
        let why = agents.last_failure().unwrap_or_default();
        ensure!(Instant::now() < until, "{answered} of {count} agents were heard {when} within {} s: {why}", PATIENCE.as_secs());
        progress(&format!("{answered} of {count} agents are heard {when}"));
        sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    /// The bench itself works: no figure is held to anything here.
    #[test]
    fn a_small_fleet_is_measured() {
        let figures = super::take(20, 10, |_| ()).unwrap();
        assert_eq!(figures.agents, 20);
        assert!(figures.reports_a_second > 5.0 && figures.changes > 0 && figures.rss_kib > 1_000, "{figures:?}");
        assert!(figures.looks["judge"].1 > 1.0, "{figures:?}");
        assert_eq!(figures.moved_by_restart, 0, "a coordinator that begins anew moves nobody");
    }
}
