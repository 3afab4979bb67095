//! One example for each rule of dependencies, of people's orders, of planned restarts and of going on where it was.

use super::bench::{Bench, database, idle, policy, running};
use warden_logic::moment::Span;
use warden_logic::reason::Label;
use warden_logic::service::input::{
    ActiveState, Effect, Input, JobResult, Operator, Order, PermitId, Probed, Question, TrafficSeen, UnitSeen,
};
use warden_logic::service::policy::{Mode, Policy, RecyclePolicy, Stop};
use warden_logic::service::{GateStatus, Machine};
use warden_protocol::vocab::{Confirmed, Holder, RestartWish, ServiceState, Traffic, Verdict};

const BEAT: Span = Span::from_millis(250);

fn order(bench: &mut Bench, order: Order) {
    bench.tell(Input::Operator(Operator { by: "anna".to_owned(), reason: "a new disk".to_owned(), order }));
}

fn says(bench: &mut Bench, confirmed: Confirmed, by: Holder, sessions: Option<u64>, permit: Option<u64>) {
    let permit = permit.map(PermitId);
    bench.tell(Input::Traffic(Some(TrafficSeen { confirmed, by, sessions, permit, waits: false, roll: None, witness: None })));
}

/// The last restart was graceful, or there was none.
fn stop(bench: &Bench) -> Option<Stop> {
    bench.effects.iter().rev().find_map(|effect| if let Effect::Restart { stop, .. } = effect { Some(*stop) } else { None })
}

/// Answers the question that was put to the database last, or is put to it next.
fn database_says(bench: &mut Bench, verdict: Verdict) {
    let find = |bench: &Bench| {
        bench.effects.iter().rev().find_map(|effect| match effect {
            Effect::Probe { question: Question::Depends(0), ticket, invocation, .. } => Some((*ticket, *invocation)),
            _ => None,
        })
    };
    for _ in 0..400 {
        if find(bench).is_none() {
            bench.pass(Span::from_millis(10));
        }
    }
    let (ticket, invocation) = find(bench).expect("the database is asked");
    bench.effects.retain(|effect| !matches!(effect, Effect::Probe { question: Question::Depends(0), .. }));
    let text = if verdict == Verdict::Good { "accepts connections" } else { "refused" }.to_owned();
    bench.tell(Input::Probed(Probed { ticket, invocation, verdict, fatal: false, text, usec: 1 }));
}

/// Serving, with a database that is known to be there.
fn with_database() -> Bench {
    let mut bench = Bench::serving(Policy { depends: vec![database()], ..policy() });
    for _ in 0..2 {
        database_says(&mut bench, Verdict::Good);
    }
    bench
}

fn database_fails(bench: &mut Bench) {
    for _ in 0..2 {
        database_says(bench, Verdict::Bad);
    }
}

#[test]
fn a_dependency_that_is_down_holds_everything_and_leaves_traffic_as_it_is() {
    let mut bench = with_database();
    database_fails(&mut bench);
    let view = bench.view();
    assert_eq!((view.state, view.traffic, view.restart), (ServiceState::Held, Traffic::Keep, RestartWish::No));
    assert_eq!(view.depends[0].up, Some(false));
    let first_shut = view.gates.iter().find(|gate| gate.status == GateStatus::Shut).unwrap();
    assert_eq!((first_shut.name, first_shut.text.as_str()), ("dependencies", "down: refused"));
    bench.doom();
    bench.answer_for(Span::from_secs(3_600), Verdict::Bad);
    assert_eq!((bench.state(), stop(&bench)), (ServiceState::Held, None));
}

#[test]
fn a_dependency_that_is_back_is_followed_by_a_judgement_afresh() {
    let mut bench = with_database();
    database_fails(&mut bench);
    for _ in 0..2 {
        database_says(&mut bench, Verdict::Good);
    }
    assert_eq!((bench.state(), bench.view().traffic), (ServiceState::Unknown, Traffic::Keep));
    assert_eq!(bench.view().reason.label, Label::HoldOver);
}

