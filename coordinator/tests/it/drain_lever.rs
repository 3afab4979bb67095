//! The second lever, `lever = "drain"`: in the loop on a paused clock, and the program before a real HAProxy without any agent check.

use crate::program;
use crate::steering::{CYCLE, Stand, policy};
use crate::support::real::Haproxy;
use crate::support::until;
use crate::support::voice::Voice;
use tokio::time::sleep;
use warden_coordinator::keep::MARKS;
use warden_coordinator::steer::Call;
use warden_logic::fleet::Lever;
use warden_protocol::v1::report::TrafficStatus;
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Traffic};

async fn stand() -> Stand {
    let stand = Stand::new();
    lever(&stand).await;
    stand
}

async fn lever(stand: &Stand) {
    let mut policy = policy(1);
    policy.backends.values_mut().for_each(|backend| backend.lever = Lever::Drain);
    stand.calls.send(Call::Policy(policy)).await.unwrap();
}

async fn report(stand: &Stand, voice: &mut Voice, state: ServiceState) -> TrafficStatus {
    stand.say(voice.says(state)).await.unwrap().services[0].traffic.clone()
}

fn brief(traffic: &TrafficStatus) -> (Confirmed, Holder, &str) {
    (traffic.confirmed, traffic.by, &traffic.server_status)
}

#[tokio::test(start_paused = true)]
async fn out_by_a_drain_and_back_by_fresh_checks() {
    let stand = stand().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    report(&stand, &mut two, ServiceState::Serving).await;
    let traffic = report(&stand, &mut one, ServiceState::Sick).await;
    assert_eq!(brief(&traffic), (Confirmed::Out, Holder::Warden, "DRAIN"));
    stand.until_kept(MARKS, "app/n1", true);
    let pushes = || stand.haproxy.pushed().into_iter().map(|push| push.split(" (").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(pushes(), ["state drain n1"]);
    // As often as it is read, nothing more is pushed.
    sleep(CYCLE * 4).await;
    assert_eq!(pushes().len(), 1);
    let traffic = report(&stand, &mut one, ServiceState::Serving).await;
    assert_eq!((traffic.wanted, traffic.confirmed, traffic.by), (Traffic::In, Confirmed::Out, Holder::Haproxy));
    assert_eq!(pushes(), ["state drain n1", "health down n1", "state ready n1"]);
    stand.until_traffic("n1", true).await;
    stand.until_kept(MARKS, "app/n1", false);
}

#[tokio::test(start_paused = true)]
async fn a_persons_marks_are_told_from_ours_and_left_alone() {
    let stand = stand().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    report(&stand, &mut two, ServiceState::Serving).await;
    stand.haproxy.operator("set server app/n1 state drain");
    let traffic = report(&stand, &mut one, ServiceState::Sick).await;
    assert_eq!(brief(&traffic), (Confirmed::Out, Holder::Operator, "DRAIN"));
    report(&stand, &mut one, ServiceState::Serving).await;
    sleep(CYCLE * 2).await;
    assert_eq!(stand.haproxy.pushed(), Vec::<String>::new());
    stand.haproxy.operator("set server app/n1 state ready");

    // Maintenance on what we drained: hands off, also when it is fit.
    report(&stand, &mut one, ServiceState::Sick).await;
    stand.haproxy.operator("set server app/n1 state maint");
    sleep(CYCLE * 2).await;
    let traffic = report(&stand, &mut one, ServiceState::Serving).await;
    assert_eq!(brief(&traffic), (Confirmed::Out, Holder::Operator, "MAINT"));
    assert_eq!(stand.haproxy.pushed().len(), 1);
    // And when they lift it, it is in, or out again by us.
    stand.haproxy.operator("set server app/n1 state ready");
    report(&stand, &mut one, ServiceState::Sick).await;
    stand.until_traffic("n1", false).await;
    assert_eq!(stand.haproxy.pushed().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_restarted_knows_which_drains_are_ours() {
    let stand = stand().await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    report(&stand, &mut two, ServiceState::Serving).await;
    report(&stand, &mut one, ServiceState::Sick).await;
    stand.until_kept(MARKS, "app/n1", true);
    let stand = stand.restart_coordinator().await;
    lever(&stand).await;
    sleep(CYCLE * 2).await;
    assert_eq!(stand.haproxy.pushed().len(), 1, "nobody has spoken yet");
    let traffic = report(&stand, &mut one, ServiceState::Serving).await;
    assert_eq!((traffic.wanted, traffic.by), (Traffic::In, Holder::Haproxy));
    stand.until_traffic("n1", true).await;
}

/// HAProxy as it was set up before anybody thought of Warden.
#[tokio::test]
async fn an_haproxy_without_agent_checks_is_steered_all_the_same() {
    let mut stand = program::Stand::before(Haproxy::plain().await, "lever = 'drain'").await;
    let (mut one, mut two) = (Voice::of("n1"), Voice::of("n2"));
    stand.say(two.says(ServiceState::Serving)).await;
    let out = stand.say(one.says(ServiceState::Sick)).await.services[0].traffic.clone();
    assert_eq!(brief(&out), (Confirmed::Out, Holder::Warden, "DRAIN"));
    let served = stand.haproxy.backend("n1").requests();
    for _ in 0..20 {
        assert_eq!(stand.request().await, 200);
    }
    assert_eq!(stand.haproxy.backend("n1").requests(), served, "a request went to a server that was confirmed out");

    // A reload without a state file forgets it; one cycle later it is out again.
    stand.haproxy.reload().await;
    until("it is drained again", || async { if stand.haproxy.admin("n1").await == 8 { Ok(()) } else { Err(stand.fleet().await) } }).await;
    // We end in the middle of it: what is ours is known again.
    stand.die_and_begin_again().await;
    stand.say(two.says(ServiceState::Serving)).await;
    stand.report_until(&mut one, ServiceState::Serving, Confirmed::In).await;
    assert_eq!(stand.haproxy.admin("n1").await, 0);
    // Somebody's `maint` is not ours to lift.
    stand.haproxy.operator("set server app/n1 state maint").await;
    for state in [ServiceState::Sick, ServiceState::Serving] {
        stand.report_until(&mut one, state, Confirmed::Out).await;
        let traffic = stand.say(one.says(state)).await.services[0].traffic.clone();
        assert_eq!(brief(&traffic), (Confirmed::Out, Holder::Operator, "MAINT"));
    }
    assert_eq!(stand.haproxy.admin("n1").await, 1);
    let metrics = stand.metrics().await;
    assert!(
        metrics.lines().any(|line| line.starts_with("warden_coordinator_mark_window_seconds_count") && !line.ends_with(" 0")),
        "{metrics}"
    );
}
