//! One example for each rule of planned restarts and their permits.

use super::bench::{Bench, policy, running};
use warden_logic::moment::Span;
use warden_logic::reason::Label;
use warden_logic::service::input::{Effect, Input, Invocation, JobResult, Order, PermitId, TrafficSeen, UnitSeen};
use warden_logic::service::policy::{Mode, Policy, RecyclePolicy, Stop, StopPolicy};
use warden_logic::service::{GateStatus, Machine};
use warden_protocol::vocab::{Confirmed, Holder, RestartWish, ServiceState, Verdict};

use Verdict::{Bad, Good};

fn recycled() -> Policy {
    let recycle = RecyclePolicy { max_age: Some(Span::from_secs(600)), max_age_jitter: Span::ZERO, above: Some(1_000) };
    Policy { recycle, ..policy() }
}

/// Old enough, with a word of HAProxy's and without a permit.
fn old(policy: Policy) -> Bench {
    let mut bench = Bench::serving(policy);
    bench.run(Span::from_secs(600), Good, Good);
    bench.says(Confirmed::In, Holder::Haproxy, None, None);
    bench
}

/// On its way out by permit 7.
fn leaving() -> Bench {
    let mut bench = old(recycled());
    bench.says(Confirmed::In, Holder::Haproxy, None, Some(7));
    assert_eq!((bench.state(), bench.view().permit), (ServiceState::Leaving, Some(PermitId(7))));
    bench
}

fn restarted(bench: &Bench) -> bool {
    bench.restart().is_some()
}

#[test]
fn it_asks_for_a_permit_and_says_that_it_waits_for_one() {
    let bench = old(recycled());
    let view = bench.view();
    assert_eq!((view.state, view.restart, view.planned_action), (ServiceState::Serving, RestartWish::Ask, Some("recycle_age")));
    assert_eq!(view.recycle.unwrap().waits_for.unwrap(), "a permit from the coordinator");
    let gate = view.gates.iter().find(|gate| gate.status == GateStatus::Shut).unwrap();
    assert_eq!((gate.name, gate.text.as_str()), ("permit", "its planned restart waits for a permit from the coordinator"));
}

#[test]
fn a_silent_coordinator_postpones_what_is_planned_for_ever() {
    let mut bench = old(recycled());
    bench.tell(Input::Memory { invocation: bench.invocation(), bytes: 2_000 });
    bench.tell(Input::Traffic(None));
    bench.run(Span::from_secs(86_400), Good, Good);
    assert_eq!((bench.state(), restarted(&bench)), (ServiceState::Serving, false));
    assert_eq!(bench.view().recycle.unwrap().waits_for.unwrap(), "a coordinator to answer");
}

#[test]
fn where_there_is_no_coordinator_no_permit_is_needed() {
    let mut bench = Bench::serving(Policy { coordinated: false, ..recycled() });
    bench.tell(Input::Traffic(None));
    bench.run(Span::from_secs(600), Good, Good);
    assert_eq!((bench.state(), bench.view().planned), (ServiceState::Restarting, 1));
}

#[test]
fn it_is_not_asked_for_what_could_not_begin() {
    let mut bench = old(recycled());
    let (invocation, started) = bench.view().instance.unwrap();
    bench.unit(UnitSeen { job: true, ..running(invocation.0, started) });
    assert_eq!((bench.view().restart, bench.view().planned_action), (RestartWish::No, Some("recycle_age")));
    assert_eq!(bench.view().recycle.unwrap().waits_for.unwrap(), "somebody's job for the unit to end");
    bench.says(Confirmed::In, Holder::Haproxy, None, Some(7));
    assert_eq!(bench.state(), ServiceState::Serving);
    bench.unit(running(invocation.0, started));
    assert_eq!(bench.state(), ServiceState::Leaving, "the permit is still there");
}

