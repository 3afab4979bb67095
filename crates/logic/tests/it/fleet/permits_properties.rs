//! Generated histories of a whole fleet. The invariants are checked by every review and every cycle, see [`super::budget`] and
//! [`super::world`]; here is what must be true at the end.

use super::crew::{BEAT, Crew};
use super::world::id;
use proptest::prelude::*;
use warden_logic::fleet::Lever;
use warden_logic::fleet::budget::MaxUnavailable;
use warden_logic::fleet::ledger::Verdict;
use warden_logic::fleet::permits::Happened;
use warden_logic::fleet::roll::Asked;
use warden_logic::fleet::wishes::Wish;
use warden_logic::moment::{Moment, Span};
use warden_protocol::vocab::Evidence;

const SERVERS: usize = 4;

#[derive(Clone, Debug)]
enum Action {
    Beat(u32),
    Due(usize),
    Fail { at: usize, fatal: bool },
    Broken { at: usize, broken: bool },
    Cut { at: usize, cut: bool },
    AnswersLost,
    KeepBack(usize),
    Twin(usize),
    Admin { at: usize, bits: u32 },
    AgentCheck { at: usize, enabled: bool },
    Pass { millis: u64 },
    RestartAgent(usize),
    RestartHaproxy,
    RestartCoordinator,
    LosePushes,
    Drain { at: usize, begins: bool },
    Pause { secs: Option<u64> },
    Resume,
    Roll,
    EndRoll,
}

fn action() -> impl Strategy<Value = Action> {
    let at = || 0..SERVERS;
    prop_oneof![
        20 => (1_u32..12).prop_map(Action::Beat),
        12 => at().prop_map(Action::Due),
        5 => (at(), any::<bool>()).prop_map(|(at, fatal)| Action::Fail { at, fatal }),
        2 => (at(), any::<bool>()).prop_map(|(at, broken)| Action::Broken { at, broken }),
        3 => (at(), any::<bool>()).prop_map(|(at, cut)| Action::Cut { at, cut }),
        3 => Just(Action::AnswersLost),
        2 => at().prop_map(Action::KeepBack),
        1 => at().prop_map(Action::Twin),
        2 => (at(), prop_oneof![2 => Just(0_u32), 1 => Just(1), 1 => Just(8)]).prop_map(|(at, bits)| Action::Admin { at, bits }),
        1 => (at(), any::<bool>()).prop_map(|(at, enabled)| Action::AgentCheck { at, enabled }),
        2 => prop_oneof![3 => 1_u64..4_000, 1 => 10_000_u64..40_000].prop_map(|millis| Action::Pass { millis }),
        2 => at().prop_map(Action::RestartAgent),
        1 => Just(Action::RestartHaproxy),
        2 => Just(Action::RestartCoordinator),
        2 => Just(Action::LosePushes),
        2 => (at(), any::<bool>()).prop_map(|(at, begins)| Action::Drain { at, begins }),
        1 => prop::option::of(1_u64..60).prop_map(|secs| Action::Pause { secs }),
        2 => Just(Action::Resume),
        2 => Just(Action::Roll),
        1 => Just(Action::EndRoll),
    ]
}

