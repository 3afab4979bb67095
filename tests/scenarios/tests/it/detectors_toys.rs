//! The detectors that bingo has no use for, against services that do as they are told; and several services on one agent.

use anyhow::{Result, ensure};
use warden_protocol::v1::control::ServiceStatus;
use warden_protocol::vocab::{Evidence, ServiceState};
use warden_scenarios::stand::{PATIENCE, UNIT};
use warden_scenarios::story::ended_incident;
use warden_scenarios::{Stand, Toy, Toys, timeline};

/// A command's exit code and a port: good, busy, suspect and fatal; and a process that does not heed its stop.
#[test]
fn lab_exec_and_tcp_probes() -> Result<()> {
    let stand = Stand::whole()?;
    let toys = Toys::start(&stand, &stand.nodes()[0], &[Toy::told("probed", 9_001, true).with("kill_after = \"500ms\"")], "")?;
    let code = toys.file("probed", "code");
    let exits_with = |number: u32| toys.shell(&format!("echo {number} > {code}"));

    let (since, first) = (timeline::now_micros(), toys.service("probed")?);
    exits_with(75)?;
    toys.wait("probed", |service| {
        let busy = |service: &ServiceStatus| service.probes.iter().find(|probe| probe.name == "script").map_or(0, |probe| probe.busy);
        let times = busy(service) - busy(&first);
        ensure!(times >= 5, "{times} of 5 answers were busy");
        ensure!(service.state == ServiceState::Serving, "it is {}: {}", service.state, service.reason.text);
        Ok(())
    })?;
    toys.story("probed", since, |story| story.went_only(&[]).map(drop))?;

    exits_with(1)?;
    let second = toys.await_new("probed", &first)?;
    toys.story("probed", since, |story| {
        let steps = story.went(&["suspect", "sick", "restarting", "proving", "serving"])?;
        let sick = steps[1];
        ensure!(sick.field("WARDEN_REASON") == "probe_failed" && sick.field("WARDEN_EVIDENCE") == "suspect", "{:?}", sick.fields);
        ensure!(sick.message().contains("exit code 1"), "{}", sick.message());
        story.incident().map(drop)
    })?;

    let since = timeline::now_micros();
    toys.tell("probed", "close")?;
    let third = toys.await_new("probed", &second)?;
    toys.story("probed", since, |story| {
        let sick = story.went(&["suspect", "sick", "restarting", "proving", "serving"])?[1];
        ensure!(sick.field("WARDEN_EVIDENCE") == "suspect" && sick.message().contains("refused"), "{:?}", sick.fields);
        Ok(())
    })?;

    // Fatal at once. Its stop signal is ignored and systemd would wait for ever: the agent ends it, and the same restart comes to its end.
    let since = timeline::now_micros();
    toys.tell("probed", "deaf")?;
    stand.wait(PATIENCE, |_| {
        let status = toys.property("probed", "StatusText")?;
        ensure!(status == "deaf", "it says {status:?}");
        Ok(())
    })?;
    exits_with(2)?;
    let fourth = toys.await_new("probed", &third)?;
    toys.story("probed", since, |story| {
        let sick = story.went(&["sick", "restarting", "proving", "serving"])?[0];
        ensure!(sick.field("WARDEN_REASON") == "fatal_answer" && sick.field("WARDEN_EVIDENCE") == "fatal", "{:?}", sick.fields);
        story.never(&["suspect", "waiting"])?;
        let (killing, ended) = (story.event("killing")?, story.event("restart_ended")?);
        ensure!(killing.at <= ended.at, "{story}");
        ensure!(ended.field("WARDEN_RESULT") == "done" && story.count("restart_ended") == 1, "{story}");
        Ok(())
    })?;
    ensure!(fourth.restarts.total == first.restarts.total + 3 && fourth.restarts.planned == first.restarts.planned, "{fourth:?}");
    Ok(())
}

