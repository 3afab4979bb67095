//! Single cases: the floor, a person's hand, an orphan, the way back.

use super::world::{World, id};
use warden_logic::fleet::judge::{Note, Want};
use warden_logic::fleet::observed::Mark;
use warden_logic::fleet::plan::Step;
use warden_logic::moment::Span;
use warden_protocol::vocab::Traffic;

fn labels(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| format!("{} {}", step.label(), step.id().server)).collect()
}

fn notes(world: &mut World) -> Vec<Option<Note>> {
    world.think().judgements.into_iter().map(|judgement| judgement.note).collect()
}

#[test]
fn both_sick_at_once_one_stays_in_and_the_other_follows() {
    let mut world = World::new(2, 1);
    world.report(0, Traffic::In, false);
    world.report(1, Traffic::In, false);
    assert_eq!(labels(&world.cycle().steps), ["vouch node-0", "vouch node-1"]);

    world.report(0, Traffic::Out, true);
    world.report(1, Traffic::Out, true);
    assert_eq!(labels(&world.cycle().steps), ["out node-0"]);
    assert_eq!(notes(&mut world), [None, Some(Note::Floor { min: 1, others: 0, drain: false })]);

    // The one that the floor keeps in is restarted: HAProxy's own check takes it out. That locks nobody out.
    world.servers[1].healthy = false;
    world.pass(Span::from_millis(500));
    world.report(0, Traffic::Out, true);
    world.report(1, Traffic::Out, true);
    assert_eq!(labels(&world.cycle().steps), [""; 0]);

    // The first is proven: back by fresh checks. Until it runs, the second stays as it is, then it goes.
    world.report(0, Traffic::In, false);
    assert_eq!(labels(&world.cycle().steps), ["back node-0"]);
    assert!(!world.observed().servers[0].takes_traffic());
    world.pass(Span::from_millis(500));
    assert_eq!(labels(&world.cycle().steps), [""; 0]);
    world.servers[1].healthy = true;
    world.pass(Span::from_millis(500));
    world.report(0, Traffic::In, false);
    world.report(1, Traffic::Out, false);
    assert_eq!(labels(&world.cycle().steps), ["out node-1"]);
    world.report(1, Traffic::In, false);
    assert_eq!(labels(&world.cycle().steps), ["back node-1"]);
    world.pass(Span::from_millis(500));
    world.pass(Span::from_millis(500));
    assert!(world.observed().servers.iter().all(|server| server.takes_traffic()));
}

#[test]
fn fatal_evidence_goes_first_when_the_floor_grants_one() {
    let mut world = World::new(2, 1);
    world.report(0, Traffic::Out, false);
    world.report(1, Traffic::Out, true);
    assert_eq!(labels(&world.cycle().steps), ["out node-1", "vouch node-0"]);
}

#[test]
fn a_floor_of_zero_takes_out_everything() {
    let mut world = World::new(2, 0);
    world.report(0, Traffic::Out, true);
    world.report(1, Traffic::Out, true);
    assert_eq!(labels(&world.cycle().steps), ["out node-0", "out node-1"]);
}

#[test]
fn a_server_in_maintenance_does_not_count_for_the_floor() {
    let mut world = World::new(2, 1);
    world.servers[0].admin = 1;
    world.report(0, Traffic::In, false);
    world.report(1, Traffic::Out, true);
    assert_eq!(labels(&world.cycle().steps), ["vouch node-1"]);
    assert_eq!(notes(&mut world), [Some(Note::Operator(Mark::Maintenance)), Some(Note::Floor { min: 1, others: 0, drain: false })]);
}

#[test]
fn an_operators_mark_is_recognised_by_its_bits() {
    let marks = [(0x01, Some(Mark::Maintenance)), (0x02, Some(Mark::Maintenance)), (0x20, Some(Mark::Maintenance))];
    let drains =
        [(0x08, Some(Mark::Drain)), (0x10, Some(Mark::Drain)), (0x05, Some(Mark::Maintenance)), (0x04, None), (0x40, None), (0, None)];
    let mut world = World::new(1, 1);
    for (bits, mark) in marks.into_iter().chain(drains) {
        world.servers[0].admin = bits;
        assert_eq!(world.observed().servers[0].mark(), mark, "{bits:#x}");
    }
    world.servers[0].admin = 0;
    world.servers[0].agent_enabled = false;
    assert_eq!(world.observed().servers[0].mark(), Some(Mark::AgentDisabled));
}