#[test]
fn a_restart_first_wants_to_know_whether_the_dependency_is_there() {
    let mut bench = with_database();
    bench.pass(Span::from_millis(10));
    bench.doom();
    let probe = bench.effects.iter().rev().find_map(|effect| match effect {
        Effect::Probe { question: Question::Probe(0), ticket, invocation, .. } => Some((*ticket, *invocation)),
        _ => None,
    });
    let (ticket, invocation) = probe.unwrap();
    let text = "500".to_owned();
    bench.tell(Input::Probed(Probed { ticket, invocation, verdict: Verdict::Bad, fatal: false, text, usec: 1 }));
    bench.traffic(Confirmed::Out, Holder::Warden);
    assert_eq!((bench.state(), stop(&bench)), (ServiceState::Sick, None));
    database_says(&mut bench, Verdict::Good);
    assert!(stop(&bench).is_some());
}

#[test]
fn maintenance_is_out_and_left_alone_until_it_ends() {
    let mut bench = Bench::serving(policy());
    let until = bench.now.plus(Span::from_secs(60));
    order(&mut bench, Order::Maintain { until: Some(until) });
    let view = bench.view();
    assert_eq!((view.state, view.traffic), (ServiceState::Maintenance, Traffic::Out));
    assert_eq!(view.reason.text, "in maintenance by anna: a new disk");
    bench.doom();
    bench.answer_for(Span::from_secs(59), Verdict::Bad);
    assert_eq!((bench.state(), stop(&bench)), (ServiceState::Maintenance, None));
    bench.pass(Span::from_secs(1));
    assert_eq!((bench.state(), bench.view().mark), (ServiceState::Proving, None));
}

#[test]
fn a_unit_that_is_stopped_by_hand_in_maintenance_stays_stopped_after_it() {
    let mut bench = Bench::serving(policy());
    order(&mut bench, Order::Maintain { until: None });
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    assert_eq!(bench.state(), ServiceState::Maintenance);
    order(&mut bench, Order::Resume);
    assert_eq!((bench.state(), stop(&bench)), (ServiceState::Stopped, None));
}

#[test]
fn a_drained_service_wants_out_and_is_judged_as_ever() {
    let mut bench = Bench::serving(policy());
    order(&mut bench, Order::Drain);
    assert_eq!((bench.state(), bench.view().traffic), (ServiceState::Serving, Traffic::Out));
    bench.doom();
    bench.answer(Verdict::Bad);
    bench.traffic(Confirmed::Out, Holder::Warden);
    assert_eq!(bench.state(), ServiceState::Restarting);
    order(&mut bench, Order::Undrain);
    assert_eq!(bench.view().mark, None);
}

#[test]
fn an_operators_restart_waits_for_the_requests_in_flight() {
    let mut bench = Bench::serving(policy());
    order(&mut bench, Order::Restart { now: false });
    assert_eq!((bench.state(), bench.view().traffic), (ServiceState::Leaving, Traffic::Out));
    bench.pass(Span::from_millis(10));
    says(&mut bench, Confirmed::Out, Holder::Warden, Some(2), None);
    assert_eq!(stop(&bench), None, "two requests are in flight");
    bench.pass(Span::from_millis(10));
    says(&mut bench, Confirmed::Out, Holder::Warden, Some(0), None);
    assert_eq!(stop(&bench), Some(Stop::Graceful));
    bench.starts();
    bench.job_ends(JobResult::Done);
    let view = bench.view();
    assert_eq!((view.state, view.planned, view.restarts, view.restarts_in_window), (ServiceState::Warming, 1, 0, 0));
    assert_eq!((view.incident, view.penalty), (None, 0));
}