/// What it says of itself, and what stands in its log file: suspect at most, lifted by its own word, restarted when it is enough.
#[test]
fn lab_status_text_and_log_file() -> Result<()> {
    let stand = Stand::whole()?;
    let toys_log = "/run/toys/words/log";
    let patterns = format!(
        "[service.pattern.degraded]\nstatus.contains = \"degraded\"\nmeans = \"suspect\"\ncount = 2\n\
         [service.pattern.ready]\nstatus.line = \"ready\"\nmeans = \"recovered\"\n\
         [service.pattern.doom]\nfile.path = \"{toys_log}\"\nfile.contains = \"gonna die\"\nmeans = \"suspect\"\ncount = 2\n"
    );
    let toys = Toys::start(&stand, &stand.nodes()[0], &[Toy::told("words", 9_002, true).and(&patterns)], "")?;
    let log = toys.file("words", "log");
    ensure!(log == toys_log, "{log}");
    let write = |line: &str| toys.shell(&format!("echo '{line}' >> {log}"));
    let (mut since, first) = (timeline::now_micros(), toys.service("words")?);

    // One of each is too little, and leaves it in rotation; its own word lifts it.
    for (what, reason) in [("status", "degraded: 1 of 3 disks"), ("file", "We all gonna die")] {
        if what == "status" {
            toys.tell("words", &format!("status {reason}"))?
        } else {
            drop(write(reason)?)
        }
        let suspect = toys.await_state("words", ServiceState::Suspect)?;
        ensure!(suspect.reason.label == "pattern_failing" && suspect.reason.text.contains(reason), "{:?}", suspect.reason);
        ensure!(suspect.evidence == Some(Evidence::Suspect), "{suspect:?}");
        toys.tell("words", "status ready")?;
        toys.await_state("words", ServiceState::Serving)?;
        // The same text again would be no news.
        toys.tell("words", "status idle")?;
    }
    toys.story("words", since, |story| {
        let steps = story.went_only(&["suspect", "serving", "suspect", "serving"])?;
        ensure!(steps.iter().skip(1).step_by(2).all(|record| record.field("WARDEN_REASON") == "recovered"), "{story}");
        Ok(())
    })?;

    // Two of them are enough.
    since = timeline::now_micros();
    toys.tell("words", "status degraded: 2 of 3 disks")?;
    toys.await_state("words", ServiceState::Suspect)?;
    toys.tell("words", "status degraded: 3 of 3 disks")?;
    let second = toys.await_new("words", &first)?;
    let sick_by_lines = |since: u64, text: &str| {
        toys.story("words", since, |story| {
            let sick = story.went(&["suspect", "sick", "restarting", "proving", "serving"])?[1];
            ensure!(sick.field("WARDEN_REASON") == "pattern_failed" && sick.field("WARDEN_EVIDENCE") == "suspect", "{:?}", sick.fields);
            ensure!(sick.message().contains(text), "{}", sick.message());
            story.incident().map(drop)
        })
    };
    sick_by_lines(since, "degraded: 3 of 3 disks")?;

    // The file has what an older process left in it, and is rotated between two lines of this one.
    since = timeline::now_micros();
    write("We all gonna die: once")?;
    let suspect = toys.await_state("words", ServiceState::Suspect)?;
    ensure!(suspect.reason.text.contains("1 of 2"), "an older process' line counts: {:?}", suspect.reason);
    toys.shell(&format!("mv {log} {log}.1; touch {log}; chmod 644 {log}"))?;
    write("We all gonna die: twice")?;
    toys.await_new("words", &second)?;
    sick_by_lines(since, "We all gonna die: twice")
}

/// Recycled at its age, again and again, by plan: no evidence, no incident, no restart that counts.
#[test]
fn lab_age() -> Result<()> {
    let stand = Stand::whole()?;
    // Younger than `warmup` and `prove_within` together nothing is recycled.
    let old = Toy::told("old", 9_003, true).with("prove_within = \"2s\"\nmax_age = \"3s\"\nmax_age_jitter = \"500ms\"");
    let toys = Toys::start(&stand, &stand.nodes()[0], &[old], "")?;
    let first = toys.service("old")?;
    ensure!(first.recycle.as_ref().is_some_and(|recycle| recycle.at_age_ms.is_some_and(|age| (2_500..=3_000).contains(&age))), "{first:?}");
    let later = toys.wait("old", |service| {
        ensure!(service.restarts.planned >= 2, "{} of 2 planned restarts", service.restarts.planned);
        Ok(())
    })?;
    ensure!(later.restarts.total == 0 && later.restarts.in_window == 0, "{later:?}");
    toys.story("old", 0, |story| {
        let steps = story.went(&["serving", "leaving", "restarting", "proving", "serving", "leaving", "restarting"])?;
        ensure!(steps[1].field("WARDEN_REASON") == "recycle_age" && steps[5].field("WARDEN_REASON") == "recycle_age", "{story}");
        story.never(&["suspect", "sick", "waiting", "parked"])?;
        ensure!(story.records.iter().all(|record| record.field("WARDEN_INCIDENT").is_empty()), "{story}");
        Ok(())
    })
}

