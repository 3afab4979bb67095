//! A roll of the fleet: single cases, then histories.

use super::crew::Crew;
use super::world::id;
use proptest::prelude::*;
use std::collections::BTreeSet;
use warden_logic::fleet::budget::MaxUnavailable;
use warden_logic::fleet::roll::{Asked, End, News, Roll, Stage};
use warden_logic::fleet::wishes::{Granted, Refusal, Wish};
use warden_logic::moment::Span;
use warden_protocol::vocab::{Evidence, ServiceState};

fn crew(servers: usize) -> Crew {
    let mut crew = Crew::new(servers, 1);
    let backend = crew.world.policy.backends.get_mut("app").unwrap();
    (backend.soak, backend.permit_lease, backend.start_by) = (Span::from_secs(3), Span::from_secs(20), Span::from_secs(2));
    for _ in 0..10 {
        crew.beat(); // everybody was heard, and is back for longer than the soak
    }
    crew
}

fn roll(crew: &mut Crew, asked: Asked) {
    assert_eq!(crew.world.wish(Wish::Roll(asked)), Ok(Granted::Rolled));
}

fn stages(crew: &Crew) -> Vec<&'static str> {
    crew.world.wishes.roll().unwrap().targets().iter().map(|target| target.stage.label()).collect()
}

fn ended(crew: &Crew) -> Option<&End> {
    crew.world.wishes.roll().and_then(Roll::ended)
}

fn refused(crew: &mut Crew, wish: Wish) -> String {
    match crew.world.wish(wish).unwrap_err() {
        Refusal::Unknown(text) | Refusal::Refused(text) => text,
    }
}

#[test]
fn everybody_is_restarted_once_one_after_the_other() {
    let mut crew = crew(3);
    roll(&mut crew, Asked::default());
    let mut order = Vec::new();
    for _ in 0..200 {
        let cycle = crew.beat();
        order.extend(cycle.rolls.into_iter().filter_map(|news| if let News::Done(id) = news { Some(id) } else { None }));
        let under_way = stages(&crew).iter().filter(|stage| !["waits", "done"].contains(stage)).count();
        assert!(under_way <= 1, "{:?}", stages(&crew));
        if ended(&crew).is_some() {
            break;
        }
    }
    assert_eq!((ended(&crew), order), (Some(&End::Done), vec![id(0), id(1), id(2)]));
    for (at, agent) in crew.agents.iter().enumerate() {
        assert_eq!((agent.rolled.as_slice(), agent.recycled), ([format!("{at}-1")].as_slice(), 1));
    }
    // It is over, and stays so; what is over is forgotten on request.
    for _ in 0..50 {
        assert!(crew.beat().rolls.is_empty());
    }
    assert!(matches!(crew.world.wish(Wish::EndRoll), Ok(Granted::RollForgotten(_))));
    assert_eq!(crew.world.wishes.roll(), None);
    assert_eq!(refused(&mut crew, Wish::EndRoll), "nothing is rolled");
}

#[test]
fn a_coordinator_that_was_restarted_goes_on() {
    let mut crew = crew(3);
    roll(&mut crew, Asked::default());
    for beats in [3, 5, 7, 11, 13, 17] {
        for _ in 0..beats {
            crew.beat();
        }
        crew.restart_coordinator();
    }
    crew.until(400, "the roll is done", |crew| ended(crew) == Some(&End::Done));
    assert!(crew.agents.iter().enumerate().all(|(at, agent)| agent.rolled == [format!("{at}-1")]), "{:?}", crew.agents);
}

#[test]
fn it_stops_at_the_first_that_is_the_worse_for_it() {
    let mut crew = crew(3);
    crew.agents[0].broken = true;
    roll(&mut crew, Asked::default());
    crew.until(60, "the roll stops", |crew| ended(crew).is_some());
    assert_eq!(ended(&crew), Some(&End::Stopped("app/node-0: it was restarted, and is sick: it is sick".to_owned())));
    assert_eq!(stages(&crew)[1..], ["waits", "waits"]);
    for _ in 0..100 {
        crew.beat();
    }
    assert!(crew.agents[1..].iter().all(|agent| agent.rolled.is_empty()), "nothing more begins");
    // A new one may be asked for.
    crew.agents[0].broken = false;
    crew.until(60, "it is well again", |crew| crew.agents[0].state == ServiceState::Serving);
    roll(&mut crew, Asked::default());
    crew.until(200, "the second roll is done", |crew| ended(crew) == Some(&End::Done));
}

