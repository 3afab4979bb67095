//! The detectors against a second bingo that no balancer knows: what it does to itself, and what the agent alone makes of it.

use anyhow::{Context, Result, ensure};
use warden_protocol::v1::control::ServiceStatus;
use warden_protocol::vocab::{ServiceState, Traffic};
use warden_scenarios::stand::{PATIENCE, UNIT};
use warden_scenarios::{Load, Mix, Paths, Stand, Toy, Toys, timeline};

/// What POST /operation is told with, to each of the stand-in's ends.
mod nibble {
    pub(super) const LEAK: u64 = 3;
    pub(super) const SICK: u64 = 5;
    pub(super) const EXIT_0: u64 = 6;
    pub(super) const EXIT_1: u64 = 7;
}

fn invocation(service: &ServiceStatus) -> Option<&str> {
    service.process.as_ref().map(|process| process.invocation.as_str())
}

/// It ends, without a word and with its last words: systemd starts it, and it has to prove itself.
#[test]
fn lab_exit_0_and_exit_1() -> Result<()> {
    let stand = Stand::whole()?;
    let toys = Toys::start(&stand, &stand.nodes()[0], &[Toy::bingo("exits", &[])], "")?;
    let (since, before) = (timeline::now_micros(), toys.service("exits")?);
    toys.operation(nibble::EXIT_0)?;
    let between = toys.await_new("exits", &before)?;
    toys.story("exits", since, |story| {
        // Its end is all the evidence there is, and bringing it back is systemd's.
        let gone = story.went_only(&["starting", "proving", "serving"])?[0];
        ensure!(gone.field("WARDEN_REASON") == "unit_exited" && gone.field("WARDEN_EVIDENCE") == "fatal", "{:?}", gone.fields);
        story.incident().map(drop)
    })?;
    ensure!(between.restarts.total == before.restarts.total, "the agent restarted it as well: {between:?}");

    let since = timeline::now_micros();
    toys.operation(nibble::EXIT_1)?;
    let after = toys.await_new("exits", &between)?;
    toys.story("exits", since, |story| {
        // Which comes first, its line or its end, is a matter of microseconds.
        let first = story.changes().next().context("no change yet")?;
        let reason = (first.field("WARDEN_STATE_TO"), first.field("WARDEN_REASON"));
        ensure!(matches!(reason, ("sick", "fatal_pattern") | ("starting", "unit_exited")), "{reason:?}:\n{story}");
        story.went(&["proving", "serving"])?;
        story.never(&["suspect", "parked"])?;
        story.incident().map(drop)
    })?;
    ensure!(after.restarts.total <= between.restarts.total + 1, "{after:?}");
    Ok(())
}

/// It leaks: recycled by plan before the unit's hard limit, without an incident.
#[test]
fn lab_leak_is_recycled() -> Result<()> {
    let stand = Stand::whole()?;
    let leaky = Toy::bingo("leak", &["BINGO_STANDIN_LEAK_RATE=20M", "BINGO_STANDIN_LEAK_CAP=2G"]).with("recycle_above = \"64M\"");
    let toys = Toys::start(&stand, &stand.nodes()[0], &[leaky], "")?;
    let before = toys.wait("leak", |service| {
        let memory = service.memory.context("its memory has not been read")?;
        ensure!(memory.recycle_above == Some(64 << 20) && memory.bytes < 64 << 20, "{memory:?}");
        Ok(())
    })?;
    let since = timeline::now_micros();
    toys.operation(nibble::LEAK)?;
    let after = toys.await_new("leak", &before)?;
    ensure!(after.restarts.planned == before.restarts.planned + 1 && after.restarts.total == before.restarts.total, "{after:?}");
    let limit: f64 = toys.property("leak", "MemoryMax")?.parse().context("MemoryMax=")?;
    toys.story("leak", since, |story| {
        let leaving = story.went(&["leaving", "restarting", "proving", "serving"])?[0];
        ensure!(leaving.field("WARDEN_REASON") == "recycle_memory", "{:?}", leaving.fields);
        let held = leaving.message().split_once("it holds ").and_then(|(_, rest)| rest.split_once(" MiB")).map(|(held, _)| held);
        let held: f64 = held.and_then(|held| held.parse().ok()).with_context(|| format!("how much it held is not said: {story}"))?;
        ensure!(held > 64.0 && held * 1_048_576.0 < limit, "it held {held} MiB of {limit} bytes");
        story.never(&["suspect", "sick", "waiting", "parked"])?;
        let evidence =
            story.changes().find(|record| !record.field("WARDEN_EVIDENCE").is_empty() || !record.field("WARDEN_INCIDENT").is_empty());
        ensure!(evidence.is_none(), "a planned restart is no incident:\n{story}");
        Ok(())
    })
}