#[test]
fn the_requests_in_flight_are_waited_for_but_not_for_ever() {
    let mut bench = leaving();
    bench.says(Confirmed::Out, Holder::Warden, Some(3), Some(7));
    bench.run(Span::from_millis(29_998), Good, Good);
    assert!(!restarted(&bench), "three are in flight");
    let gate = bench.view().gates.into_iter().find(|gate| gate.name == "requests").unwrap();
    assert_eq!((gate.status, gate.text.as_str()), (GateStatus::Shut, "3 requests are in flight"));
    bench.run(Span::from_millis(2), Good, Good);
    assert!(restarted(&bench), "the time to drain is over");
    let mut bench = leaving();
    bench.says(Confirmed::Out, Holder::Warden, Some(1), Some(7));
    bench.says(Confirmed::Out, Holder::Warden, Some(0), Some(7));
    assert!(restarted(&bench), "the last one is done");
    // Nobody counts them.
    let mut bench = leaving();
    bench.says(Confirmed::Out, Holder::Warden, None, Some(7));
    bench.run(Span::from_millis(2_998), Good, Good);
    assert!(!restarted(&bench));
    bench.run(Span::from_millis(2), Good, Good);
    assert!(restarted(&bench));
}

#[test]
fn a_permit_that_is_gone_ends_the_way_out_also_once_it_is_out() {
    for out in [false, true] {
        let mut bench = leaving();
        if out {
            bench.says(Confirmed::Out, Holder::Warden, Some(2), Some(7));
        }
        let confirmed = if out { Confirmed::Out } else { Confirmed::In };
        bench.says(confirmed, Holder::Warden, Some(0), None);
        let view = bench.view();
        assert_eq!((view.state, view.reason.label, view.permit), (ServiceState::Serving, Label::PlannedGivenUp, None), "out: {out}");
        assert_eq!(view.reason.text, "not restarted: the permit was withdrawn or has run out; it is tried again later");
        bench.says(Confirmed::In, Holder::Haproxy, None, Some(8));
        assert_eq!(bench.state(), ServiceState::Serving, "not again at once");
        bench.run(policy().restart.trial_every, Good, Good);
        assert_eq!(bench.state(), ServiceState::Leaving);
    }
}

#[test]
fn another_permit_may_take_the_place_of_the_first() {
    let mut bench = leaving();
    bench.says(Confirmed::Out, Holder::Warden, Some(2), Some(8));
    assert_eq!((bench.state(), bench.view().permit), (ServiceState::Leaving, Some(PermitId(8))));
}

#[test]
fn what_is_out_when_the_coordinator_falls_silent_is_restarted() {
    let mut bench = leaving();
    bench.says(Confirmed::Out, Holder::Warden, Some(2), Some(7));
    bench.tell(Input::Traffic(None));
    assert_eq!(bench.view().permit, Some(PermitId(7)), "it tells the next coordinator of it");
    bench.run(Span::from_secs(30), Good, Good);
    assert!(restarted(&bench));
    // What was not out yet is put off.
    let mut bench = leaving();
    bench.tell(Input::Traffic(None));
    bench.run(Span::from_secs(30), Good, Good);
    assert_eq!((bench.state(), bench.view().reason.label), (ServiceState::Serving, Label::PlannedGivenUp));
}

#[test]
fn a_permit_is_good_for_one_restart() {
    let mut bench = leaving();
    bench.says(Confirmed::Out, Holder::Warden, Some(0), Some(7));
    bench.starts();
    bench.job_ends(JobResult::Done);
    assert_eq!(bench.view().permit, Some(PermitId(7)), "until it serves again");
    bench.run(Span::from_secs(60), Good, Good);
    assert_eq!((bench.state(), bench.view().permit), (ServiceState::Serving, None));
    // The coordinator still has it on its books, and it is too heavy again.
    bench.tell(Input::Memory { invocation: bench.invocation(), bytes: 2_000 });
    bench.says(Confirmed::In, Holder::Haproxy, None, Some(7));
    bench.run(Span::from_secs(600), Good, Good);
    assert_eq!(bench.state(), ServiceState::Serving);
    bench.says(Confirmed::In, Holder::Haproxy, None, Some(8));
    assert_eq!(bench.state(), ServiceState::Leaving);
}

#[test]
fn a_permit_is_accepted_for_what_it_was_asked_for() {
    let accepts = |bench: &Bench, action| bench.machine.accepts_permit(PermitId(7), action);
    let bench = old(recycled());
    assert!(accepts(&bench, "recycle_age") && accepts(&bench, "recycle_memory"), "leave to be out once");
    assert!(!accepts(&bench, "suspect") && !accepts(&bench, "upgrade"));
    let mut bench = Bench::serving(policy());
    assert!(!accepts(&bench, "recycle_age") && !accepts(&bench, "suspect"), "nothing was asked for");
    bench.run(Span::from_secs(2), Bad, Good);
    assert!(accepts(&bench, "suspect") && !accepts(&bench, "recycle_age"));
    assert!(leaving().machine.accepts_permit(PermitId(7), "restart"), "a new coordinator has no other word for what it learnt of");
}

