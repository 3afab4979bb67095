//! What `status` and `explain` can tell people in each state: which gate is shut, until when, and what opens it.

use super::bench::{Bench, idle, policy, running};
use warden_logic::moment::Span;
use warden_logic::service::input::{ActiveState, Input, Order, TrafficSeen, UnitSeen};
use warden_logic::service::policy::{Mode, Policy};
use warden_logic::service::{Gate, GateStatus};
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Verdict};

use Verdict::{Bad, Good};

fn gate(bench: &Bench, name: &str) -> Gate {
    let gates = bench.view().gates;
    gates.iter().find(|gate| gate.name == name).unwrap_or_else(|| panic!("no gate {name} among {gates:?}")).clone()
}

fn first_shut(bench: &Bench) -> (&'static str, String) {
    let gate = bench.view().gates.into_iter().find(|gate| gate.status == GateStatus::Shut).expect("a gate is shut");
    (gate.name, gate.text)
}

#[test]
fn a_warm_up_says_when_it_ends_and_what_comes_after_it() {
    let mut bench = Bench::new(policy());
    bench.unit(idle(ActiveState::Activating, "start", "success"));
    bench.starts();
    bench.pass(Span::from_millis(18_600));
    assert_eq!(first_shut(&bench), ("warmup", "warm-up: 11.4 s of 30 s left".to_owned()));
    assert_eq!(gate(&bench, "warmup").until.unwrap().since(bench.now), Span::from_millis(11_400));
    assert_eq!((gate(&bench, "probes").status, gate(&bench, "haproxy").status), (GateStatus::Later, GateStatus::Later));
}

#[test]
fn a_doubt_says_that_a_probe_has_to_confirm_it() {
    let mut bench = Bench::serving(policy());
    bench.doom();
    bench.run(Span::from_millis(300), Good, Good);
    let gate = gate(&bench, "confirmation");
    assert_eq!((gate.status, gate.text.as_str()), (GateStatus::Shut, "no probe confirms the log line yet: 2 answers since were not bad"));
    assert_eq!(gate.until.unwrap().since(bench.now), Span::from_millis(700));
}

#[test]
fn a_restart_that_waits_says_for_what() {
    let mut bench = Bench::serving(policy());
    bench.run(Span::from_secs(2), Bad, Good);
    assert_eq!(gate(&bench, "restart").text, "the restart waits for HAProxy to confirm that it is out");
    bench.says(Confirmed::In, Holder::Floor, None, None);
    assert_eq!(gate(&bench, "restart").text, "the restart waits for another server to take the traffic: the floor keeps this one in");
    bench.tell(Input::Traffic(None));
    assert_eq!(gate(&bench, "restart").text, "the restart waits for a coordinator to answer, but not for ever");
    assert!(gate(&bench, "restart").until.unwrap().since(bench.now) >= Span::from_secs(30));
    // systemd counts starts, and would refuse one more.
    let (invocation, started) = bench.view().instance.unwrap();
    bench.unit(UnitSeen { start_limit: Some((1, Span::from_secs(600))), ..running(invocation.0, started) });
    let limit = gate(&bench, "start_limit");
    assert_eq!(limit.text, "systemd's start limit (StartLimitBurst=1 in 10 min) is used up; it is lifted before the restart");
    // The unit was removed under it.
    bench.unit(UnitSeen { loaded: false, ..running(invocation.0, started) });
    assert_eq!(gate(&bench, "restart").text, "the restart waits for systemd to have the unit again: it was removed or masked");
    bench.run(Span::from_secs(600), Bad, Good);
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Sick, None));
}

#[test]
fn a_restart_that_is_under_way_says_so() {
    let mut bench = Bench::serving(policy());
    bench.order(Order::Restart { now: true });
    assert_eq!(gate(&bench, "restart").text, "its restart job is under way; what is left of the old process in 10 s is killed");
    bench.unit(UnitSeen { job: true, ..idle(ActiveState::Activating, "start", "success") });
    assert_eq!(gate(&bench, "restart").text, "its restart job is under way");
}

