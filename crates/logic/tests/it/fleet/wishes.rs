//! Single cases: what operators ask for, what comes of it, and what is kept of it.

use super::world::{Cycle, UNIX_MS, World, id, service};
use warden_logic::fleet::judge::{Note, Want};
use warden_logic::fleet::observed::Mark;
use warden_logic::fleet::plan::Step;
use warden_logic::fleet::wishes::{Granted, Kept, Refusal, Wish, Wishes, Word};
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{RestartWish, ServiceState, Traffic};

/// So many serve, and say so.
fn world(servers: usize) -> World {
    let mut world = World::new(servers, 1);
    beat(&mut world);
    world
}

/// Everybody serves on.
fn beat(world: &mut World) -> Cycle {
    for at in 0..world.servers.len() {
        world.report(at, Traffic::In, false);
    }
    let cycle = world.cycle();
    world.pass(Span::from_millis(500));
    cycle
}

fn drain(name: &str) -> Wish {
    Wish::Drain { name: name.to_owned() }
}

fn undrain(name: &str) -> Wish {
    Wish::Undrain { name: name.to_owned() }
}

fn steps(cycle: &Cycle) -> Vec<(&'static str, String)> {
    cycle.steps.iter().map(|step| (step.label(), step.id().server.to_string())).collect()
}

fn sentence(refusal: Result<Granted, Refusal>) -> String {
    match refusal.unwrap_err() {
        Refusal::Unknown(text) | Refusal::Refused(text) => text,
    }
}

#[test]
fn a_drained_server_is_out_whatever_its_agent_says_and_back_when_that_ends() {
    let mut world = world(2);
    assert_eq!(world.wish(drain("node-0")), Ok(Granted::Drained(vec![id(0)])));
    let cycle = beat(&mut world);
    assert_eq!(steps(&cycle), [("out", "node-0".to_owned())]);
    assert_eq!(cycle.judgements[0].note.as_ref().unwrap().to_string(), "drained by anna: disk swap");
    for _ in 0..10 {
        assert_eq!(beat(&mut world).steps, []);
    }
    // Neither a new HAProxy nor a new coordinator forgets it, nor does a silent agent end it.
    world.restart_haproxy();
    assert_eq!(steps(&beat(&mut world)), [("assert", "node-0".to_owned())]);
    world.restart_coordinator();
    assert_eq!(steps(&beat(&mut world)), [("out", "node-0".to_owned()), ("vouch", "node-1".to_owned())]);
    world.pass(Span::from_secs(90));
    world.pass(Span::from_secs(90));
    assert_eq!(world.cycle().steps, []);

    // Nobody speaks for it, and it goes back all the same: by fresh checks.
    assert!(matches!(world.wish(undrain("app/node-0")), Ok(Granted::Undrained(over)) if over[0].0 == id(0)));
    assert_eq!(world.cycle().steps, [Step::Back { id: id(0), fresh_checks: true, drained: false }]);
}

#[test]
fn a_drain_keeps_the_floor_and_says_so() {
    let mut world = world(2);
    world.wish(drain("node-0")).unwrap();
    beat(&mut world);
    world.wish(drain("node-1")).unwrap();
    let cycle = beat(&mut world);
    assert_eq!(cycle.steps, []);
    assert_eq!(
        cycle.judgements[1].note.as_ref().unwrap().to_string(),
        "it is drained; it stays in, because 0 other servers take traffic and min_in_traffic is 1"
    );
    world.wish(undrain("node-0")).unwrap();
    assert_eq!(steps(&beat(&mut world)), [("back", "node-0".to_owned())]);
    // As soon as the other one takes traffic, this one goes.
    beat(&mut world);
    let cycle = beat(&mut world);
    assert_eq!(steps(&cycle), [("out", "node-1".to_owned())], "{:?}", cycle.judgements);
}