#[test]
fn an_operators_restart_that_the_floor_forbids_says_what_does_it_all_the_same() {
    let mut bench = Bench::serving(policy());
    order(&mut bench, Order::Restart { now: false });
    bench.pass(Span::from_millis(10));
    says(&mut bench, Confirmed::In, Holder::Floor, None, None);
    assert_eq!(bench.state(), ServiceState::Serving);
    assert!(bench.view().reason.text.ends_with("agentctl restart --now does not wait"), "{}", bench.view().reason.text);
    order(&mut bench, Order::Restart { now: true });
    assert!(stop(&bench).is_some());
}

#[test]
fn leaving_does_not_last_for_ever() {
    let mut bench = Bench::serving(policy());
    order(&mut bench, Order::Restart { now: false });
    bench.answer_for(Span::from_secs(31), Verdict::Good);
    assert_eq!((bench.state(), bench.view().reason.label), (ServiceState::Serving, Label::PlannedGivenUp));
}

fn recycled() -> Policy {
    let recycle = RecyclePolicy { max_age: Some(Span::from_secs(600)), max_age_jitter: Span::ZERO, above: Some(1_000) };
    Policy { recycle, ..policy() }
}

#[test]
fn an_old_process_is_recycled_with_a_permit() {
    let mut bench = Bench::serving(recycled());
    bench.answer_for(Span::from_secs(600), Verdict::Good);
    let view = bench.view();
    assert_eq!((view.state, view.restart, view.planned_action), (ServiceState::Serving, RestartWish::Ask, Some("recycle_age")));
    assert_eq!(view.recycle.unwrap().waits_for.unwrap(), "a permit from the coordinator");
    says(&mut bench, Confirmed::In, Holder::Haproxy, None, Some(7));
    assert_eq!((bench.state(), bench.view().permit), (ServiceState::Leaving, Some(PermitId(7))));
    bench.pass(Span::from_millis(10));
    says(&mut bench, Confirmed::Out, Holder::Warden, None, Some(7));
    assert_eq!(stop(&bench), None, "nobody has counted its requests yet");
    says(&mut bench, Confirmed::Out, Holder::Warden, Some(0), Some(7));
    assert_eq!((bench.state(), stop(&bench)), (ServiceState::Restarting, Some(Stop::Graceful)));
}

#[test]
fn a_permit_that_is_withdrawn_ends_the_way_out() {
    let mut bench = Bench::serving(recycled());
    bench.answer_for(Span::from_secs(600), Verdict::Good);
    says(&mut bench, Confirmed::In, Holder::Haproxy, None, Some(7));
    bench.pass(Span::from_millis(10));
    says(&mut bench, Confirmed::In, Holder::Haproxy, None, None);
    assert_eq!(bench.state(), ServiceState::Serving);
    says(&mut bench, Confirmed::In, Holder::Haproxy, None, Some(8));
    assert_eq!(bench.state(), ServiceState::Serving, "not again at once");
}

#[test]
fn a_process_that_dies_on_its_way_out_is_no_planned_restart() {
    let mut bench = Bench::serving(Policy { coordinated: false, ..recycled() });
    let invocation = bench.invocation();
    bench.answer_for(Span::from_secs(100), Verdict::Good);
    bench.tell(Input::Memory { invocation, bytes: 2_000 });
    assert_eq!(bench.state(), ServiceState::Restarting, "nobody is asked where there is no coordinator");
    let mut bench = Bench::serving(policy());
    order(&mut bench, Order::Restart { now: false });
    bench.tell(Input::ProcessEnded { invocation: bench.invocation() });
    assert_eq!((bench.state(), bench.view().planned, bench.view().incident.is_some()), (ServiceState::Starting, 0, true));
}