#[test]
fn an_orphan_is_put_back_once_its_check_has_passed_long_enough() {
    let mut world = World::new(2, 1);
    world.report(0, Traffic::Out, true);
    world.report(1, Traffic::In, false);
    world.cycle();
    for second in 1..=60_u64 {
        world.servers[0].healthy = second != 20; // one failure on the way: the time begins anew
        world.pass(Span::from_secs(1));
        assert_eq!(labels(&world.cycle().steps), [""; 0], "after {second} s");
    }
    for second in 61..81_u64 {
        world.pass(Span::from_secs(1));
        assert_eq!(labels(&world.cycle().steps), [""; 0], "after {second} s");
    }
    world.pass(Span::from_secs(1));
    let cycle = world.cycle();
    assert_eq!(labels(&cycle.steps), ["back node-0"]);
    assert_eq!(cycle.judgements[0].note, Some(Note::Orphan { silent: Span::from_secs(81) }));
    world.pass(Span::from_secs(1));
    world.pass(Span::from_secs(1));
    assert!(world.observed().servers[0].takes_traffic());
}

#[test]
fn an_agent_that_still_speaks_keeps_its_server_out_for_ever() {
    let mut world = World::new(2, 1);
    world.report(0, Traffic::Out, true);
    world.cycle();
    for _ in 0..300 {
        world.pass(Span::from_secs(1));
        world.report(0, Traffic::Keep, false);
        assert_eq!(labels(&world.cycle().steps), [""; 0]);
    }
}

#[test]
fn a_server_without_a_check_goes_back_without_one() {
    let mut world = World::new(2, 1);
    world.servers[0].check_enabled = false;
    world.report(0, Traffic::Out, true);
    world.cycle();
    world.report(0, Traffic::In, false);
    assert_eq!(world.cycle().steps, [Step::Back { id: id(0), fresh_checks: false, drained: false }]);
}

#[test]
fn another_reason_is_entered_and_not_pushed() {
    let mut world = World::new(2, 1);
    world.report(0, Traffic::Out, true);
    world.cycle();
    let mut changed = super::world::service(0, Traffic::Out, false);
    changed.reason.text = "warming up".to_owned();
    world.seq += 1;
    let report = warden_protocol::v1::report::Report {
        v: 1,
        node: "node-0".to_owned(),
        boot_id: "boot".to_owned(),
        agent_epoch: 1,
        seq: world.seq,
        agent_version: String::new(),
        services: vec![changed],
    };
    assert_eq!(world.roster.hear(world.now, world.policy.lease, report), Ok(true));
    assert_eq!(labels(&world.cycle().steps), ["reword node-0"]);
}

#[test]
fn a_server_that_is_asked_about_elsewhere_cannot_be_moved_and_says_so() {
    let mut world = World::new(2, 1);
    world.policy.agent_port = 1;
    world.report(0, Traffic::Out, true);
    let cycle = world.cycle();
    assert_eq!(cycle.steps, []);
    assert_eq!(cycle.judgements[0].want, Want::Leave);
    let note = cycle.judgements[0].note.clone().unwrap();
    assert!(note.to_string().contains("agent-port 1 "), "{note}");
    assert_eq!(cycle.judgements[1].note, None);
}

#[test]
fn after_a_restart_of_haproxy_whoever_was_out_goes_first() {
    let mut world = World::new(2, 1);
    world.report(1, Traffic::Out, false);
    assert_eq!(labels(&world.cycle().steps), ["out node-1"]);
    world.report(0, Traffic::Out, true); // held by the floor, although its evidence weighs more
    world.cycle();
    world.restart_haproxy();
    assert_eq!(labels(&world.cycle().steps), ["assert node-1"]);
}

#[test]
fn a_new_haproxy_that_runs_nothing_else_keeps_even_what_was_out() {
    let mut world = World::new(2, 1);
    world.report(0, Traffic::In, false);
    world.report(1, Traffic::Out, true);
    world.cycle();
    world.restart_haproxy();
    world.servers[0].passes = 0; // the new one's first check of it failed
    let cycle = world.cycle();
    assert_eq!(labels(&cycle.steps), ["vouch node-1"]);
    assert_eq!(cycle.judgements[1].note, Some(Note::Floor { min: 1, others: 0, drain: false }));
}

#[test]
fn an_orphan_that_nobody_remembers_is_put_back_as_well() {
    let mut world = World::new(2, 1);
    world.report(0, Traffic::Out, true);
    world.cycle();
    world.restart_coordinator();
    assert_eq!(labels(&world.cycle().steps), [""; 0]);
    world.pass(Span::from_secs(59));
    assert_eq!(labels(&world.cycle().steps), [""; 0]);
    world.pass(Span::from_secs(1));
    assert_eq!(labels(&world.cycle().steps), ["back node-0"]);
}