/// Stopped in its tracks: it accepts (the kernel does) and never answers.
#[test]
fn lab_frozen() -> Result<()> {
    let stand = Stand::whole()?;
    let toys = Toys::start(&stand, &stand.nodes()[0], &[Toy::bingo("frozen", &[])], "")?;
    let (since, before) = (timeline::now_micros(), toys.service("frozen")?);
    toys.machine()?.pause(&before.unit)?;
    toys.await_new("frozen", &before)?;
    toys.story("frozen", since, |story| {
        let steps = story.went(&["suspect", "sick", "restarting", "proving", "serving"])?;
        let sick = steps[1];
        ensure!(sick.field("WARDEN_REASON") == "probe_failed" && sick.field("WARDEN_EVIDENCE") == "suspect", "{:?}", sick.fields);
        ensure!(sick.message().contains("timed out"), "{}", sick.message());
        story.incident().map(drop)
    })
}

/// Twice what one process can answer: 429 is no evidence, however often the probe gets it.
#[test]
fn lab_overload_is_no_evidence() -> Result<()> {
    let stand = Stand::whole()?;
    let toys = Toys::start(&stand, &stand.nodes()[0], &[Toy::bingo("busy", &[])], "")?;
    let (since, before) = (timeline::now_micros(), toys.service("busy")?);
    let load = Load::start(stand.lab(), toys.bingo_address()?, Mix { rate: 240, paths: Paths::Cheap })?;
    let busy = toys.wait("busy", |service| {
        ensure!(service.state == ServiceState::Serving, "busy is {}: {}", service.state, service.reason.text);
        let times = service.probes[0].busy - before.probes[0].busy;
        ensure!(times >= 5, "{times} of 5 probes were answered with 429");
        Ok(())
    });
    let answers = load.stop()?;
    let busy = busy.with_context(|| format!("what clients saw:\n{answers}"))?;
    ensure!(answers.count(warden_scenarios::Class::Busy) > 0, "nobody was turned away:\n{answers}");
    ensure!(busy.wants.traffic == Traffic::In && invocation(&busy) == invocation(&before), "{busy:?}");
    toys.story("busy", since, |story| story.went_only(&[]).map(drop))
}

/// A start that is slower than the warm-up, and within the time that it has to prove itself: nobody does anything about it.
#[test]
fn lab_slow_start() -> Result<()> {
    let stand = Stand::whole()?;
    let slow = Toy::bingo("slow", &["BINGO_STANDIN_STARTUP_URL=http://198.19.8.8/", "BINGO_STANDIN_STARTUP_LIMIT=4s"]);
    let slow = slow.with("warmup = \"1s\"\nprove_within = \"100s\"");
    let toys = Toys::start(&stand, &stand.nodes()[0], &[slow], "")?;
    let service = toys.service("slow")?;
    ensure!(service.probes[0].bad > 0, "it answered within its warm-up: {service:?}");
    ensure!(service.restarts.total == 0 && toys.property("slow", "NRestarts")? == "0", "it was restarted: {service:?}");
    toys.story("slow", 0, |story| {
        story.went(&["warming", "proving", "serving"])?;
        story.never(&["suspect", "sick", "restarting", "waiting", "parked"])?;
        ensure!(story.changes().all(|record| record.field("WARDEN_EVIDENCE").is_empty()), "{story}");
        Ok(())
    })
}

/// In shadow mode the agent goes through everything, says what it would have done, and does nothing.
#[test]
fn lab_shadow_mode() -> Result<()> {
    let stand = Stand::whole()?;
    let watched = Toy::bingo("shadow", &[]).with("mode = \"shadow\"");
    let watched = watched.restarted("delay = \"100ms\"\nmax_delay = \"200ms\"\nlimit = 2\nwindow = \"10m\"\ntrial_every = \"5m\"");
    let toys = Toys::start(&stand, &stand.nodes()[0], &[watched], "")?;
    let (since, before) = (timeline::now_micros(), toys.service("shadow")?);
    let bingo = stand.service(&stand.nodes()[0])?;
    toys.operation(nibble::SICK)?;
    let after = toys.await_state("shadow", ServiceState::Parked)?;
    ensure!(invocation(&after) == invocation(&before) && toys.property("shadow", "NRestarts")? == "0", "it was restarted: {after:?}");
    ensure!(after.wants.traffic == Traffic::Keep, "it wants {:?}", after.wants);
    toys.story("shadow", since, |story| {
        let steps = story.went(&["sick", "waiting", "parked"])?;
        ensure!(steps[1].field("WARDEN_REASON") == "shadow", "it does not say what it would have done: {:?}", steps[1].fields);
        ensure!(story.count("would_restart") == 2, "{story}");
        story.never(&["restarting", "starting"])?;
        ensure!(story.count("restart_answered") == 0 && story.count("restart_ended") == 0, "{story}");
        Ok(())
    })?;
    let out = toys.machine()?.exec(&["agentctl", "restart", &after.unit])?;
    ensure!(out.status.code() == Some(1) && out.stderr.contains("shadow mode"), "{:?}: {}{}", out.status, out.stdout, out.stderr);
    ensure!(invocation(&stand.service(&stand.nodes()[0])?) == invocation(&bingo), "{UNIT} was touched");
    stand.wait(PATIENCE, |stand| stand.is_in(&stand.nodes()[0]))
}