fn act(crew: &mut Crew, action: &Action) {
    let now = crew.world.now;
    match *action {
        Action::Beat(times) => (0..times).for_each(|_| drop(crew.beat())),
        Action::Due(at) => crew.agents[at].due = true,
        Action::Fail { at, fatal } => crew.agents[at].fail(now, if fatal { Evidence::Fatal } else { Evidence::Suspect }),
        Action::Broken { at, broken } => crew.agents[at].broken = broken,
        Action::Cut { at, cut } => crew.agents[at].cut = cut,
        Action::AnswersLost => crew.answers_lost = true,
        Action::KeepBack(at) => crew.keep_back(at),
        Action::Twin(at) => crew.twin(at),
        Action::Admin { at, bits } => crew.world.servers[at].admin = bits,
        Action::AgentCheck { at, enabled } => crew.world.servers[at].agent_enabled = enabled,
        Action::Pass { millis } => crew.world.pass(Span::from_millis(millis)),
        Action::RestartAgent(at) => crew.restart_agent(at),
        Action::RestartHaproxy => crew.world.restart_haproxy(),
        Action::RestartCoordinator => crew.restart_coordinator(),
        Action::LosePushes => crew.world.pushes_lost = true,
        // One that is not drained is refused.
        Action::Drain { at, begins: true } => drop(crew.world.wish(Wish::Drain { name: format!("node-{at}") })),
        Action::Drain { at, begins: false } => drop(crew.world.wish(Wish::Undrain { name: format!("node-{at}") })),
        Action::Pause { secs } => drop(crew.world.wish(Wish::Pause { lasts: secs.map(Span::from_secs) })),
        Action::Resume => drop(crew.world.wish(Wish::Resume)),
        // One while another is under way is refused.
        Action::Roll => drop(crew.world.wish(Wish::Roll(Asked::default()))),
        Action::EndRoll => drop(crew.world.wish(Wish::EndRoll)),
    }
    crew.beat();
}

fn crew(drain: bool, servers: usize, floor: u32, max: MaxUnavailable, soak: u64) -> Crew {
    let mut crew = Crew::new(servers, floor);
    let backend = crew.world.policy.backends.get_mut("app").unwrap();
    backend.lever = if drain { Lever::Drain } else { Lever::Agent };
    backend.max_unavailable = max;
    backend.soak = Span::from_millis(soak);
    backend.permit_lease = Span::from_secs(20);
    backend.start_by = Span::from_secs(2);
    crew
}

fn limit() -> impl Strategy<Value = MaxUnavailable> {
    prop_oneof![
        3 => Just(MaxUnavailable::Servers(1)),
        1 => Just(MaxUnavailable::Servers(2)),
        1 => Just(MaxUnavailable::Servers(3)),
        1 => Just(MaxUnavailable::Percent(25)),
        1 => Just(MaxUnavailable::Percent(50)),
    ]
}