#[test]
fn shadow_mode_says_what_it_would_have_done_and_wants_nothing() {
    let mut bench = Bench::new(Policy { mode: Mode::Shadow, ..policy() });
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    bench.starts();
    bench.answer_for(Span::from_secs(31), Verdict::Good);
    assert_eq!(bench.state(), ServiceState::Serving);
    bench.effects.clear();
    bench.doom();
    bench.answer(Verdict::Bad);
    assert!(bench.take().contains(&"would restart".to_owned()));
    let view = bench.view();
    assert_eq!((view.state, view.traffic, view.restart), (ServiceState::Waiting, Traffic::Keep, RestartWish::No));
    assert_eq!(view.restarts_in_window, 1);
    bench.answer_for(BEAT.times(3), Verdict::Good);
    assert_eq!(bench.state(), ServiceState::Serving);
}

#[test]
fn a_stop_that_takes_too_long_is_killed_once() {
    let mut bench = Bench::serving(policy());
    order(&mut bench, Order::Restart { now: true });
    bench.unit(UnitSeen { job: true, ..idle(ActiveState::Deactivating, "stop-sigterm", "success") });
    bench.effects.retain(|effect| matches!(effect, Effect::Kill { .. }));
    bench.pass(Span::from_millis(9_999));
    assert_eq!(bench.take(), Vec::<String>::new());
    bench.pass(Span::from_secs(60));
    assert_eq!(bench.take(), ["kill"]);
}

#[test]
fn systemds_start_limit_is_lifted_before_it_is_hit() {
    let mut bench = Bench::serving(policy());
    let started = bench.view().instance.unwrap().1;
    bench.unit(UnitSeen { start_limit: Some((1, Span::from_secs(3_600))), ..running(1, started) });
    order(&mut bench, Order::Restart { now: true });
    assert_eq!(bench.take()[0], "reset, restart");
}

/// As the agent does it: through a file.
fn resumed(bench: &mut Bench, policy: Policy) {
    let text = serde_json::to_string(&bench.machine.save(bench.now)).unwrap();
    bench.machine = Machine::resume(policy, bench.now, serde_json::from_str(&text).unwrap());
}

#[test]
fn a_machine_goes_on_where_it_was() {
    let mut bench = Bench::serving(policy());
    bench.answer_for(Span::from_millis(1_500), Verdict::Bad);
    let before = bench.view();
    resumed(&mut bench, policy());
    bench.unit(running(1, before.instance.unwrap().1));
    let after = bench.view();
    assert_eq!((after.state, after.incident, after.probes), (ServiceState::Sick, before.incident, before.probes));
}

#[test]
fn another_instance_than_the_saved_one_begins() {
    let mut bench = Bench::serving(policy());
    resumed(&mut bench, policy());
    bench.unit(running(2, bench.now));
    assert_eq!(bench.state(), ServiceState::Warming);
    // One that has run for long: nobody knows how it is, and its traffic stays as it is.
    let mut bench = Bench::serving(policy());
    let long_ago = bench.now;
    resumed(&mut bench, policy());
    bench.now = bench.now.plus(Span::from_secs(300));
    bench.unit(running(2, long_ago));
    assert_eq!((bench.state(), bench.view().traffic), (ServiceState::Unknown, Traffic::Keep));
}

#[test]
fn a_reboot_leaves_marks_and_totals() {
    let mut bench = Bench::serving(policy());
    order(&mut bench, Order::Restart { now: true });
    order(&mut bench, Order::Drain);
    let saved = bench.machine.save(bench.now).after_reboot();
    bench.machine = Machine::resume(policy(), bench.now, saved);
    let view = bench.view();
    assert_eq!((view.state, view.planned, view.mark.unwrap().by), (ServiceState::Unknown, 1, "anna".to_owned()));
}

#[test]
fn who_keeps_failing_must_show_more() {
    let mut bench = Bench::serving(policy());
    let mut needed = Vec::new();
    for _ in 0..4 {
        bench.doom();
        bench.starts();
        needed.push(bench.view().probes[0].needed_good);
        bench.pass(Span::from_secs(30));
        while bench.state() != ServiceState::Serving {
            bench.answer_for(BEAT, Verdict::Good);
        }
    }
    assert_eq!(needed, [2, 2, 4, 6], "the first costs nothing, and half a minute of ten takes little away");
}