#[test]
fn who_is_sick_leaves_before_who_is_drained() {
    let mut world = world(2);
    world.wish(drain("node-0")).unwrap();
    world.report(1, Traffic::Out, false);
    let cycle = world.cycle();
    assert_eq!(steps(&cycle), [("out", "node-1".to_owned())]);
    assert!(matches!(cycle.judgements[0].note, Some(Note::Floor { drain: true, .. })));
}

#[test]
fn a_mark_in_haproxy_outranks_a_drain_and_is_another_thing() {
    let mut world = world(2);
    world.servers[0].admin = 8;
    world.wish(drain("node-0")).unwrap();
    let cycle = beat(&mut world);
    assert_eq!(cycle.judgements[0].note, Some(Note::Operator(Mark::Drain)));
    assert_eq!((cycle.steps, &cycle.judgements[0].want), (vec![], &Want::Leave));
    let refused = sentence(world.wish(undrain("node-1")));
    assert!(refused.starts_with("no drain of ours is on app/node-1: a mark of HAProxy's own is taken back there"), "{refused}");
    // The mark goes, the drain stays.
    world.servers[0].admin = 0;
    assert_eq!(steps(&beat(&mut world)), [("out", "node-0".to_owned())]);
}

#[test]
fn what_cannot_be_moved_or_is_not_known_is_not_drained() {
    let mut world = world(2);
    assert_eq!(sentence(world.wish(drain("node-7"))), "there is no node and no server \"node-7\": agentctl fleet status names them");
    world.policy.agent_port += 1;
    let known = warden_logic::fleet::wishes::Known {
        policy: &world.policy,
        observed: &world.observed(),
        roster: &world.roster,
        matches: &warden_logic::fleet::matching::Matches::default(),
        ledger: &world.ledger,
    };
    let word = Word { by: "anna".to_owned(), reason: String::new(), at_unix_ms: 0 };
    let mut wishes = Wishes::default();
    let refused = sentence(wishes.take(world.now, Some(known), drain("node-0"), word.clone()));
    assert!(refused.starts_with("HAProxy does not ask the coordinator about app/node-0, so it cannot be taken out: give"), "{refused}");
    let refused = sentence(wishes.take(world.now, None, drain("node-0"), word.clone()));
    assert!(refused.starts_with("HAProxy has not been read yet"), "{refused}");
    assert_eq!((sentence(wishes.take(world.now, None, Wish::Resume, word)), wishes), ("nothing is paused".to_owned(), Wishes::default()));
}

#[test]
fn a_drain_on_a_server_that_is_gone_can_be_taken_back() {
    let mut world = world(3);
    world.wish(drain("node-2")).unwrap();
    world.servers.pop();
    assert!(world.wishes.drained(&id(2)).is_some());
    assert!(matches!(world.wish(undrain("node-2")), Ok(Granted::Undrained(over)) if over[0].0 == id(2)));
    assert_eq!(world.wishes, Wishes::default());
}

#[test]
fn a_node_and_a_strange_server_of_its_name_are_told_apart() {
    let mut world = world(2);
    // The agent of node-1 speaks for the server at node-0's address: by address, the names are crossed.
    for (at, address) in [(0, "192.0.2.1:80"), (1, "192.0.2.0:80")] {
        let said = ServiceReport { address: address.to_owned(), ..service(at, Traffic::In, false) };
        world.say(at, said);
    }
    let refused = sentence(world.wish(drain("node-0")));
    assert_eq!(
        refused,
        "node-0 is a node, and app/node-0 is another server of that name: say which, as BACKEND/SERVER: app/node-0, app/node-1"
    );
    assert_eq!(world.wish(drain("app/node-0")), Ok(Granted::Drained(vec![id(0)])));
}

/// Serves, and its recycling is due.
fn asks(at: usize) -> ServiceReport {
    let mut said = ServiceReport {
        planned: Some("recycle_age".to_owned()),
        since_ms: 900_000,
        started_ms_ago: Some(900_000),
        invocation: "1".to_owned(),
        ..service(at, Traffic::In, false)
    };
    said.wants.restart = RestartWish::Ask;
    said
}