#[test]
fn the_floor_and_an_operators_mark_end_the_way_out() {
    for (by, said) in [(Holder::Floor, "the floor keeps it in"), (Holder::Operator, "an operator's mark")] {
        let mut bench = leaving();
        bench.says(Confirmed::In, by, None, Some(7));
        assert_eq!(bench.state(), ServiceState::Serving, "{by}");
        assert!(bench.view().reason.text.contains(said), "{}", bench.view().reason.text);
    }
}

#[test]
fn evidence_on_the_way_out_makes_an_incident_of_it() {
    let mut bench = leaving();
    bench.run(Span::from_secs(3), Bad, Good);
    assert_eq!((bench.state(), bench.view().incident.is_some()), (ServiceState::Sick, true));
}

#[test]
fn a_planned_restart_is_graceful_whatever_the_policy_says_of_sick_ones() {
    let mut bench = old(Policy { stop: StopPolicy { how: Stop::Kill, ..policy().stop }, ..recycled() });
    bench.says(Confirmed::In, Holder::Haproxy, None, Some(7));
    bench.says(Confirmed::Out, Holder::Warden, Some(0), Some(7));
    let stop =
        |bench: &Bench| bench.effects.iter().find_map(|effect| if let Effect::Restart { stop, .. } = effect { Some(*stop) } else { None });
    assert_eq!(stop(&bench), Some(Stop::Graceful));
    let mut bench = Bench::serving(Policy { stop: StopPolicy { how: Stop::Kill, ..policy().stop }, ..policy() });
    bench.doom();
    bench.run(Span::from_millis(200), Bad, Good);
    assert_eq!(stop(&bench), Some(Stop::Kill));
}

#[test]
fn a_planned_restart_that_is_refused_is_tried_again_later() {
    let mut bench = leaving();
    bench.says(Confirmed::Out, Holder::Warden, Some(0), Some(7));
    bench.job_ends(JobResult::Refused("access denied".to_owned()));
    let view = bench.view();
    assert_eq!(view.reason.text, "the planned restart came to nothing: systemd refused the restart: access denied");
    assert_eq!((view.state, view.incident), (ServiceState::Proving, None));
    bench.run(Span::from_secs(10), Good, Good);
    assert_eq!(bench.state(), ServiceState::Serving);
}

#[test]
fn an_operators_restart_of_what_is_stopped_says_when_it_is_refused() {
    let mut bench = Bench::serving(policy());
    bench.unit(super::bench::idle(warden_logic::service::input::ActiveState::Inactive, "dead", "success"));
    bench.order(Order::Restart { now: false });
    bench.job_ends(JobResult::Refused("access denied".to_owned()));
    let view = bench.view();
    assert_eq!((view.state, view.reason.label), (ServiceState::Stopped, Label::RestartFailed));
}

#[test]
fn a_way_out_ends_where_shadow_mode_begins() {
    let mut bench = leaving();
    bench.says(Confirmed::Out, Holder::Warden, Some(2), Some(7));
    let shadow = Policy { mode: Mode::Shadow, ..recycled() };
    bench.machine = Machine::resume(shadow, bench.now, bench.machine.save(bench.now));
    bench.unit(running(bench.invocation().0, bench.view().instance.unwrap().1));
    bench.says(Confirmed::Out, Holder::Warden, Some(0), Some(7));
    assert_eq!((bench.state(), restarted(&bench)), (ServiceState::Serving, false));
    assert_eq!(bench.view().reason.text, "not restarted: in shadow mode nothing is");
}

