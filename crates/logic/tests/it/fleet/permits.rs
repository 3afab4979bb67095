//! Single cases: who gets a permit, what becomes of it, why somebody waits.

use super::world::{Cycle, World, id, service};
use warden_logic::fleet::budget::{MaxUnavailable, Share};
use warden_logic::fleet::judge::Note;
use warden_logic::fleet::matching::matches;
use warden_logic::fleet::observed::ServerId;
use warden_logic::fleet::permits::{Action, Happened, Lease, Phase, Void};
use warden_logic::fleet::{BackendPolicy, Scene};
use warden_logic::moment::Span;
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{Evidence, RestartWish, ServiceState, Traffic};

/// Serves, a process that has run for so many seconds.
fn serves(at: usize, age: u64) -> ServiceReport {
    ServiceReport {
        invocation: format!("{at}-1"),
        started_ms_ago: Some(age * 1_000),
        since_ms: age * 1_000,
        ..service(at, Traffic::In, false)
    }
}

/// The same, and its recycling is due.
fn asks(at: usize, age: u64) -> ServiceReport {
    let mut said = ServiceReport { planned: Some("recycle_age".to_owned()), ..serves(at, age) };
    said.wants.restart = RestartWish::Ask;
    said
}

/// On its way by plan.
fn leaves(at: usize, permit: u64) -> ServiceReport {
    let mut said = ServiceReport { state: ServiceState::Leaving, permit: Some(permit), ..asks(at, 900) };
    said.wants.traffic = Traffic::Out;
    said
}

/// Restarted on this permit, and in its warm-up.
fn warms(at: usize, permit: Option<u64>) -> ServiceReport {
    ServiceReport { state: ServiceState::Warming, permit, invocation: format!("{at}-2"), ..service(at, Traffic::Out, false) }
}

/// Back from a restart.
fn is_back(at: usize) -> ServiceReport {
    ServiceReport { invocation: format!("{at}-2"), ..serves(at, 3) }
}

/// Out on suspect evidence, asks for a restart.
fn sick(at: usize) -> ServiceReport {
    let mut said = ServiceReport { evidence: Some(Evidence::Suspect), invocation: format!("{at}-1"), ..service(at, Traffic::Out, false) };
    said.wants.restart = RestartWish::Ask;
    said
}

/// A fleet whose agents repeat what they said last.
struct Stage {
    world: World,
    says: Vec<Option<ServiceReport>>,
}

impl Stage {
    /// So many serve, and have done so for long; this coordinator too.
    fn new(servers: usize) -> Self {
        let mut stage = Self { world: World::new(servers, 1), says: (0..servers).map(|at| Some(serves(at, 500 + at as u64))).collect() };
        stage.beat();
        stage.world.pass(Span::from_secs(30));
        stage.world.pass(Span::from_secs(1));
        stage.beat();
        stage
    }

    fn policy(&mut self) -> &mut BackendPolicy {
        self.world.policy.backends.get_mut("app").unwrap()
    }

    fn say(&mut self, at: usize, said: ServiceReport) {
        let fit = !matches!(said.state, ServiceState::Warming | ServiceState::Sick);
        self.world.servers[at].healthy = fit;
        self.says[at] = Some(said);
    }

    fn silent(&mut self, at: usize) {
        self.says[at] = None;
    }

    /// Everybody reports, one cycle, half a second.
    fn beat(&mut self) -> Cycle {
        for (at, said) in self.says.clone().into_iter().enumerate() {
            if let Some(said) = said {
                self.world.say(at, said);
            }
        }
        let cycle = self.world.cycle();
        self.world.pass(Span::from_millis(500));
        cycle
    }

    fn beats(&mut self, times: u32) {
        (0..times).for_each(|_| drop(self.beat()));
    }

    fn lease(&self, at: usize) -> Option<&Lease> {
        self.world.permits.lease(&id(at))
    }

