//! The second witness: examples, then the window against a plain model.

use super::world::{World, id, service};
use proptest::prelude::*;
use warden_logic::fleet::Scene;
use warden_logic::fleet::matching::matches;
use warden_logic::fleet::witness::{Counted, Disagreement, Testimony, WitnessPolicy, Witnesses};
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{Evidence, ServiceState, Traffic};

struct Stage {
    world: World,
    witnesses: Witnesses,
    counted: Vec<Counted>,
    said: Vec<ServiceReport>,
}

impl Stage {
    fn new(servers: usize) -> Self {
        let counted = vec![Counted { requests: 1_000, failed: 10 }; servers];
        let said = (0..servers).map(|at| service(at, Traffic::In, false)).collect();
        let mut stage = Self { world: World::new(servers, 1), witnesses: Witnesses::default(), counted, said };
        stage.everybody_serves("1");
        stage
    }

    fn says(&mut self, at: usize, invocation: &str, state: ServiceState) {
        let mut said = service(at, state.wants(), false);
        (said.state, said.invocation) = (state, invocation.to_owned());
        self.report(at, said);
    }

    fn report(&mut self, at: usize, said: ServiceReport) {
        self.world.say(at, said.clone());
        self.said[at] = said;
    }

    fn everybody_serves(&mut self, invocation: &str) {
        for at in 0..self.counted.len() {
            self.says(at, invocation, ServiceState::Serving);
        }
    }

    fn scene<T>(&self, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let World { policy, now, roster, ledger, wishes, .. } = &self.world;
        let observed = self.world.observed();
        let matches = matches(policy, &observed, roster);
        look(&Scene { now: *now, policy, observed: &observed, roster, matches: &matches, ledger, wishes })
    }

    /// A second, in which each server has so many requests, of which so many fail.
    fn second(&mut self, each: &[(u64, u64)]) {
        self.world.now = self.world.now.plus(Span::from_secs(1));
        for (at, said) in self.said.iter().enumerate() {
            self.world.say(at, said.clone());
        }
        for (counted, (requests, failed)) in self.counted.iter_mut().zip(each) {
            (counted.requests, counted.failed) = (counted.requests + requests, counted.failed + failed);
        }
        self.count();
    }

    fn count(&mut self) {
        let counters: Vec<_> = self.counted.iter().enumerate().map(|(at, counted)| (id(at), *counted)).collect();
        let mut witnesses = std::mem::take(&mut self.witnesses);
        self.scene(|scene| {
            witnesses.count(scene, counters);
            witnesses.look(scene);
        });
        self.witnesses = witnesses;
    }

    fn testimony(&self, at: usize) -> Option<Testimony> {
        self.scene(|scene| self.witnesses.testimony(scene, &id(at)))
    }

    fn suspect(&self, at: usize) -> bool {
        self.testimony(at).is_some_and(|testimony| testimony.suspect)
    }

    fn disagreement(&self, at: usize) -> Option<Disagreement> {
        self.scene(|scene| self.witnesses.disagreement(scene, &id(at)))
    }
}

/// Seen on a stand: a restarted server was said to disagree for a second, by what the instance before it had answered.
#[test]
fn an_instance_that_has_just_begun_does_not_disagree_by_the_answers_of_the_one_before() {
    let mut stage = Stage::new(2);
    for _ in 0..6 {
        stage.second(&[(30, 30), (30, 0)]);
    }
    assert!(stage.disagreement(0).is_some());
    stage.says(0, "2", ServiceState::Serving);
    assert_eq!(stage.disagreement(0), None);
    stage.second(&[(30, 0), (30, 0)]);
    assert_eq!(stage.disagreement(0), None);
}

#[test]
fn a_share_that_fails_is_told_until_it_is_well_below_the_limit() {
    let mut stage = Stage::new(3);
    for _ in 0..6 {
        stage.second(&[(30, 6), (30, 0), (30, 5)]);
    }
    let told = stage.testimony(0).unwrap();
    assert_eq!((told.invocation.as_str(), told.requests, told.failed, told.window), ("1", 150, 30, Span::from_secs(5)));
    assert_eq!([0, 1, 2].map(|at| stage.suspect(at)), [true, false, false], "a fifth is enough, a sixth is not");
    let text = "its agent says that it is well, and 30 of 150 requests to it failed within 5 s";
    assert_eq!(stage.disagreement(0).unwrap().to_string(), text);
    assert_eq!(stage.disagreement(1), None);
    // Around the limit it stays; below half of it, it is over.
    for _ in 0..6 {
        stage.second(&[(30, 4), (30, 0), (30, 0)]);
    }
    assert!(stage.suspect(0));
    for _ in 0..6 {
        stage.second(&[(30, 2), (30, 0), (30, 0)]);
    }
    assert!(!stage.suspect(0));
}