#[test]
fn shadow_mode_says_a_recycling_once_and_acts_on_it_when_it_ends() {
    let shadow = Policy { mode: Mode::Shadow, ..recycled() };
    let mut bench = old(shadow);
    bench.run(Span::from_secs(3_600), Good, Good);
    assert_eq!(bench.take().iter().filter(|word| *word == "would restart").count(), 1);
    bench.machine = Machine::resume(recycled(), bench.now, bench.machine.save(bench.now));
    bench.unit(running(bench.invocation().0, bench.view().instance.unwrap().1));
    bench.says(Confirmed::In, Holder::Haproxy, None, Some(7));
    assert_eq!(bench.state(), ServiceState::Leaving);
}

/// A coordinator that gives permits, and lets this one wait.
fn waits(bench: &mut Bench) {
    bench.pass(Span::from_millis(1));
    let seen = TrafficSeen {
        confirmed: Confirmed::Out,
        by: Holder::Warden,
        sessions: Some(0),
        permit: None,
        waits: true,
        roll: None,
        witness: None,
    };
    bench.tell(Input::Traffic(Some(seen)));
}

#[test]
fn suspect_evidence_waits_for_a_permit_where_the_coordinator_gives_any() {
    let mut bench = Bench::serving(policy());
    bench.run(Span::from_secs(2), Bad, Good);
    waits(&mut bench);
    bench.run(Span::from_secs(3_600), Bad, Good);
    assert_eq!((bench.state(), restarted(&bench), bench.view().restart), (ServiceState::Sick, false, RestartWish::Ask));
    assert_eq!(bench.view().waits_for, Some("a permit from the coordinator"));
    // Also when it says nothing of it for once.
    bench.says(Confirmed::Out, Holder::Warden, None, None);
    bench.run(Span::from_secs(60), Bad, Good);
    assert!(!restarted(&bench));
    bench.says(Confirmed::Out, Holder::Warden, None, Some(7));
    assert!(restarted(&bench));
    assert_eq!(bench.view().permit, Some(PermitId(7)));
    // Fatal evidence never asks.
    let mut bench = Bench::serving(policy());
    waits(&mut bench);
    bench.doom();
    bench.run(Span::from_millis(200), Bad, Good);
    assert!(restarted(&bench));
}

#[test]
fn a_trial_on_suspect_evidence_asks_when_it_is_due() {
    let mut bench =
        Bench::serving(Policy { restart: warden_logic::service::policy::RestartPolicy { limit: 1, ..policy().restart }, ..policy() });
    for permit in [7, 8] {
        bench.run(Span::from_secs(2), Bad, Good);
        bench.says(Confirmed::Out, Holder::Warden, None, Some(permit));
        if bench.state() == ServiceState::Restarting {
            bench.starts();
            bench.job_ends(JobResult::Done);
            bench.run(Span::from_secs(60), Good, Good);
        }
    }
    assert_eq!((bench.state(), bench.view().restart), (ServiceState::Parked, RestartWish::No));
    waits(&mut bench);
    bench.run(Span::from_secs(300), Bad, Good);
    assert_eq!((bench.state(), bench.view().restart), (ServiceState::Parked, RestartWish::Ask));
    bench.effects.clear();
    bench.says(Confirmed::Out, Holder::Warden, None, Some(9));
    assert_eq!(bench.view().reason.label, Label::Trial);
}

#[test]
fn a_permit_whose_restart_came_to_nothing_is_good_for_the_next_try() {
    let mut bench = Bench::serving(policy());
    bench.run(Span::from_secs(2), Bad, Good);
    bench.says(Confirmed::Out, Holder::Warden, None, Some(7));
    bench.job_ends(JobResult::Refused("access denied".to_owned()));
    bench.effects.clear();
    // The coordinator has it on its books as in use, and would give no other.
    bench.says(Confirmed::Out, Holder::Warden, None, Some(7));
    bench.run(Span::from_secs(2), Bad, Good);
    assert_eq!((restarted(&bench), bench.view().permit), (true, Some(PermitId(7))));
    // The next process needs a new one.
    bench.starts();
    bench.job_ends(JobResult::Done);
    bench.effects.clear();
    bench.run(Span::from_secs(120), Bad, Good);
    bench.says(Confirmed::Out, Holder::Warden, None, Some(7));
    bench.run(Span::from_secs(60), Bad, Good);
    assert_eq!((restarted(&bench), bench.view().waits_for), (false, Some("a permit from the coordinator")));
}

