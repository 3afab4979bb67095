//! Generated histories. The invariants are checked by every cycle, see [`super::world`]; here is what must be true at the end.

use super::world::{World, id};
use proptest::prelude::*;
use warden_logic::fleet::judge::Want;
use warden_logic::fleet::ledger::Verdict;
use warden_logic::fleet::plan::Step;
use warden_logic::fleet::wishes::Wish;
use warden_logic::moment::Span;
use warden_protocol::vocab::Traffic;

#[derive(Clone, Debug)]
enum Action {
    Report { at: usize, traffic: Traffic, fatal: bool },
    EverybodyAgain,
    Pass { millis: u64 },
    Healthy { at: usize, healthy: bool },
    Admin { at: usize, bits: u32 },
    AgentCheck { at: usize, enabled: bool },
    HealthCheck { at: usize, enabled: bool },
    RestartHaproxy,
    RestartCoordinator,
    LosePushes,
    Drain { at: usize, begins: bool },
    Pause { secs: Option<u64> },
    Resume,
}

const SERVERS: usize = 4;

fn action() -> impl Strategy<Value = Action> {
    let at = 0..SERVERS;
    let traffic = prop_oneof![4 => Just(Traffic::In), 4 => Just(Traffic::Out), 1 => Just(Traffic::Keep)];
    prop_oneof![
        12 => (at.clone(), traffic, any::<bool>()).prop_map(|(at, traffic, fatal)| Action::Report { at, traffic, fatal }),
        4 => Just(Action::EverybodyAgain),
        8 => prop_oneof![3 => 1_u64..1_000, 1 => 1_000_u64..5_000, 1 => 30_000_u64..90_000].prop_map(|millis| Action::Pass { millis }),
        3 => (at.clone(), any::<bool>()).prop_map(|(at, healthy)| Action::Healthy { at, healthy }),
        2 => (at.clone(), prop_oneof![2 => Just(0_u32), 1 => Just(1), 1 => Just(8), 1 => Just(4), 1 => Just(32)]).prop_map(|(at, bits)| Action::Admin { at, bits }),
        1 => (at.clone(), any::<bool>()).prop_map(|(at, enabled)| Action::AgentCheck { at, enabled }),
        1 => (at.clone(), any::<bool>()).prop_map(|(at, enabled)| Action::HealthCheck { at, enabled }),
        3 => (at, any::<bool>()).prop_map(|(at, begins)| Action::Drain { at, begins }),
        1 => prop::option::of(1_u64..100).prop_map(|secs| Action::Pause { secs }),
        1 => Just(Action::Resume),
        1 => Just(Action::RestartHaproxy),
        1 => Just(Action::RestartCoordinator),
        1 => Just(Action::LosePushes),
    ]
}

/// Repeats what every node that still counts said last, as heartbeats do.
fn heartbeat(world: &mut World) {
    let said: Vec<_> = (0..world.servers.len())
        .filter_map(|at| {
            let node = world.roster.node(&format!("node-{at}")).filter(|node| node.fresh(world.now, world.policy.lease))?;
            Some((at, node.services[0].wants.traffic, node.services[0].evidence.is_some()))
        })
        .collect();
    for (at, traffic, fatal) in said {
        world.report(at, traffic, fatal);
    }
}

fn act(world: &mut World, action: &Action) {
    match *action {
        Action::Report { at, traffic, fatal } => world.report(at, traffic, fatal),
        Action::EverybodyAgain => heartbeat(world),
        Action::Pass { millis } => world.pass(Span::from_millis(millis)),
        Action::Healthy { at, healthy } => world.servers[at].healthy = healthy,
        Action::Admin { at, bits } => world.servers[at].admin = bits,
        Action::AgentCheck { at, enabled } => world.servers[at].agent_enabled = enabled,
        Action::HealthCheck { at, enabled } => world.servers[at].check_enabled = enabled,
        Action::RestartHaproxy => world.restart_haproxy(),
        Action::RestartCoordinator => world.restart_coordinator(),
        Action::LosePushes => world.pushes_lost = true,
        // One that is not drained is refused.
        Action::Drain { at, begins: true } => drop(world.wish(Wish::Drain { name: format!("node-{at}") })),
        Action::Drain { at, begins: false } => drop(world.wish(Wish::Undrain { name: format!("node-{at}") })),
        Action::Pause { secs } => drop(world.wish(Wish::Pause { lasts: secs.map(Span::from_secs) })),
        Action::Resume => drop(world.wish(Wish::Resume)),
    }
}

