//! Each detector of the agent against bingo's matching failure, where traffic hangs on it: behind the balancer, under load.

use crate::harness::{Seen, under};
use anyhow::{Context, Result, ensure};
use warden_protocol::v1::control::ServiceStatus;
use warden_protocol::v1::incident::Incident;
use warden_protocol::vocab::{Evidence, RestartWish, ServiceState, Traffic};
use warden_scenarios::judgement::short_soak;
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT, poison};
use warden_scenarios::story::ended_incident;
use warden_scenarios::timeline::{self, Record};
use warden_scenarios::{Judgement, Mix, PutBack, Stand, Story};

/// A value that the scenarios' stand-in takes for silence on every connection (see stand.yml).
const HANG: u64 = 15 << 32;

/// The whole answer and nothing more: neither a fatal answer nor a pattern. Patient, because the computer is busy.
const ANSWER_ALONE: &str = "timeout = \"2s\"\nexpect = { status = 200, body = \"pong\" }\nevery = \"250ms\"\nevery_in_doubt = \"100ms\"\n\
                            failures = 3\nsuccesses = 2\n";
/// The same, sooner than HAProxy's own check takes it out.
const HASTY: &str = "timeout = \"500ms\"\nexpect = { status = 200, body = \"pong\" }\nevery = \"250ms\"\nevery_in_doubt = \"100ms\"\n\
                     failures = 3\nsuccesses = 2\n";

/// Fatal by its answer, without any pattern.
const FATAL_ANSWER: &str = "fatal = { body_contains = \"I feel bad.\" }\n";

/// What the role configures: the whole line, wherever it comes from within the unit.
const WHOLE_LINE: &str = "[service.pattern.doom]\njournal = { regex = '(?i)^\\W*we all gonna die\\W*$' }\nmeans = \"fatal\"\n";

/// When a change of state was decided. Its record is written later, after what others had to hear first.
fn decided(change: &Record) -> Result<u64> {
    change.field("WARDEN_SINCE_USEC").parse().with_context(|| format!("no moment in {:?}", change.fields))
}

/// The balancer's word that a server is out, at or after `from`.
fn out<'s, T>(seen: &'s Seen<T>, node: &str, from: u64) -> Result<&'s Record> {
    seen.timeline.first("out of rotation", |record| {
        record.at >= from && record.machine == BALANCER && record.field("WARDEN_SERVER") == node && record.field("WARDEN_EVENT") == "out"
    })
}

/// HAProxy's own word that a server is up again because its own check passed, at or after `from`.
fn up<'s, T>(seen: &'s Seen<T>, node: &str, from: u64) -> Result<&'s Record> {
    seen.timeline.first("HAProxy's own check passed", |record| {
        let message = record.message();
        record.at >= from
            && record.machine == BALANCER
            && message.contains(&format!("bingo/{node} is UP"))
            && message.contains("check passed")
    })
}

/// The order of the way out and back of what was restarted, and what clients may have seen of it. Returns the agent's word that it
/// is sick, and the incident as it was kept.
fn out_restarted_and_back<T>(stand: &Stand, seen: &Seen<T>, node: &str) -> Result<(Record, Incident)> {
    let story = Story::of(&seen.timeline, node, UNIT);
    let steps = story.went(&["sick", "restarting", "warming", "proving", "serving"])?;
    let (sick, restarting, serving) = (steps[0], steps[1], steps[4]);
    ensure!(story.changes().filter(|record| record.field("WARDEN_STATE_TO") == "restarting").count() == 1, "restarted again:\n{story}");
    ensure!(story.event("out_confirmed")?.at <= restarting.at, "restarted before it was out:\n{}", seen.timeline);
    let (out, up) = (out(seen, node, decided(sick)?)?, up(seen, node, decided(restarting)?)?);
    ensure!(decided(serving)? <= up.at, "HAProxy sent traffic before it was proven:\n{}", seen.timeline);
    // What is safe was repeated elsewhere; what is not may have failed on the sick process, but went there before it was out.
    seen.no_get_failed()?;
    let late = seen.answers.failed_writes().into_iter().find(|answer| answer.at - answer.usec > out.at);
    ensure!(late.is_none(), "a write went to a server that was out: {late:?}\n{}", seen.timeline);
    let id = story.incident()?;
    ensure!(out.field("WARDEN_INCIDENT") == id, "the coordinator does not name the incident: {:?}", out.fields);
    let incident = ended_incident(stand, node, id)?;
    ensure!(incident.unit == UNIT && incident.restarts == 1, "{incident:?}");
    Ok((sick.clone(), incident))
}

/// What an incident's folder has under a name.
fn kept<'i>(incident: &'i Incident, name: &str) -> Result<&'i str> {
    let names = || incident.evidence.iter().map(|file| file.name.as_str()).collect::<Vec<_>>();
    let file = incident.evidence.iter().find(|file| file.name == name).with_context(|| format!("no {name} among {:?}", names()))?;
    file.text.as_deref().with_context(|| format!("{name} has no text"))
}