fn wait(world: &World, at: usize) -> Option<String> {
    world.permits.wait(&id(at)).map(ToString::to_string)
}

#[test]
fn in_a_pause_nothing_is_granted_and_what_was_not_begun_is_void() {
    let mut world = world(2);
    world.now = world.now.plus(Span::from_secs(60));
    beat(&mut world);
    world.report(1, Traffic::In, false);
    world.say(0, asks(0));
    world.cycle();
    let permit = world.permits.lease(&id(0)).expect("a permit").id;
    assert!(matches!(world.wish(Wish::Pause { lasts: Some(Span::from_secs(2)) }), Ok(Granted::Paused(_))));
    world.cycle();
    assert_eq!((world.permits.lease(&id(0)), wait(&world, 0).as_deref()), (None, Some("paused by anna: disk swap; ends by itself in 2 s")));
    // Its agent has not heard of that and leaves: it stays in.
    let leaves = ServiceReport { state: ServiceState::Leaving, permit: Some(permit), ..asks(0) };
    let leaves = ServiceReport { wants: warden_protocol::v1::report::Wants { traffic: Traffic::Out, ..leaves.wants }, ..leaves };
    world.say(0, leaves);
    let cycle = world.cycle();
    assert_eq!((cycle.steps, &cycle.judgements[0].note), (vec![], &Some(Note::NoPermit)));
    // Fatal evidence does not ask, and the pause ends by itself.
    world.report(1, Traffic::Out, true);
    assert_eq!(steps(&world.cycle()), [("out", "node-1".to_owned())]);
    world.now = world.now.plus(Span::from_secs(2));
    assert!(world.wishes.expire(world.now).is_some() && world.wishes.expire(world.now).is_none());
    world.report(1, Traffic::In, false);
    world.say(0, asks(0));
    world.cycle();
    assert_ne!(wait(&world, 0).map(|why| why.starts_with("paused")), Some(true));
}

#[test]
fn what_is_drained_is_left_as_it_is_by_plan() {
    let mut world = world(2);
    world.now = world.now.plus(Span::from_secs(60));
    beat(&mut world);
    world.wish(drain("node-0")).unwrap();
    world.report(1, Traffic::In, false);
    world.say(0, asks(0));
    world.cycle();
    assert_eq!(wait(&world, 0).as_deref(), Some("it is drained: what is drained is left as it is until `agentctl fleet undrain`"));
}

#[test]
fn wishes_outlive_the_machine_and_no_step_of_the_wall_clock_makes_them_longer() {
    let mut world = world(2);
    world.wish(drain("node-1")).unwrap();
    world.wish(Wish::Pause { lasts: Some(Span::from_secs(60)) }).unwrap();
    let now = world.now;
    let kept =
        |at: Moment, unix_ms| -> Kept { serde_json::from_slice(&serde_json::to_vec(&world.wishes.keep(at, unix_ms)).unwrap()).unwrap() };
    let left = |wishes: &Wishes, now: Moment| wishes.paused(now).map(|pause| pause.until.unwrap().since(now));
    let boot = Moment::from_micros(7);
    let later = |ms: i64| {
        let unix_ms = UNIX_MS.checked_add_signed(ms).unwrap();
        Wishes::restore(kept(now.plus(Span::from_secs(10)), UNIX_MS), boot, unix_ms).unwrap()
    };
    assert_eq!(left(&later(5_000), boot), Some(Span::from_secs(45)));
    assert_eq!(left(&later(-3_600_000), boot), Some(Span::from_secs(60)));
    assert_eq!(left(&later(50_000), boot), None);
    assert_eq!(later(0).drained(&id(1)).map(ToString::to_string).as_deref(), Some("anna: disk swap"));
    let newer = serde_json::json!({"v": 2});
    let refused = Wishes::restore(serde_json::from_value(newer).unwrap(), boot, UNIX_MS).unwrap_err();
    assert_eq!(refused, "it is of version 2, and only 1 is known here");
}