/// Either lever: everything holds of both.
fn of_lever(drain: bool, floor: u32) -> World {
    if drain { World::with_drain_lever(SERVERS, floor) } else { World::new(SERVERS, floor) }
}

fn undrain_all(world: &mut World) {
    let drained: Vec<String> = world.wishes.drains().map(|(id, _)| id.to_string()).collect();
    for name in drained {
        world.wish(Wish::Undrain { name }).unwrap();
    }
}

fn history(world: &mut World, actions: &[Action]) {
    for action in actions {
        act(world, action);
        world.cycle();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever happened: when everybody is fit again and all marks and drains are gone, everybody serves. A pause may hold on.
    #[test]
    fn every_history_ends_well(drain in any::<bool>(), floor in 0_u32..=3, actions in prop::collection::vec(action(), 1..60)) {
        let mut world = of_lever(drain, floor);
        history(&mut world, &actions);
        for at in 0..SERVERS {
            world.servers[at].healthy = true;
            world.servers[at].admin = 0;
            world.servers[at].agent_enabled = true;
            world.servers[at].check_enabled = true;
        }
        undrain_all(&mut world);
        for _ in 0..6 {
            for at in 0..SERVERS {
                world.report(at, Traffic::In, false);
            }
            world.cycle();
            world.pass(Span::from_millis(500));
        }
        let observed = world.observed();
        for at in 0..SERVERS {
            prop_assert_eq!(world.ledger.verdict(&id(at)), Some(&Verdict::In));
            prop_assert!(observed.servers[at].takes_traffic(), "{} stays out: {:?}", id(at), world.servers[at]);
        }
    }

    /// Nobody speaks for a while, HAProxy is what it was: nothing is planned, until an orphan is due.
    #[test]
    fn silence_changes_nothing(drain in any::<bool>(), floor in 0_u32..=3, actions in prop::collection::vec(action(), 1..40)) {
        let mut world = of_lever(drain, floor);
        history(&mut world, &actions);
        world.cycle();
        let lease = world.policy.lease;
        world.now = world.now.plus(lease).plus(Span::from_millis(1));
        for server in &mut world.servers {
            server.healthy = false; // no check passes, so no orphan is due
        }
        let verdicts = world.ledger.clone();
        for _ in 0..200 {
            world.now = world.now.plus(Span::from_secs(1));
            let cycle = world.cycle();
            prop_assert_eq!(cycle.steps, []);
        }
        for at in 0..SERVERS {
            prop_assert_eq!(world.ledger.verdict(&id(at)), verdicts.verdict(&id(at)));
        }
    }

    /// A new HAProxy runs everything; after one cycle it does what the old one did, as far as the floor and people allow.
    #[test]
    fn a_restarted_haproxy_converges_in_one_cycle(drain in any::<bool>(), floor in 0_u32..=1, actions in prop::collection::vec(action(), 1..40)) {
        let mut world = of_lever(drain, floor);
        history(&mut world, &actions);
        heartbeat(&mut world);
        world.restart_haproxy();
        let cycle = world.cycle();
        let observed = world.observed();
        for judgement in cycle.judgements {
            let server = observed.server(&judgement.id).unwrap();
            match judgement.want {
                Want::Out(_) => prop_assert!(!server.takes_traffic(), "{server:?}"),
                Want::In | Want::Leave => prop_assert!(server.takes_traffic(), "{server:?}"),
            }
        }
    }

    /// A coordinator that was restarted pushes nothing and answers nothing until it was told something.
    #[test]
    fn a_restarted_coordinator_begins_with_nothing(drain in any::<bool>(), floor in 0_u32..=3, actions in prop::collection::vec(action(), 1..40)) {
        let mut world = of_lever(drain, floor);
        history(&mut world, &actions);
        undrain_all(&mut world);
        world.restart_coordinator();
        let cycle = world.cycle();
        prop_assert_eq!(cycle.steps, []);
        prop_assert_eq!(world.ledger.verdicts().count(), 0);
        // What its agents want in comes back, although nobody remembers why it is out.
        for at in 0..SERVERS {
            world.servers[at].admin = 0;
            world.servers[at].agent_enabled = true;
            world.report(at, Traffic::In, false);
        }
        let observed = world.observed();
        for step in world.cycle().steps {
            let server = observed.server(step.id()).unwrap();
            // By the second lever, what is stopped without a drain of ours is stopped by its check.
            let held_out = if drain { server.ours } else { !server.takes_traffic() };
            prop_assert!(matches!(step, Step::Back { .. }) == held_out, "{:?}", step);
        }
    }
}