fn pid(service: &ServiceStatus) -> Result<u32> {
    Ok(service.process.as_ref().context("it has no process")?.pid)
}

/// 500 to everything, seen by the answer alone: fatal evidence, and what was captured of the process that was then ended.
#[test]
fn lab_500_is_a_fatal_answer() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.nodes()[0].clone();
    let _judgement = Judgement::apply(&stand, &node, &format!("{ANSWER_ALONE}{FATAL_ANSWER}"))?;
    let before = stand.service(&node)?;
    let seen = under(Mix::steady(), |stand, _| {
        stand.operation(&node, poison::SICK)?;
        replaced(stand, &node, &before)
    })?;
    let (sick, incident) = out_restarted_and_back(&stand, &seen, &node)?;
    ensure!(sick.field("WARDEN_REASON") == "fatal_answer" && sick.field("WARDEN_EVIDENCE") == "fatal", "{:?}", sick.fields);
    Story::of(&seen.timeline, &node, UNIT).never(&["suspect", "waiting", "parked", "held"])?;

    // Evidence of the process that was there, not of the one that came.
    let (old, status) = (pid(&before)?, kept(&incident, "proc-status.txt")?);
    ensure!(status.lines().any(|line| line.starts_with("Pid:") && line.ends_with(&format!("\t{old}"))), "not of process {old}:\n{status}");
    ensure!(status.contains("VmRSS:"), "{status}");
    let answer = kept(&incident, "answer.txt")?;
    ensure!(answer.contains("500") && answer.contains("I feel bad."), "{answer}");
    let journal = kept(&incident, "journal.txt")?;
    ensure!(journal.contains("We all gonna die"), "the last words are not in it:\n{journal}");
    ensure!(incident.cause.label == "fatal_answer" && incident.timeline.len() >= 3, "{incident:?}");
    Ok(())
}

/// Waits until a new process serves.
fn replaced(stand: &Stand, node: &str, before: &ServiceStatus) -> Result<ServiceStatus> {
    let before = before.process.as_ref().map(|process| process.invocation.clone());
    stand.wait(PATIENCE, |stand| {
        let service = stand.service(node)?;
        let invocation = service.process.as_ref().map(|process| process.invocation.clone());
        ensure!(service.state == ServiceState::Serving, "{node} is {}: {}", service.state, service.reason.text);
        ensure!(invocation != before, "{node} is still the same process");
        Ok(service)
    })
}

/// The same failure where nothing says that it is fatal: the wrong status counts, and it is restarted once it is out and fails even so.
#[test]
fn lab_wrong_status_is_suspect_evidence() -> Result<()> {
    let stand = Stand::whole()?;
    let _soak = short_soak(&stand)?;
    let node = stand.nodes()[1].clone();
    let _judgement = Judgement::apply(&stand, &node, ANSWER_ALONE)?;
    let before = stand.service(&node)?;
    let seen = under(Mix::steady(), |stand, _| {
        stand.operation(&node, poison::SICK)?;
        replaced(stand, &node, &before)
    })?;
    let (sick, _) = out_restarted_and_back(&stand, &seen, &node)?;
    ensure!(sick.field("WARDEN_REASON") == "probe_failed" && sick.field("WARDEN_EVIDENCE") == "suspect", "{:?}", sick.fields);
    ensure!(sick.message().contains("500") && sick.message().contains("3 in a row"), "{}", sick.message());
    let story = Story::of(&seen.timeline, &node, UNIT);
    let suspect = story.went(&["suspect", "sick"])?[0];
    ensure!(suspect.field("WARDEN_REASON") == "probe_failing", "{:?}", suspect.fields);
    Ok(())
}

/// It accepts and never answers: the probe's own time limit says so.
#[test]
fn lab_hang() -> Result<()> {
    let stand = Stand::whole()?;
    let _soak = short_soak(&stand)?;
    let node = stand.nodes()[0].clone();
    let _judgement = Judgement::apply(&stand, &node, &format!("{HASTY}{FATAL_ANSWER}{WHOLE_LINE}"))?;
    let before = stand.service(&node)?;
    let seen = under(Mix::steady(), |stand, _| {
        stand.operation(&node, HANG)?;
        replaced(stand, &node, &before)
    })?;
    let (sick, incident) = out_restarted_and_back(&stand, &seen, &node)?;
    ensure!(sick.field("WARDEN_REASON") == "probe_failed" && sick.field("WARDEN_EVIDENCE") == "suspect", "{:?}", sick.fields);
    ensure!(sick.message().contains("timed out"), "{}", sick.message());
    ensure!(kept(&incident, "answer.txt")?.contains("timed out"), "{incident:?}");
    Ok(())
}