    /// `granted`, `in_use`, `soaking`, `-`; or why it waits.
    fn stands(&self, at: usize) -> &'static str {
        match (self.lease(at), self.world.permits.wait(&id(at))) {
            (Some(lease), _) => lease.phase.label(),
            (None, Some(wait)) => wait.label(),
            (None, None) => "-",
        }
    }

    fn all(&self) -> Vec<&'static str> {
        (0..self.says.len()).map(|at| self.stands(at)).collect()
    }

    fn wait(&self, at: usize) -> String {
        self.world.permits.wait(&id(at)).map(ToString::to_string).unwrap_or_default()
    }

    /// Lets it ask, and gives it a permit: its number.
    fn grant(&mut self, at: usize) -> u64 {
        self.say(at, asks(at, 900));
        self.beat();
        let lease = self.lease(at).expect("it was given one");
        assert_eq!(lease.phase, Phase::Granted);
        lease.id
    }
}

/// `node-0 granted`, …
fn news(cycle: &Cycle) -> Vec<String> {
    let word = |news: &warden_logic::fleet::permits::News| {
        let what = format!("{:?}", news.what);
        format!("{} {}", news.server.server, what.split(['(', '{', ' ']).next().unwrap_or_default())
    };
    cycle.news.iter().map(word).collect()
}

fn steps(cycle: &Cycle) -> Vec<String> {
    cycle.steps.iter().map(|step| format!("{} {}", step.label(), step.id().server)).collect()
}

#[test]
fn several_ask_one_goes_and_the_others_are_told_why_they_wait() {
    let mut stage = Stage::new(3);
    stage.say(0, asks(0, 900));
    stage.say(1, asks(1, 1_000)); // the oldest
    stage.say(2, asks(2, 800));
    let cycle = stage.beat();
    assert_eq!(news(&cycle), ["node-1 Granted"]);
    assert_eq!(stage.all(), ["budget", "granted", "budget"]);
    assert_eq!(stage.wait(0), "max_unavailable is 1, and unavailable are: node-1 (recycle_age, granted)");
    let lease = stage.lease(1).unwrap();
    assert_eq!(
        (lease.node.as_str(), lease.unit.as_str(), &lease.action),
        ("node-1", "app.service", &Action::Planned("recycle_age".to_owned()))
    );
}

#[test]
fn the_whole_way_from_asking_to_the_next_one() {
    let mut stage = Stage::new(2);
    let permit = stage.grant(0);
    stage.say(1, asks(1, 800));
    stage.say(0, leaves(0, permit));
    let cycle = stage.beat();
    assert_eq!((news(&cycle), steps(&cycle)), (vec!["node-0 Begun".to_owned()], vec!["out node-0".to_owned()]));
    stage.say(0, warms(0, Some(permit)));
    stage.beats(4);
    assert_eq!(stage.all(), ["in_use", "budget"]);
    // The job has ended and the agent is content. HAProxy wants its own passes, then it ramps up: not before that it soaks.
    stage.say(0, is_back(0));
    assert_eq!(steps(&stage.beat()), ["back node-0"]);
    assert_eq!(stage.all(), ["in_use", "budget"]);
    stage.beat();
    assert_eq!((stage.world.servers[0].cold, stage.all()), (true, vec!["in_use", "budget"]));
    stage.beat();
    assert_eq!(news(&stage.beat()), ["node-0 Soaking"]);
    assert_eq!(stage.wait(1), "max_unavailable is 1, and unavailable are: node-0 (recycle_age, soaking)");
    stage.beats(59);
    assert_eq!(stage.all(), ["soaking", "budget"]);
    assert_eq!(news(&stage.beat()), ["node-0 Released", "node-1 Granted"]);
    assert_eq!(stage.all(), ["-", "granted"]);
}

#[test]
fn a_soak_begins_anew_when_it_is_broken() {
    let mut stage = Stage::new(2);
    let permit = stage.grant(0);
    stage.say(0, leaves(0, permit));
    stage.beat();
    stage.say(0, warms(0, Some(permit)));
    stage.beat();
    stage.say(0, is_back(0));
    stage.beats(20);
    assert_eq!(stage.stands(0), "soaking");
    stage.world.servers[0].healthy = false; // for HAProxy; its agent is content
    stage.beats(2);
    assert_eq!(stage.stands(0), "in_use");
    stage.world.servers[0].healthy = true;
    stage.beats(4);
    let Phase::Soaking { since } = stage.lease(0).unwrap().phase else { panic!("{:?}", stage.lease(0)) };
    assert!(stage.world.now.since(since) <= Span::from_secs(1));
}