/// Three services on one agent. One of them fails and no restart helps: that is one incident, of which a person is told once each;
/// the others do not notice.
#[test]
fn lab_several_services() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.nodes()[0].clone();
    let ill = Toy::told("ill", 9_004, false).with("prove_within = \"1500ms\"");
    let ill = ill.restarted("delay = \"100ms\"\nmax_delay = \"200ms\"\nlimit = 2\nwindow = \"10m\"\ntrial_every = \"3s\"");
    let hook = Toys::hook("[\"incident\", \"parked\", \"recovered\"]");
    let toys = Toys::start(&stand, &node, &[ill, Toy::told("well", 9_005, true)], &hook)?;
    let others = || -> Result<_> {
        let invocation = |service: ServiceStatus| service.process.map(|process| process.invocation);
        Ok([invocation(stand.service(&node)?), invocation(toys.service("well")?)])
    };
    let (since, before) = (timeline::now_micros(), others()?);

    // Orders that do not say for whom are refused where there are several.
    let out = toys.machine()?.exec(&["agentctl", "drain"])?;
    ensure!(out.status.code() == Some(64) && out.stderr.contains("toy-well"), "{:?}: {}{}", out.status, out.stdout, out.stderr);

    toys.shell(&format!("echo 1 > {}", toys.file("ill", "code")))?;
    toys.wait("ill", |service| {
        ensure!(service.state == ServiceState::Parked, "it is {}: {}", service.state, service.reason.text);
        ensure!(service.reason.label == "restart_limit", "{:?}", service.reason);
        Ok(())
    })?;
    // Parked is not given up: trials go on, and one of them helps once there is a reason that it should.
    let restarts = toys.service("ill")?.restarts.total;
    toys.wait("ill", |service| {
        ensure!(service.restarts.total > restarts, "no trial yet");
        Ok(())
    })?;
    toys.shell(&format!("echo 0 > {}", toys.file("ill", "code")))?;
    toys.await_state("ill", ServiceState::Serving)?;

    let (id, parked) = toys.story("ill", since, |story| {
        let steps = story.went(&["suspect", "sick", "restarting", "sick", "restarting", "parked", "restarting", "serving"])?;
        ensure!(steps[5].field("PRIORITY") == "3", "parked is not told as an error: {:?}", steps[5].fields);
        Ok((story.incident_name()?.to_owned(), steps[5].at))
    })?;
    let incident = ended_incident(&stand, &node, &id)?;
    ensure!(incident.restarts >= 3 && incident.result.is_some(), "{incident:?}");
    ensure!(incident.evidence.iter().any(|file| file.name == "proc-status.txt"), "{incident:?}");
    ensure!(parked > incident.began.monotonic_usec, "{incident:?}");
    stand.wait(PATIENCE, |_| {
        let told = toys.told("ill")?;
        let expected: Vec<_> = ["incident", "parked", "recovered"].iter().map(|event| format!("{event} toy-ill.service {id}")).collect();
        ensure!(told == expected, "the hook was told {told:?}, not {expected:?}");
        Ok(())
    })?;

    ensure!(toys.told("well")?.is_empty(), "the hook was told of what is well");
    let after = others()?;
    ensure!(before == after && before.iter().all(Option::is_some), "others were touched: {before:?}, {after:?}");
    toys.story("well", since, |story| story.went_only(&[]).map(drop))?;
    let units: Vec<_> = stand.agent(&node)?.services.into_iter().map(|service| service.unit).collect();
    ensure!(units.len() == 3 && units.iter().any(|unit| unit == UNIT), "{units:?}");
    toys.story("ill", since, |story| story.incident().map(drop))?;
    stand.is_in(&node)
}