#[test]
fn too_few_requests_say_nothing() {
    let mut stage = Stage::new(2);
    for _ in 0..6 {
        stage.second(&[(3, 3), (30, 0)]);
    }
    assert_eq!((stage.testimony(0), stage.disagreement(0)), (None, None));
    stage.second(&[(30, 30), (30, 0)]);
    assert!(stage.suspect(0));
    for _ in 0..6 {
        stage.second(&[(0, 0), (30, 0)]);
    }
    assert_eq!(stage.disagreement(0), None, "without requests there is no evidence");
}

#[test]
fn what_all_have_is_no_fault_of_one_and_is_shown_all_the_same() {
    let mut stage = Stage::new(3);
    for _ in 0..6 {
        stage.second(&[(30, 30), (30, 30), (30, 0)]);
    }
    assert_eq!([0, 1, 2].map(|at| stage.suspect(at)), [false; 3], "two of three are more than half");
    let said = stage.disagreement(0).unwrap().to_string();
    assert!(said.ends_with("failed within 5 s; so do those to others: look at the requests, or at what they share"), "{said}");
}

#[test]
fn an_older_instance_and_an_older_haproxy_say_nothing_of_this_one() {
    let mut stage = Stage::new(2);
    for _ in 0..6 {
        stage.second(&[(30, 30), (30, 0)]);
    }
    assert!(stage.suspect(0));
    stage.everybody_serves("2");
    assert_eq!(stage.testimony(0), None);
    stage.second(&[(30, 30), (30, 0)]);
    assert!(!stage.suspect(0), "one reading of the new one");
    stage.second(&[(30, 30), (30, 0)]);
    assert!(stage.suspect(0));
    stage.counted[0] = Counted { requests: 5, failed: 5 };
    stage.second(&[(0, 0), (30, 0)]);
    assert!(!stage.suspect(0), "a new HAProxy");
}

#[test]
fn whoever_is_sick_by_its_own_word_disagrees_with_nobody() {
    let mut stage = Stage::new(2);
    stage.says(0, "1", ServiceState::Sick);
    for _ in 0..6 {
        stage.second(&[(30, 30), (30, 0)]);
    }
    assert_eq!(stage.disagreement(0), None);
    // Told from here, it says so; that is no other opinion.
    let mut said = service(0, Traffic::In, false);
    (said.state, said.invocation, said.evidence) = (ServiceState::Suspect, "1".to_owned(), Some(Evidence::Suspect));
    "witness".clone_into(&mut said.reason.label);
    stage.report(0, said);
    assert!(stage.disagreement(0).is_some());
}

#[test]
fn haproxys_own_check_may_differ_for_a_while() {
    let mut stage = Stage::new(2);
    stage.world.servers[0].healthy = false;
    for second in 0..11 {
        assert_eq!(stage.disagreement(0), None, "after {second} s");
        stage.second(&[(0, 0), (30, 0)]);
    }
    assert_eq!(stage.disagreement(0).unwrap().to_string(), "its agent says that it is well, and HAProxy's own check has failed for 10 s");
    stage.world.servers[0].admin = 1;
    stage.second(&[(0, 0), (30, 0)]);
    assert_eq!(stage.disagreement(0), None, "in maintenance nothing is checked");
}

#[test]
fn it_can_be_switched_off() {
    let mut stage = Stage::new(2);
    stage.world.policy.backends.get_mut("app").unwrap().witness = None;
    for _ in 0..6 {
        stage.second(&[(30, 30), (30, 0)]);
    }
    assert_eq!((stage.testimony(0), stage.disagreement(0)), (None, None));
}

proptest! {
    /// The window against all readings that ever were.
    #[test]
    fn the_window_is_what_it_says(
        seconds in prop::collection::vec((0_u64..200, 0_u64..200, 500_u64..3_000), 1..60), window in 1_u64..30, requests in 1_u64..100
    ) {
        let mut stage = Stage::new(1);
        let policy = WitnessPolicy { requests, window: Span::from_secs(window), ..WitnessPolicy::default() };
        stage.world.policy.backends.get_mut("app").unwrap().witness = Some(policy);
        let mut readings: Vec<(Moment, Counted)> = Vec::new();
        for (sent, failed, millis) in seconds {
            stage.world.now = stage.world.now.plus(Span::from_millis(millis));
            stage.everybody_serves("1");
            let counted = &mut stage.counted[0];
            (counted.requests, counted.failed) = (counted.requests + sent, counted.failed + failed.min(sent));
            readings.push((stage.world.now, *counted));
            stage.count();
            // It begins at the youngest reading that is at least a window old, or else at the first.
            let now = stage.world.now;
            let begin = readings.iter().rposition(|(at, _)| now.since(*at) >= Span::from_secs(window)).unwrap_or(0);
            let (at, first) = readings[begin];
            let sent = readings.last().unwrap().1.requests - first.requests;
            let failed = (readings.last().unwrap().1.failed - first.failed).min(sent);
            match stage.testimony(0) {
                Some(told) => prop_assert_eq!((told.requests, told.failed, told.window), (sent, failed, now.since(at))),
                None => prop_assert!(sent < requests || now == at, "{sent} requests in {}", now.since(at)),
            }
        }
    }
}