#[test]
fn a_way_out_says_what_it_waits_for() {
    let mut bench = Bench::serving(policy());
    bench.order(Order::Restart { now: false });
    assert_eq!(
        (gate(&bench, "rotation").status, gate(&bench, "rotation").text.as_str()),
        (GateStatus::Shut, "HAProxy has to confirm that it is out of rotation")
    );
    bench.says(Confirmed::Out, Holder::Warden, Some(1), None);
    assert_eq!((gate(&bench, "rotation").status, gate(&bench, "requests").text.as_str()), (GateStatus::Open, "1 request is in flight"));
    assert_eq!(gate(&bench, "requests").until.unwrap().since(bench.now), Span::from_secs(30));
}

#[test]
fn a_unit_that_is_missing_is_not_said_to_be_stopped_by_somebody() {
    let mut bench = Bench::new(policy());
    bench.unit(UnitSeen { loaded: false, ..idle(ActiveState::Inactive, "dead", "success") });
    assert_eq!(first_shut(&bench), ("unit", "systemd has no such unit, or it is masked; it is inactive".to_owned()));
    assert_eq!(gate(&bench, "unit").opens_by.unwrap(), "installing or unmasking the unit");
}

#[test]
fn an_agent_that_finds_a_unit_down_does_not_claim_that_somebody_stopped_it() {
    let mut bench = Bench::new(policy());
    bench.unit(idle(ActiveState::Inactive, "dead", "success"));
    assert_eq!(bench.view().reason.text, "the unit is inactive: somebody stopped it, or nobody has started it yet");
    assert_eq!(gate(&bench, "operator").opens_by.unwrap(), "systemctl start");
}

#[test]
fn a_mark_says_whose_it_is_why_and_how_it_ends() {
    let mut bench = Bench::serving(policy());
    bench.order(Order::Maintain { until: Some(bench.now.plus(Span::from_secs(1_800))) });
    let mark = gate(&bench, "operator");
    assert_eq!((mark.text.as_str(), mark.opens_by.as_deref()), ("in maintenance by anna: a new disk", Some("agentctl maintenance off")));
    assert_eq!(mark.until.unwrap().since(bench.now), Span::from_secs(1_800));
}

#[test]
fn the_balancers_own_judgement_is_told_apart_from_ours() {
    let mut bench = Bench::serving(policy());
    for (by, said, opens_by) in [
        (Holder::Haproxy, "HAProxy sends it no requests, by its own judgement", "HAProxy's own check"),
        (Holder::Operator, "HAProxy sends it no requests, by an operator's mark", "whoever set the mark in HAProxy"),
        (Holder::Warden, "HAProxy sends it no requests, by our word", "the coordinator, once it is fit"),
    ] {
        bench.says(Confirmed::Out, by, None, None);
        let gate = gate(&bench, "haproxy");
        assert_eq!((gate.text.as_str(), gate.opens_by.as_deref()), (said, Some(opens_by)));
    }
}

#[test]
fn orders_are_answered_with_what_comes_of_them() {
    let shadow = Bench::serving(Policy { mode: Mode::Shadow, ..policy() });
    let answer = |bench: &Bench, order| bench.machine.answer(order);
    assert!(answer(&shadow, Order::Drain).is_err() && answer(&shadow, Order::Restart { now: true }).is_err());
    assert_eq!(
        answer(&shadow, Order::Maintain { until: None }).unwrap(),
        "in shadow mode its traffic is left as it is; it is left alone until maintenance is ended"
    );
    let mut bench = Bench::serving(policy());
    assert_eq!(answer(&bench, Order::Undrain).unwrap_err(), "it is not drained");
    assert_eq!(answer(&bench, Order::Resume).unwrap_err(), "it is not in maintenance");
    assert_eq!(answer(&bench, Order::Restart { now: true }).unwrap(), "it is restarted now");
    bench.order(Order::Restart { now: true });
    assert_eq!(answer(&bench, Order::Restart { now: true }).unwrap_err(), "it is being restarted already");
    // A refused order does nothing.
    bench.effects.clear();
    bench.order(Order::Restart { now: true });
    assert_eq!(bench.take(), Vec::<String>::new());
}

#[test]
fn suspicion_alone_says_what_the_coordinator_lets_it_wait_for() {
    let mut bench = Bench::serving(policy());
    bench.run(Span::from_secs(2), Bad, Good);
    let seen =
        TrafficSeen { confirmed: Confirmed::Out, by: Holder::Warden, sessions: None, permit: None, waits: true, roll: None, witness: None };
    bench.tell(Input::Traffic(Some(seen)));
    assert_eq!(gate(&bench, "restart").text, "the restart waits for a permit from the coordinator");
}