#[test]
fn what_is_not_begun_in_time_is_void_and_goes_to_the_end_of_the_queue() {
    let mut stage = Stage::new(2);
    stage.grant(0);
    stage.say(1, asks(1, 800));
    stage.beats(19);
    assert_eq!(stage.all(), ["granted", "budget"]);
    assert_eq!(news(&stage.beat()), ["node-0 Void", "node-1 Granted"]);
    assert_eq!(stage.stands(0), "rest");
    stage.say(1, serves(1, 800));
    assert_eq!(news(&stage.beat()), ["node-1 Void"]);
    stage.beats(18);
    assert_eq!(stage.stands(0), "rest");
    stage.beat();
    assert_eq!(stage.stands(0), "granted");
}

#[test]
fn a_permit_that_nobody_asks_for_any_more_is_void_at_once() {
    let mut stage = Stage::new(2);
    stage.grant(0);
    stage.say(0, sick(0));
    stage.say(1, asks(1, 800));
    let cycle = stage.beat();
    assert_eq!(news(&cycle)[0], "node-0 Void");
    assert_ne!(stage.stands(1), "granted", "one is out");
    stage.say(0, serves(0, 900));
    stage.beats(4);
    assert_eq!(stage.all(), ["-", "granted"]);
}

#[test]
fn whoever_begins_too_late_stays_in() {
    let mut stage = Stage::new(2);
    let permit = stage.grant(0);
    stage.beats(20);
    assert_eq!(stage.stands(0), "rest");
    stage.say(0, leaves(0, permit));
    let cycle = stage.beat();
    assert_eq!(cycle.steps, []);
    assert_eq!(cycle.judgements[0].note, Some(Note::NoPermit));
    assert!(stage.world.observed().servers[0].takes_traffic());
    assert_eq!(stage.stands(0), "-", "it does not ask, it leaves");
}

#[test]
fn the_budget_is_asked_again_when_it_begins() {
    let mut stage = Stage::new(3);
    let permit = stage.grant(0);
    // In one moment the holder begins, and another one fails.
    stage.say(0, leaves(0, permit));
    let mut ill = service(1, Traffic::Out, true);
    ill.wants.restart = RestartWish::Now;
    stage.say(1, ill);
    let cycle = stage.beat();
    assert_eq!((news(&cycle), steps(&cycle)), (vec!["node-0 Void".to_owned()], vec!["out node-1".to_owned()]));
    assert_eq!(cycle.judgements[0].note, Some(Note::NoPermit));
}

#[test]
fn a_mark_takes_the_permit_away() {
    let mut stage = Stage::new(3);
    let permit = stage.grant(0);
    stage.world.servers[0].agent_enabled = false;
    stage.say(0, leaves(0, permit));
    assert_eq!(news(&stage.beat()), ["node-0 Void"]);
    stage.world.servers[0].agent_enabled = true;
    let cycle = stage.beat();
    assert_eq!((cycle.steps, &cycle.judgements[0].note), (vec![], &Some(Note::NoPermit)));
}

#[test]
fn whoever_was_down_when_it_began_is_asked_about_when_it_comes_up() {
    let mut stage = Stage::new(3);
    for server in &mut stage.world.servers {
        server.passes = 0;
        server.healthy = false;
    }
    stage.world.restart_coordinator();
    stage.says[0] = Some(leaves(0, 7));
    let cycle = stage.beat();
    assert_eq!(news(&cycle), ["node-0 Learned"]);
    assert!(matches!(cycle.judgements[0].note, Some(Note::Floor { .. })));
    // Two come up, and one of them is on its way out: the third is down still.
    stage.world.servers[0].healthy = true;
    stage.world.servers[1].healthy = true;
    stage.beats(2);
    assert!(stage.world.observed().servers[0].takes_traffic() && stage.world.observed().servers[1].takes_traffic());
    let cycle = stage.beat();
    assert_eq!((cycle.steps, &cycle.judgements[0].note), (vec![], &Some(Note::NoPermit)));
}