/// All trouble ends.
fn calm(crew: &mut Crew) {
    for at in 0..crew.agents.len() {
        (crew.agents[at].cut, crew.agents[at].broken) = (false, false);
        let server = &mut crew.world.servers[at];
        (server.admin, server.agent_enabled) = (0, true);
        drop(crew.world.wish(Wish::Undrain { name: id(at).to_string() }));
    }
    drop(crew.world.wish(Wish::Resume));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]

    /// Whatever happened: when trouble ends, everybody serves again, whoever asks gets a permit, and in the end nobody holds one.
    #[test]
    fn no_permit_starves_and_every_permit_ends(
        drain in any::<bool>(), floor in 0_u32..=2, max in limit(), soak in prop_oneof![Just(0_u64), Just(3_000)], actions in prop::collection::vec(action(), 1..50)
    ) {
        let mut crew = crew(drain, SERVERS, floor, max, soak);
        actions.iter().for_each(|action| act(&mut crew, action));
        calm(&mut crew);
        // Two that look sick are at most half of four: one after the other is restarted. Three are a shared cause, and stay.
        crew.world.policy.backends.get_mut("app").unwrap().max_suspect_share = warden_logic::fleet::budget::Share::from_thousandths(1_000);
        let recycled: Vec<u32> = crew.agents.iter().map(|agent| agent.recycled).collect();
        for agent in &mut crew.agents {
            agent.due = true;
        }
        let all_went = |crew: &Crew| crew.agents.iter().zip(&recycled).all(|(agent, before)| agent.recycled > *before);
        crew.until(600, "everybody who asked has gone", all_went);
        crew.until(60, "nobody holds a permit", |crew| crew.world.permits.leases().count() == 0);
        prop_assert_eq!(crew.world.permits.waits().count(), 0);
        for at in 0..SERVERS {
            prop_assert_eq!(crew.world.ledger.verdict(&id(at)), Some(&Verdict::In));
            prop_assert!(crew.world.observed().servers[at].takes_traffic());
        }
    }

    /// A pool of two with the defaults: while nobody fails, there is always one that serves, whoever is restarted.
    #[test]
    fn a_pool_of_two_never_loses_both_by_plan(
        drain in any::<bool>(), actions in prop::collection::vec(prop_oneof![
            6 => (1_u32..12).prop_map(Action::Beat),
            6 => (0..2_usize).prop_map(Action::Due),
            2 => (0..2_usize, any::<bool>()).prop_map(|(at, cut)| Action::Cut { at, cut }),
            2 => Just(Action::AnswersLost),
            2 => (0..2_usize).prop_map(Action::KeepBack),
            2 => (0..2_usize).prop_map(Action::RestartAgent),
            2 => Just(Action::RestartCoordinator),
            2 => Just(Action::LosePushes),
            1 => Just(Action::RestartHaproxy),
        ], 1..80)
    ) {
        let mut crew = crew(drain, 2, 1, MaxUnavailable::Servers(1), 3_000);
        for action in &actions {
            act(&mut crew, action);
            let serving = crew.world.observed().servers.iter().filter(|server| server.takes_traffic()).count();
            prop_assert!(serving >= 1, "after {action:?}: {crew:#?}");
        }
    }

    /// The next one goes when the last one has been back at its full weight for a soak, whichever coordinators came and went meanwhile.
    #[test]
    fn a_soak_outlives_the_coordinator(
        drain in any::<bool>(), actions in prop::collection::vec(prop_oneof![
            8 => (1_u32..12).prop_map(Action::Beat),
            8 => (0..3_usize).prop_map(Action::Due),
            2 => Just(Action::AnswersLost),
            2 => (0..3_usize).prop_map(Action::RestartAgent),
            3 => Just(Action::RestartCoordinator),
        ], 1..80)
    ) {
        let mut crew = crew(drain, 3, 1, MaxUnavailable::Servers(1), 3_000);
        let mut back: Vec<Option<Moment>> = vec![None; 3];
        for action in &actions {
            let beats = if let Action::Beat(times) = action { *times } else { 1 };
            act(&mut crew, &if let Action::Beat(_) = action { Action::Beat(0) } else { action.clone() });
            for _ in 0..beats {
                let before: Vec<u32> = crew.agents.iter().map(|agent| agent.recycled).collect();
                let now = crew.world.now;
                let cycle = crew.beat();
                for at in 0..3 {
                    if crew.agents[at].recycled > before[at] {
                        back[at] = Some(now);
                    }
                }
                for news in cycle.news.iter().filter(|news| news.what == Happened::Granted) {
                    for since in back.iter().flatten() {
                        prop_assert!(now.since(*since) >= Span::from_secs(3), "{news:?}, and one is back for {}", now.since(*since));
                    }
                }
            }
        }
    }

    /// Until everybody was heard, or the time of a permit has passed, a coordinator that was restarted gives none.
    #[test]
    fn nothing_is_granted_before_everybody_was_heard(drain in any::<bool>(), silent in 0..SERVERS, beats in 1_u32..30) {
        let mut crew = crew(drain, SERVERS, 1, MaxUnavailable::Servers(2), 0);
        crew.beat();
        crew.agents[silent].cut = true;
        crew.restart_coordinator();
        crew.agents.iter_mut().for_each(|agent| agent.due = true);
        for _ in 0..beats {
            crew.beat();
            prop_assert_eq!(crew.world.permits.leases().count(), 0);
            let wait = crew.world.permits.wait(&id((silent + 1) % SERVERS)).unwrap();
            prop_assert_eq!(wait.label(), "unheard");
        }
        if beats % 2 == 0 {
            crew.agents[silent].cut = false;
        } else {
            crew.world.now = crew.world.now.plus(Span::from_secs(20));
            crew.world.pass(BEAT);
        }
        crew.until(4, "somebody was given one", |crew| crew.world.permits.leases().count() > 0);
    }
}