/// It leaks: recycled before it hurts, with a permit, out of rotation first, its requests waited for. Nobody notices anything.
#[test]
fn lab_leak() -> Result<()> {
    let stand = Stand::whole()?;
    let _soak = short_soak(&stand)?;
    let node = stand.nodes()[0].clone();
    let _judgement = Judgement::with(&stand, &node, "recycle_above = \"48M\"\n", ANSWER_ALONE)?;
    let before = stand.service(&node)?;
    let seen = under(Mix::steady(), |stand, _| {
        stand.operation(&node, poison::LEAK)?;
        replaced(stand, &node, &before)
    })?;
    seen.nothing_failed()?;
    let story = Story::of(&seen.timeline, &node, UNIT);
    let steps = story.went(&["leaving", "restarting", "warming", "proving", "serving"])?;
    let (leaving, restarting, serving) = (steps[0], steps[1], steps[4]);
    ensure!(leaving.field("WARDEN_REASON") == "recycle_memory", "{:?}", leaving.fields);
    ensure!(story.changes().all(|record| record.field("WARDEN_EVIDENCE").is_empty()), "a planned restart is no evidence:\n{story}");
    let (out, up) = (story.event("out_confirmed")?, up(&seen, &node, decided(restarting)?)?);
    ensure!(
        leaving.at <= out.at && out.at <= restarting.at && decided(serving)? <= up.at,
        "not out, restarted, proven and back in this order:\n{}",
        seen.timeline
    );
    let after = &seen.value;
    ensure!(after.restarts.planned == before.restarts.planned + 1 && after.restarts.total == before.restarts.total, "{after:?}");
    Ok(())
}

/// A client gets a fatal text into the log. Whoever configured `contains` pays with a moment out of rotation and nothing else: no
/// restart, no failed request, and it is counted. The pattern of the whole line is not fooled.
#[test]
fn lab_forged_fatal_line() -> Result<()> {
    const FORGED: &str = "[service.pattern.forged]\njournal.contains = \"all-gonna-die\"\nmeans = \"fatal\"\n";
    let stand = Stand::whole()?;
    let node = stand.nodes()[0].clone();
    let _judgement = Judgement::apply(&stand, &node, &format!("{ANSWER_ALONE}{FATAL_ANSWER}{WHOLE_LINE}{FORGED}"))?;
    let before = stand.service(&node)?;
    let log = |service: &ServiceStatus| service.log.clone().context("it has no patterns");
    let counted = log(&before)?;
    // bingo logs what was asked for into its file. Here that file is sent on to the journal from within the unit, as deployments do.
    let sender = format!(
        "unit=$(sed -n 's/^0:://p' /proc/{pid}/cgroup)\nfor mount in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do\n\
         if [ -e $mount$unit/cgroup.procs ]; then echo $$ > $mount$unit/cgroup.procs; fi\ndone\n\
         exec systemd-cat tail --lines=0 --follow=name /opt/bongo/logs/*/main.log",
        pid = pid(&before)?
    );
    let _sender = stand.node(&node)?.spawn(&["sh", "-euc", &sender])?;
    let seen = under(Mix::steady(), |stand, _| {
        // Whoever is asked next: HAProxy decides.
        stand.wait(PATIENCE, |stand| {
            stand.node(BALANCER)?.run(&[
                "curl",
                "-s",
                "-o",
                "/dev/null",
                "-m",
                "5",
                &format!("http://{}/we-all-gonna-die", stand.http()?),
            ])?;
            ensure!(log(&stand.service(&node)?)?.hits > counted.hits, "no line has matched");
            Ok(())
        })?;
        stand.wait(PATIENCE, |stand| {
            let service = stand.service(&node)?;
            ensure!(service.state == ServiceState::Serving, "{node} is {}: {}", service.state, service.reason.text);
            ensure!(log(&service)?.dismissed > counted.dismissed, "it has not been dismissed");
            Ok(service)
        })
    })?;
    seen.nothing_failed()?;
    let (after, story) = (&seen.value, Story::of(&seen.timeline, &node, UNIT));
    ensure!(pid(after)? == pid(&before)?, "it was restarted:\n{story}");
    ensure!(log(after)?.dismissed == counted.dismissed + 1 && after.restarts.total == before.restarts.total, "{after:?}");
    ensure!(after.incident.is_none(), "its incident is still open: {after:?}");

    story.never(&["restarting", "waiting", "parked"])?;
    let steps = story.went(&["sick", "serving"])?;
    let (sick, serving, dismissed) = (steps[0], steps[1], story.event("dismissed")?);
    ensure!(sick.field("WARDEN_REASON") == "fatal_pattern" && sick.field("WARDEN_EVIDENCE") == "fatal", "{:?}", sick.fields);
    ensure!(sick.message().contains("we-all-gonna-die"), "what matched in the line is not shown: {}", sick.message());
    ensure!(serving.field("WARDEN_REASON") == "fatal_dismissed", "{:?}", serving.fields);
    let (out, up) = (out(&seen, &node, decided(sick)?)?, up(&seen, &node, decided(serving)?)?);
    ensure!(out.at <= dismissed.at && dismissed.at <= up.at, "not out, dismissed and back in this order:\n{}", seen.timeline);
    let incident = ended_incident(&stand, &node, story.incident()?)?;
    ensure!(incident.restarts == 0, "{incident:?}");
    Ok(())
}

