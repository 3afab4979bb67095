//! Two HAProxies on one machine with the same servers, steered as one.

use crate::program::Stand;
use crate::support::real::Haproxy;
use crate::support::until;
use crate::support::voice::Voice;
use warden_protocol::vocab::{Confirmed, Holder, ServiceState};

/// Whether a HAProxy sends requests to a server.
async fn runs(haproxy: &Haproxy, name: &str) -> bool {
    let state = haproxy.operator("show servers state app").await;
    let row = state.lines().find(|line| line.split(' ').nth(3) == Some(name)).unwrap_or_else(|| panic!("no {name} in {state}"));
    let fields: Vec<&str> = row.split(' ').collect();
    fields[5] == "2" && fields[6] == "0"
}

async fn until_both(both: [&Haproxy; 2], name: &str, wanted: bool) {
    until("both HAProxies do the same", || async {
        let are = [runs(both[0], name).await, runs(both[1], name).await];
        if are == [wanted, wanted] { Ok(()) } else { Err(are) }
    })
    .await;
}

#[tokio::test]
async fn what_one_haproxy_is_told_all_are_told() {
    let one = Haproxy::start(false).await;
    let mut other = Haproxy::beside(&one).await;
    let stand = Stand::before_both(one, &other).await;
    let (mut first, mut second) = (Voice::of("n1"), Voice::of("n2"));
    stand.say(second.says(ServiceState::Serving)).await;
    let traffic = stand.say(first.says(ServiceState::Sick)).await.services[0].traffic.clone();
    assert_eq!((traffic.confirmed, traffic.by), (Confirmed::Out, Holder::Warden));
    assert!(!runs(&stand.haproxy, "n1").await && !runs(&other, "n1").await, "confirmed, and one of them sends requests");

    // A mark in one of them: the other one is steered on.
    stand.report_until(&mut first, ServiceState::Serving, Confirmed::In).await;
    until_both([&stand.haproxy, &other], "n1", true).await;
    other.operator("set server app/n1 state maint").await;
    stand.say(first.says(ServiceState::Sick)).await;
    assert!(!runs(&stand.haproxy, "n1").await);
    assert_eq!(other.admin("n1").await, 1);
    other.operator("set server app/n1 state ready").await;
    until_both([&stand.haproxy, &other], "n1", false).await;

    // One of them goes: the rest is steered, and it is said. It comes back as a new process that knows nothing.
    other.stop();
    until("it is said that one is away", || async {
        let fleet = stand.fleet().await;
        let said = fleet.haproxy.error.as_deref().is_some_and(|error| error.starts_with("HAProxy does not answer on"));
        if fleet.haproxy.connected && said { Ok(()) } else { Err(fleet.haproxy) }
    })
    .await;
    stand.report_until(&mut first, ServiceState::Serving, Confirmed::In).await;
    let out = stand.say(first.says(ServiceState::Sick)).await.services[0].traffic.clone();
    assert_eq!(out.confirmed, Confirmed::Out);
    other.begin_again().await;
    until_both([&stand.haproxy, &other], "n1", false).await;
    until("it is said to be back", || async { stand.fleet().await.haproxy.error.map_or(Ok(()), Err) }).await;
}
