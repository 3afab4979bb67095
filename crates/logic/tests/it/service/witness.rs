//! One example for each rule of the second witness: live traffic, as the balancer counts it.

use super::bench::{Bench, policy};
use warden_logic::moment::Span;
use warden_logic::reason::Label;
use warden_logic::service::input::{Input, Invocation, TrafficSeen, Witness};
use warden_protocol::vocab::{Confirmed, Evidence, Holder, RestartWish, ServiceState, Traffic, Verdict};

use Verdict::{Bad, Good};

fn hears(bench: &mut Bench, invocation: Option<Invocation>) {
    bench.pass(Span::from_millis(1));
    let witness = invocation.map(|invocation| Witness { invocation, requests: 150, failed: 61, window: Span::from_secs(5) });
    let seen =
        TrafficSeen { confirmed: Confirmed::In, by: Holder::Haproxy, sessions: None, permit: None, waits: false, roll: None, witness };
    bench.tell(Input::Traffic(Some(seen)));
}

#[test]
fn it_is_looked_at_more_closely_for_as_long_as_its_requests_fail() {
    let mut bench = Bench::serving(policy());
    let runs = bench.invocation();
    hears(&mut bench, Some(runs));
    let view = bench.view();
    assert_eq!((view.state, view.evidence, view.traffic), (ServiceState::Suspect, Some(Evidence::Suspect), Traffic::In));
    assert_eq!(view.reason.text, "HAProxy saw 61 of 150 requests to it fail within 5 s; its own probes do not say why");
    assert_eq!(view.restart, RestartWish::No);
    // Its own probes pass, and it stays so: neither out nor restarted.
    for _ in 0..300 {
        bench.run(Span::from_secs(1), Good, Good);
        hears(&mut bench, Some(runs));
    }
    assert_eq!((bench.state(), bench.restart()), (ServiceState::Suspect, None));
    hears(&mut bench, None);
    assert_eq!((bench.state(), bench.view().reason.label), (ServiceState::Serving, Label::Recovered));
}

#[test]
fn what_another_instance_answered_says_nothing_of_this_one() {
    let mut bench = Bench::serving(policy());
    let before = bench.invocation();
    hears(&mut bench, Some(Invocation(before.0 + 1)));
    assert_eq!(bench.state(), ServiceState::Serving);
}

#[test]
fn its_own_probes_still_decide() {
    let mut bench = Bench::serving(policy());
    let runs = bench.invocation();
    hears(&mut bench, Some(runs));
    bench.run(Span::from_secs(5), Bad, Good);
    assert_eq!((bench.view().evidence, bench.view().traffic), (Some(Evidence::Suspect), Traffic::Out));
    assert_eq!(bench.view().reason.label, Label::ProbeFailed);
}

#[test]
fn without_a_coordinator_the_doubt_is_over() {
    let mut bench = Bench::serving(policy());
    let runs = bench.invocation();
    hears(&mut bench, Some(runs));
    bench.tell(Input::Traffic(None));
    assert_eq!(bench.state(), ServiceState::Serving);
}