#[test]
fn a_restarted_coordinator_learns_who_is_out_and_grants_nothing_meanwhile() {
    let mut stage = Stage::new(3);
    let permit = stage.grant(0);
    stage.say(0, leaves(0, permit));
    stage.beat();
    stage.say(0, warms(0, Some(permit)));
    stage.beat();
    stage.world.restart_coordinator();
    stage.say(1, asks(1, 900));
    let held = stage.says[2].take();
    stage.silent(0);
    stage.beat();
    assert_eq!(stage.stands(1), "unheard");
    assert!(stage.wait(1).contains("node-0, node-2"), "{}", stage.wait(1));
    stage.says[2] = held;
    stage.say(0, warms(0, Some(permit)));
    assert_eq!(news(&stage.beat()), ["node-0 Learned"]);
    assert_eq!((stage.stands(1), stage.lease(0).unwrap().id), ("budget", permit));
    stage.say(0, is_back(0));
    stage.beats(5);
    assert_eq!(stage.all(), ["soaking", "budget", "-"]);
}

#[test]
fn of_two_who_leave_on_permits_of_an_older_coordinator_one_may_go() {
    let mut stage = Stage::new(3);
    stage.world.restart_coordinator();
    stage.say(1, leaves(1, 7));
    stage.say(2, leaves(2, 8));
    let cycle = stage.beat();
    assert_eq!(news(&cycle), ["node-1 Learned", "node-2 Void"]);
    assert_eq!(steps(&cycle), ["out node-1", "vouch node-0"]);
    assert_eq!(stage.all(), ["-", "in_use", "-"]);
    // What it was refused once is not learned of later.
    stage.say(1, is_back(1));
    stage.beats(2);
    assert_eq!(stage.stands(2), "-");
}

#[test]
fn a_restart_that_ended_just_before_the_coordinator_did_is_soaked() {
    let mut stage = Stage::new(2);
    stage.world.restart_coordinator();
    stage.say(0, ServiceReport { since_ms: 10_000, ..is_back(0) });
    stage.say(1, asks(1, 900));
    stage.beat();
    assert_eq!(stage.wait(1), "max_unavailable is 1, and unavailable are: node-0 (back a moment ago)");
    stage.say(0, ServiceReport { since_ms: 30_000, ..is_back(0) });
    stage.beat();
    assert_eq!(stage.stands(1), "granted");
}

#[test]
fn a_lease_that_is_over_still_leaves_its_holder_unavailable() {
    let mut stage = Stage::new(2);
    let permit = stage.grant(0);
    stage.say(0, leaves(0, permit));
    stage.beat();
    stage.say(0, warms(0, Some(permit)));
    stage.say(1, asks(1, 900));
    stage.beats(600);
    assert_eq!(stage.all(), ["-", "budget"]);
    assert_eq!(stage.wait(1), "max_unavailable is 1, and unavailable are: node-0 (warming)");
    stage.say(0, is_back(0));
    stage.beats(4);
    assert_eq!(stage.all(), ["-", "granted"]);
}

#[test]
fn whoever_gives_up_makes_room_at_once() {
    let mut stage = Stage::new(2);
    let permit = stage.grant(0);
    stage.say(0, leaves(0, permit));
    stage.say(1, asks(1, 900));
    stage.beat();
    stage.say(0, serves(0, 900)); // the same process
    stage.beats(4);
    assert_eq!(stage.all(), ["-", "granted"]);
}