/// The database is down: everybody is held, nothing is restarted, not even what turns sick meanwhile, and traffic is left as it is.
/// When it is back, each is judged afresh: who is well serves on, who is sick is restarted.
#[test]
fn lab_database_down() -> Result<()> {
    let stand = Stand::whole()?;
    let database = stand.node("db-1")?.address();
    let depends = format!(
        "[service.depends.database]\npostgres = \"{database}:5432\"\nevery = \"500ms\"\nevery_in_doubt = \"100ms\"\ntimeout = \"1s\"\n\
         failures = 2\nsuccesses = 2\n"
    );
    let tables = format!("{ANSWER_ALONE}{FATAL_ANSWER}{WHOLE_LINE}{depends}");
    let _judgement = stand.nodes().iter().map(|node| Judgement::apply(&stand, node, &tables)).collect::<Result<Vec<_>>>()?;
    let (well, sick) = (stand.nodes()[0].clone(), stand.nodes()[1].clone());
    let before = stand.wait(PATIENCE, |stand| {
        let all = stand.nodes().iter().map(|node| stand.service(node)).collect::<Result<Vec<_>>>()?;
        let up = |service: &ServiceStatus| service.depends.iter().any(|one| one.up == Some(true));
        ensure!(all.iter().all(up), "the database is not known to be up: {all:?}");
        Ok(all)
    })?;
    let since = timeline::now_micros();

    let machine = stand.node("db-1")?;
    let back = PutBack::by(&machine, "systemctl start postgresql");
    machine.run(&["systemctl", "stop", "postgresql"])?;
    let held = |node: &str| {
        let service = stand.await_state(node, ServiceState::Held)?;
        ensure!(service.wants.traffic != Traffic::Out && service.wants.restart == RestartWish::No, "{node} wants {:?}", service.wants);
        ensure!(service.depends.iter().any(|one| one.up == Some(false)), "{service:?}");
        Ok(service)
    };
    for node in stand.nodes() {
        held(node)?;
        let status = stand.haproxy_status(node)?;
        ensure!(status.starts_with("UP"), "its traffic was not left as it is: HAProxy says {status}");
    }
    // One of them turns sick: the agent reads the line and sees the answers, and does nothing.
    let hits = held(&sick)?.log.map_or(0, |log| log.hits);
    stand.operation(&sick, poison::SICK)?;
    stand.wait(PATIENCE, |stand| {
        let service = stand.service(&sick)?;
        ensure!(service.log.as_ref().is_some_and(|log| log.hits > hits), "the agent has not read the line");
        let answer = service.probes[0].last.as_ref().map(|last| last.text.clone()).unwrap_or_default();
        ensure!(answer.contains("500"), "the agent has not seen the answer, but {answer:?}");
        Ok(())
    })?;
    for (node, before) in stand.nodes().iter().zip(&before) {
        ensure!(pid(&held(node)?)? == pid(before)?, "{node} was restarted");
    }
    ensure!(held(&sick)?.wants.traffic == Traffic::Keep, "what is sick and held is not left as it is");

    drop(back);
    replaced(&stand, &sick, &before[1])?;
    stand.await_whole()?;
    ensure!(pid(&stand.service(&well)?)? == pid(&before[0])?, "{well} was restarted although it was well");
    let of_well = Story::await_of(&stand, &well, UNIT, since, |story| {
        story.went(&["held", "unknown", "serving"])?;
        Ok(story.clone())
    })?;
    of_well.never(&["sick", "restarting", "waiting", "parked", "starting"])?;
    Story::await_of(&stand, &sick, UNIT, since, |story| {
        let steps = story.went(&["held", "unknown", "sick", "restarting", "warming", "proving", "serving"])?;
        ensure!(steps[0].field("WARDEN_REASON") == "held" && steps[1].field("WARDEN_REASON") == "hold_over", "{story}");
        ensure!(steps[2].field("WARDEN_EVIDENCE") == Evidence::Fatal.label(), "{story}");
        ensure!(story.changes().filter(|record| record.field("WARDEN_STATE_TO") == "restarting").count() == 1, "restarted again:\n{story}");
        Ok(())
    })
}