#[test]
fn it_stops_when_one_that_was_done_fails_later() {
    let mut crew = crew(3);
    roll(&mut crew, Asked::default());
    crew.until(100, "the first is done", |crew| stages(crew)[0] == "done");
    let now = crew.world.now;
    crew.agents[0].fail(now, Evidence::Fatal);
    crew.until(20, "the roll stops", |crew| ended(crew).is_some());
    let End::Stopped(why) = ended(&crew).unwrap() else { panic!() };
    assert!(why.starts_with("app/node-0: it was restarted, and"), "{why}");
}

#[test]
fn an_operator_ends_it_and_what_is_under_way_comes_back() {
    let mut crew = crew(2);
    roll(&mut crew, Asked::default());
    crew.until(20, "the first is restarted", |crew| stages(crew)[0] == "restarted");
    assert!(matches!(crew.world.wish(Wish::EndRoll), Ok(Granted::RollEnded(_))));
    crew.until(40, "everybody serves", |crew| crew.agents.iter().all(|agent| agent.state == ServiceState::Serving));
    assert!(crew.agents[1].rolled.is_empty());
    assert_eq!(ended(&crew), Some(&End::Stopped("stopped by anna: disk swap".to_owned())));
}

#[test]
fn a_pause_holds_it_and_marks_leave_a_server_out() {
    let mut crew = crew(3);
    crew.world.servers[1].admin = 1;
    crew.beat();
    crew.world.wish(Wish::Pause { lasts: None }).unwrap();
    roll(&mut crew, Asked::default());
    for _ in 0..40 {
        crew.beat();
    }
    assert_eq!(stages(&crew), ["waits", "skipped", "waits"]);
    crew.world.wish(Wish::Resume).unwrap();
    crew.world.servers[1].admin = 0;
    crew.until(200, "the roll is done", |crew| ended(crew) == Some(&End::Done));
    let left_out = &crew.world.wishes.roll().unwrap().targets()[1];
    assert_eq!(left_out.stage, Stage::Skipped("`maint` was set on it in HAProxy".to_owned()));
    assert_eq!([0, 1, 2].map(|at: usize| crew.agents[at].rolled.len()), [1, 0, 1]);
}

#[test]
fn what_cannot_be_rolled_is_said() {
    let mut crew = crew(2);
    let of = |backend: &str| Wish::Roll(Asked { backend: Some(backend.to_owned()), ..Asked::default() });
    assert_eq!(refused(&mut crew, of("web")), "no agent speaks for a server of backend \"web\"; there is app");
    crew.world.policy.backends.get_mut("app").unwrap().max_unavailable = MaxUnavailable::Servers(0);
    let text = "nothing of backend app may be out by plan: max_unavailable is 0 in the coordinator's configuration";
    assert_eq!(refused(&mut crew, of("app")), text);
    crew.world.policy.backends.get_mut("app").unwrap().max_unavailable = MaxUnavailable::Servers(2);
    for server in &mut crew.world.servers {
        server.admin = 8;
    }
    crew.beat();
    let text = refused(&mut crew, of("app"));
    assert!(
        text.starts_with("no server of backend app can be rolled: node-0: left out: `drain` was set on it in HAProxy; node-1"),
        "{text}"
    );
    for server in &mut crew.world.servers {
        server.admin = 0;
    }
    crew.beat();
    let asked = Asked { max_unavailable: Some(9), soak: Some(Span::from_secs(1)), ..Asked::default() };
    roll(&mut crew, asked);
    let rolled = crew.world.wishes.roll().unwrap();
    assert_eq!((rolled.max_unavailable(), rolled.soak()), (2, Span::from_secs(3)), "it tightens what is laid down, and never loosens it");
    let text = refused(&mut crew, of("app"));
    assert_eq!(text, "a roll of app by anna: disk swap is under way: `agentctl fleet roll --stop` ends it");
}