#[test]
fn processes_of_one_age_are_recycled_at_different_ages() {
    let (age, jitter) = (Span::from_secs(600), Span::from_secs(60));
    let recycle = RecyclePolicy { max_age: Some(age), max_age_jitter: jitter, above: None };
    let mut bench = Bench::new(Policy { recycle, ..policy() });
    let mut ages = std::collections::BTreeSet::new();
    for _ in 0..50 {
        bench.starts();
        let (_, started) = bench.view().instance.unwrap();
        ages.insert(bench.view().recycle.unwrap().at.unwrap().since(started));
    }
    assert!(ages.len() > 40, "{ages:?}");
    assert!(ages.iter().all(|at| *at <= age && *at >= Span::from_secs(540)), "{ages:?}");
    let spread = ages.last().unwrap().as_micros() - ages.first().unwrap().as_micros();
    assert!(spread > Span::from_secs(40).as_micros(), "{ages:?}");
}

/// What a coordinator says while it rolls the fleet.
fn rolled(bench: &mut Bench, roll: Invocation, permit: Option<u64>) {
    bench.pass(Span::from_millis(1));
    let permit = permit.map(PermitId);
    let seen = TrafficSeen {
        confirmed: Confirmed::In,
        by: Holder::Haproxy,
        sessions: None,
        permit,
        waits: permit.is_none(),
        roll: Some(roll),
        witness: None,
    };
    bench.tell(Input::Traffic(Some(seen)));
}

#[test]
fn a_roll_restarts_the_instance_that_it_names_and_no_other() {
    let mut bench = Bench::serving(policy());
    let named = bench.invocation();
    rolled(&mut bench, Invocation(named.0 + 1), Some(6));
    assert_eq!((bench.state(), bench.view().restart), (ServiceState::Serving, RestartWish::No), "another instance is meant");
    rolled(&mut bench, named, None);
    let view = bench.view();
    assert_eq!((view.restart, view.planned_action), (RestartWish::Ask, Some("roll")));
    let accepts = |bench: &Bench, action: &str| bench.machine.accepts_permit(PermitId(1), action);
    assert!(accepts(&bench, "roll") && accepts(&bench, "recycle_age") && !accepts(&bench, "suspect"));
    rolled(&mut bench, named, Some(7));
    assert_eq!((bench.state(), bench.view().reason.label, bench.view().permit), (ServiceState::Leaving, Label::Roll, Some(PermitId(7))));
}

#[test]
fn a_roll_that_goes_on_restarts_nothing_twice() {
    let mut bench = Bench::serving(policy());
    let named = bench.invocation();
    rolled(&mut bench, named, Some(7));
    bench.says(Confirmed::Out, Holder::Warden, Some(0), Some(7));
    assert!(restarted(&bench));
    bench.starts();
    bench.job_ends(JobResult::Done);
    bench.run(Span::from_secs(120), Good, Good);
    assert_eq!(bench.state(), ServiceState::Serving);
    rolled(&mut bench, named, Some(8));
    assert_eq!((bench.state(), bench.view().restart, bench.view().planned), (ServiceState::Serving, RestartWish::No, 1));
}

#[test]
fn in_shadow_mode_a_roll_is_only_said() {
    let mut bench = Bench::serving(Policy { mode: Mode::Shadow, ..policy() });
    let named = bench.invocation();
    rolled(&mut bench, named, None);
    rolled(&mut bench, named, None);
    let said =
        bench.effects.iter().filter(|effect| matches!(effect, Effect::WouldRestart { cause, .. } if cause.label == Label::Roll)).count();
    assert_eq!((bench.state(), bench.view().restart, said), (ServiceState::Serving, RestartWish::No, 1));
}

/// Found by the simulation: its permit came while HAProxy's check had not passed afresh yet, and it was restarted while that let it in.
#[test]
fn what_only_haproxys_check_keeps_out_is_not_out() {
    let mut bench = old(recycled());
    bench.says(Confirmed::Out, Holder::Haproxy, Some(0), Some(7));
    assert_eq!((bench.state(), restarted(&bench)), (ServiceState::Leaving, false));
    bench.says(Confirmed::Out, Holder::Haproxy, Some(0), Some(7));
    assert!(!restarted(&bench));
    bench.says(Confirmed::Out, Holder::Warden, Some(0), Some(7));
    assert!(restarted(&bench));
}