/// However it is out, it is out.
#[test]
fn unavailable_is_unavailable_whatever_the_reason() {
    type Case = (&'static str, fn(&mut Stage));
    let cases: [Case; 9] = [
        ("`maint`", |stage| stage.world.servers[1].admin = 1),
        ("`drain`", |stage| stage.world.servers[1].admin = 8),
        ("down for HAProxy", |stage| stage.world.servers[1].passes = 0),
        ("in its slow start", |stage| stage.world.servers[1].cold = true),
        ("sick", |stage| stage.says[1] = Some(service(1, Traffic::Out, true))),
        ("maintenance", |stage| {
            stage.says[1] = Some(ServiceReport { state: ServiceState::Maintenance, ..service(1, Traffic::Out, false) })
        }),
        // Drained by its agent's operator, who needs no permit.
        ("serving", |stage| stage.says[1].as_mut().unwrap().wants.traffic = Traffic::Out),
        ("its agent is silent", |stage| {
            stage.says[1] = None;
            stage.world.pass(Span::from_secs(3));
        }),
        ("taken out", |stage| {
            stage.say(1, service(1, Traffic::Out, true));
            stage.beat();
            stage.say(1, service(1, Traffic::Keep, false));
        }),
    ];
    for (why, strike) in cases {
        let mut stage = Stage::new(2);
        strike(&mut stage);
        stage.say(0, asks(0, 900));
        stage.beat();
        assert_eq!(stage.wait(0), format!("max_unavailable is 1, and unavailable are: node-1 ({why})"));
        assert_eq!(stage.lease(0), None);
    }
}

#[test]
fn an_operators_restart_needs_no_permit_and_counts() {
    let mut stage = Stage::new(2);
    let mut by_hand = leaves(1, 0);
    (by_hand.permit, by_hand.planned) = (None, Some("operator".to_owned()));
    by_hand.wants.restart = RestartWish::No;
    stage.say(1, by_hand);
    stage.say(0, asks(0, 900));
    assert_eq!(steps(&stage.beat()), ["out node-1"]);
    assert_eq!(stage.wait(0), "max_unavailable is 1, and unavailable are: node-1 (leaving)");
}

#[test]
fn limits_that_leave_nothing_say_so() {
    let mut stage = Stage::new(3);
    stage.policy().max_unavailable = MaxUnavailable::Servers(0);
    stage.say(0, asks(0, 900));
    stage.beat();
    assert_eq!(stage.wait(0), "max_unavailable is 0: nothing is taken out by plan");
    stage.policy().max_unavailable = MaxUnavailable::Percent(25);
    stage.policy().min_in_traffic = 3;
    stage.beat();
    assert_eq!(stage.wait(0), "without it 2 servers would take traffic, and min_in_traffic is 3");
    stage.policy().min_in_traffic = 2;
    stage.beat();
    assert_eq!(stage.stands(0), "granted");
    stage.say(1, asks(1, 900));
    stage.beat();
    assert_eq!(stage.wait(1), "max_unavailable is 25%, here 1, and unavailable are: node-0 (recycle_age, granted)");
}

#[test]
fn no_two_leave_together_even_where_two_may_be_out() {
    let mut stage = Stage::new(5);
    stage.policy().max_unavailable = MaxUnavailable::Servers(3);
    (0..5).for_each(|at| stage.say(at, asks(at, 900)));
    assert_eq!(news(&stage.beat()), ["node-0 Granted"]);
    assert_eq!(stage.wait(1), "no two leave together: the next one in 10 s");
    let permit = stage.lease(0).unwrap().id;
    stage.say(0, leaves(0, permit));
    stage.beats(19);
    assert_eq!(stage.all()[1..3], ["stagger", "stagger"]);
    stage.beat();
    assert_eq!(stage.all(), ["in_use", "granted", "stagger", "stagger", "stagger"]);
}

#[test]
fn whoever_asked_first_goes_first() {
    let mut stage = Stage::new(3);
    let permit = stage.grant(2);
    stage.say(2, leaves(2, permit));
    stage.say(1, asks(1, 600));
    stage.beat();
    stage.say(0, asks(0, 1_200)); // older, but later
    stage.beats(2);
    stage.say(2, serves(2, 900));
    stage.beats(4);
    assert_eq!(stage.all(), ["budget", "granted", "-"]);
}

#[test]
fn hands_are_kept_off() {
    let mut stage = Stage::new(3);
    stage.say(0, asks(0, 900));
    stage.world.policy.agent_port = 1;
    stage.beat();
    assert_eq!(stage.stands(0), "no_lever");
    stage.world.policy.agent_port = super::world::AGENT_PORT;
    stage.world.servers[0].agent_enabled = false;
    stage.beat();
    assert_eq!(stage.wait(0), "an operator's mark is on it: `disable agent`");
    stage.world.servers[0].agent_enabled = true;
    // A second machine of the same name goes on speaking.
    let twin = |stage: &mut Stage| {
        for _ in 0..2 {
            let report = stage.world.says(0, 0, asks(0, 900));
            assert!(stage.world.roster.hear(stage.world.now, stage.world.policy.lease, report).is_err());
        }
    };
    twin(&mut stage);
    stage.beat();
    assert_eq!(stage.stands(0), "two_speakers");
    stage.beats(8);
    assert_eq!(stage.stands(0), "granted");
    twin(&mut stage);
    assert_eq!(news(&stage.beat()), ["node-0 Void"]);
}

#[test]
fn a_sick_one_that_is_out_is_restarted_beside_the_budget_one_at_a_time() {
    let mut stage = Stage::new(5);
    let permit = stage.grant(0);
    stage.say(0, leaves(0, permit));
    stage.beat();
    stage.say(1, sick(1));
    stage.say(2, sick(2));
    let cycle = stage.beat();
    assert_eq!(steps(&cycle), ["out node-1", "out node-2"]);
    // It is given by the review that follows on the way out.
    assert_eq!(stage.all(), ["in_use", "granted", "one_at_a_time", "-", "-"]);
    assert_eq!(stage.lease(1).unwrap().action, Action::Suspect);
    stage.say(1, ServiceReport { state: ServiceState::Restarting, permit: stage.lease(1).map(|lease| lease.id), ..sick(1) });
    stage.beat();
    assert_eq!(stage.stands(1), "in_use");
    // Restarted, and as sick as before: the other one's turn.
    stage.say(1, ServiceReport { invocation: "1-2".to_owned(), ..sick(1) });
    assert_eq!(news(&stage.beat()), ["node-1 Void", "node-2 Granted"]);
    assert_eq!(stage.stands(1), "rest");
}

#[test]
fn a_sick_one_that_still_takes_traffic_is_not_restarted() {
    let mut stage = Stage::new(2);
    stage.say(0, sick(0));
    stage.beat();
    assert_eq!(stage.stands(0), "granted");
    // The floor keeps the last one in.
    stage.policy().max_suspect_share = Share::from_thousandths(1_000);
    stage.says[1] = Some(sick(1));
    stage.beat();
    assert_eq!(stage.wait(1), "HAProxy still sends it traffic");
}

#[test]
fn too_many_sick_at_once_are_a_shared_cause() {
    let mut stage = Stage::new(4);
    (0..3).for_each(|at| stage.say(at, sick(at)));
    stage.beat();
    assert_eq!(stage.all()[..3], ["shared_cause"; 3]);
    assert_eq!(
        stage.wait(0),
        "3 of 4 servers look sick at once, more than max_suspect_share 0.5: a shared cause, which restarts would make worse"
    );
    stage.say(2, serves(2, 900));
    stage.beat();
    assert_eq!(stage.all(), ["granted", "one_at_a_time", "-", "-"]);
    // A single one shares its cause with nobody.
    let mut stage = Stage::new(1);
    stage.policy().min_in_traffic = 0;
    stage.say(0, sick(0));
    stage.beat();
    assert_eq!(stage.stands(0), "granted");
}

#[test]
fn nodes_that_are_gone_look_sick_as_well() {
    let mut stage = Stage::new(4);
    for at in 0..2 {
        stage.silent(at);
        stage.world.servers[at].healthy = false;
    }
    stage.beats(8);
    stage.say(2, sick(2));
    stage.beat();
    assert_eq!(stage.stands(2), "shared_cause");
}

#[test]
fn fatal_evidence_never_asks() {
    let mut stage = Stage::new(2);
    let mut said = service(0, Traffic::Out, true);
    said.wants.restart = RestartWish::Now;
    stage.say(0, said);
    assert_eq!(steps(&stage.beat()), ["out node-0"]);
    assert_eq!(stage.stands(0), "-");
}

#[test]
fn a_permit_for_a_sick_one_is_no_leave_to_go_by_plan() {
    let mut stage = Stage::new(2);
    stage.world.restart_coordinator();
    stage.world.servers[1].passes = 0;
    // Restarted on suspect evidence, and held by the floor.
    stage.says[0] = Some(ServiceReport { state: ServiceState::Restarting, permit: Some(7), ..sick(0) });
    let cycle = stage.beat();
    assert_eq!((news(&cycle), stage.lease(0).map(|lease| &lease.action)), (vec!["node-0 Learned".to_owned()], Some(&Action::Suspect)));
    assert!(matches!(cycle.judgements[0].note, Some(Note::Floor { .. })));
    // Well again it is due, and would go on the permit that it has. The other one is only just up.
    stage.says[0] = Some(leaves(0, 7));
    let cycle = stage.beat();
    assert!(stage.world.observed().servers[1].takes_traffic());
    let cycle = if cycle.judgements[0].note == Some(Note::NoPermit) { cycle } else { stage.beat() };
    assert_eq!((&cycle.judgements[0].note, steps(&cycle)), (&Some(Note::NoPermit), vec![]));
}

#[test]
fn whoever_went_by_plan_and_is_sick_now_asks_as_the_sick_do() {
    let mut stage = Stage::new(3);
    let permit = stage.grant(0);
    stage.say(0, leaves(0, permit));
    stage.beat();
    stage.say(0, warms(0, Some(permit)));
    stage.beat();
    stage.say(0, ServiceReport { permit: Some(permit), invocation: "0-2".to_owned(), ..sick(0) });
    // Nothing was tried in vain: it need not rest.
    let cycle = stage.beat();
    assert_eq!(news(&cycle), ["node-0 Void", "node-0 Granted"]);
    assert_eq!(cycle.news[0].what, Happened::Void(Void::Sick));
    assert_eq!(stage.lease(0).map(|lease| &lease.action), Some(&Action::Suspect));
}

#[test]
fn a_permit_goes_with_its_holder_when_the_server_is_renamed() {
    let mut stage = Stage::new(2);
    let permit = stage.grant(0);
    stage.say(0, leaves(0, permit));
    stage.beat();
    // A reload gives the server another name; its address tells who speaks for it.
    let mut observed = stage.world.observed();
    observed.servers[0].id = ServerId::new("app", "renamed");
    let World { now, policy, roster, ledger, permits, wishes, .. } = &mut stage.world;
    let matches = matches(policy, &observed, roster);
    ledger.note(*now, policy.lease, &observed, &matches, roster);
    let scene = Scene { now: *now, policy, observed: &observed, roster, matches: &matches, ledger, wishes };
    assert_eq!(permits.review(&scene), []);
    let lease = stage.world.permits.lease(&ServerId::new("app", "renamed")).unwrap();
    assert_eq!((lease.id, lease.node.as_str(), stage.lease(0)), (permit, "node-0", None));
}

#[test]
fn every_reason_to_wait_has_a_label_and_a_sentence_of_its_own() {
    use std::collections::BTreeSet;
    use warden_logic::fleet::observed::Mark;
    use warden_logic::fleet::permits::Wait;
    let (left, names) = (Span::from_secs(4), std::sync::Arc::<str>::from("a"));
    let share = Share::from_thousandths(500);
    let waits = [
        Wait::Unheard { names: names.clone(), left },
        Wait::Paused { word: names.clone(), left: None },
        Wait::Drained,
        Wait::TwoSpeakers,
        Wait::Operator(Mark::Drain),
        Wait::NoLever,
        Wait::Budget { limit: MaxUnavailable::Servers(1), max: 1, names: names.clone() },
        Wait::Floor { min: 1, left: 0 },
        Wait::Stagger { left },
        Wait::Rest { left },
        Wait::Soaking,
        Wait::Turn,
        Wait::InTraffic,
        Wait::SharedCause { sick: 2, all: 3, share },
        Wait::OneAtATime { name: names },
    ];
    let voids = [
        Void::NotBegun,
        Void::NotAsked,
        Void::Unused,
        Void::Withdrawn(Wait::Turn),
        Void::Expired,
        Void::Sick,
        Void::DidNotHelp,
        Void::Drained,
    ];
    assert_eq!(waits.iter().map(Wait::label).collect::<BTreeSet<_>>().len(), waits.len());
    assert_eq!(waits.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(), waits.len());
    assert_eq!(voids.iter().map(Void::label).collect::<BTreeSet<_>>().len(), voids.len());
    assert_eq!(voids.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(), voids.len());
}