#[derive(Clone, Debug)]
enum Action {
    Beat(u32),
    Due(usize),
    Cut { at: usize, cut: bool },
    AnswersLost,
    KeepBack(usize),
    RestartAgent(usize),
    RestartHaproxy,
    RestartCoordinator,
    LosePushes,
    Pause(bool),
}

fn action(servers: usize) -> impl Strategy<Value = Action> {
    let at = move || 0..servers;
    prop_oneof![
        20 => (1_u32..12).prop_map(Action::Beat),
        3 => at().prop_map(Action::Due),
        3 => (at(), any::<bool>()).prop_map(|(at, cut)| Action::Cut { at, cut }),
        3 => Just(Action::AnswersLost),
        3 => at().prop_map(Action::KeepBack),
        2 => at().prop_map(Action::RestartAgent),
        1 => Just(Action::RestartHaproxy),
        3 => Just(Action::RestartCoordinator),
        2 => Just(Action::LosePushes),
        1 => any::<bool>().prop_map(Action::Pause),
    ]
}

fn act(crew: &mut Crew, action: &Action) {
    match *action {
        Action::Beat(times) => (1..times).for_each(|_| drop(crew.beat())),
        Action::Due(at) => crew.agents[at].due = true,
        Action::Cut { at, cut } => crew.agents[at].cut = cut,
        Action::AnswersLost => crew.answers_lost = true,
        Action::KeepBack(at) => crew.keep_back(at),
        Action::RestartAgent(at) => crew.restart_agent(at),
        Action::RestartHaproxy => crew.world.restart_haproxy(),
        Action::RestartCoordinator => crew.restart_coordinator(),
        Action::LosePushes => crew.world.pushes_lost = true,
        Action::Pause(true) => drop(crew.world.wish(Wish::Pause { lasts: None })),
        Action::Pause(false) => drop(crew.world.wish(Wish::Resume)),
    }
    crew.beat();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever is lost, late, repeated or restarted: nobody is restarted twice by one roll, no more than allowed are under way, and when
    /// the trouble ends it comes to its end.
    #[test]
    fn a_roll_restarts_each_once_and_ends(servers in 2_usize..6, most in 1_u32..3, actions in prop::collection::vec(action(5), 1..60)) {
        let mut crew = crew(servers);
        crew.world.policy.backends.get_mut("app").unwrap().max_unavailable = MaxUnavailable::Servers(most);
        // A node that is cut off for long is no regression here: it has as long as it takes.
        crew.world.policy.backends.get_mut("app").unwrap().permit_lease = Span::from_secs(600);
        roll(&mut crew, Asked::default());
        for action in actions.iter().filter(|action| !matches!(action, Action::Due(at) | Action::Cut { at, .. } | Action::KeepBack(at) | Action::RestartAgent(at) if *at >= servers)) {
            act(&mut crew, action);
            let under_way = stages(&crew).iter().filter(|stage| ["ordered", "restarted", "soaking"].contains(stage)).count();
            // Whoever was restarted for another reason meanwhile is under way, too; but it was not ordered.
            let ordered = stages(&crew).iter().filter(|stage| **stage == "ordered").count();
            prop_assert!(ordered <= most as usize, "{:?}", stages(&crew));
            prop_assert!(under_way <= servers);
        }
        for agent in &mut crew.agents {
            agent.cut = false;
        }
        drop(crew.world.wish(Wish::Resume));
        crew.until(3_000, "the roll is over", |crew| ended(crew).is_some());
        for agent in &crew.agents {
            let processes: BTreeSet<_> = agent.rolled.iter().collect();
            prop_assert_eq!(processes.len(), agent.rolled.len(), "restarted twice for one order: {:?}", &agent.rolled);
            prop_assert!(agent.rolled.len() <= 1, "{:?}", &agent.rolled);
        }
        if !actions.iter().any(|action| matches!(action, Action::Due(_))) {
            prop_assert_eq!(ended(&crew), Some(&End::Done));
            prop_assert!(crew.agents.iter().all(|agent| agent.rolled.len() == 1));
        }
    }
}
