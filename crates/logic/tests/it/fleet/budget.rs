//! What must hold of permits after every review, reckoned anew and in other words than the code does.

use std::collections::BTreeSet;
use warden_logic::fleet::Scene;
use warden_logic::fleet::observed::{Operation, ServerId};
use warden_logic::fleet::permits::{Action, Happened, News, Permits, Phase};
use warden_logic::moment::Moment;
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{Evidence, RestartWish, ServiceState, Traffic};

/// Everything at once. The servers are of one backend, and the node of server `node-3` is called `node-3`.
pub(crate) fn invariants(scene: &Scene<'_>, permits: &Permits, news: &[News], began: Moment) {
    invariant_leases_end(scene, permits);
    let granted = news.iter().filter(|news| news.what == Happened::Granted);
    let (planned, suspect): (Vec<_>, Vec<_>) = granted.partition(|news| matches!(news.lease.action, Action::Planned(_)));
    assert!(planned.len() <= 1 && suspect.len() <= 1, "several at once: {news:?}");
    for news in planned.iter().chain(&suspect) {
        invariant_everybody_was_heard(scene, began, news);
        let node = scene.roster.node(&news.server.server).unwrap();
        assert!(node.fresh(scene.now, scene.policy.lease), "to somebody who is silent: {news:?}");
        assert!(!node.two_speakers(scene.now, scene.policy.lease), "two speakers: {news:?}");
        assert_eq!(scene.observed.server(&news.server).unwrap().mark(), None, "a person's mark: {news:?}");
        assert_eq!(node.services[0].wants.restart, RestartWish::Ask, "nobody asked: {news:?}");
        assert_eq!(scene.wishes.paused(scene.now), None, "in a pause: {news:?}");
    }
    for news in planned {
        assert_eq!(scene.wishes.drained(&news.server), None, "drained: {news:?}");
        invariant_budget(scene, permits, news);
        invariant_no_two_leave_together(scene, permits, news);
    }
    for news in suspect {
        invariant_one_sick_at_a_time(scene, permits, news);
    }
    let both = permits.leases().filter(|(id, _)| permits.wait(id).is_some_and(|wait| wait.label() != "soaking"));
    assert_eq!(both.count(), 0, "holds one and waits for one");
}

fn said<'a>(scene: &Scene<'a>, id: &ServerId) -> Option<&'a ServiceReport> {
    let node = scene.roster.node(&id.server).filter(|node| node.fresh(scene.now, scene.policy.lease))?;
    node.services.first()
}

/// Out or about to be, whatever the reason; the holder of a permit included.
fn unavailable<'a>(scene: &Scene<'a>, permits: &Permits) -> BTreeSet<&'a ServerId> {
    let out = scene.observed.servers.iter().filter(|server| {
        let lost = scene.roster.node(&server.id.server).is_some() && said(scene, &server.id).is_none();
        let leaves = |said: &ServiceReport| said.state == ServiceState::Leaving && said.wants.restart == RestartWish::Ask;
        let wants_out = said(scene, &server.id).is_some_and(|said| said.wants.traffic == Traffic::Out && !leaves(said));
        let cold = server.operation != Operation::Running;
        let drained = scene.wishes.drained(&server.id).is_some();
        permits.lease(&server.id).is_some() || drained || lost || wants_out || cold || !server.takes_traffic()
    });
    out.map(|server| &server.id).collect()
}

/// The state after the action keeps `max_unavailable` and the floor.
fn invariant_budget(scene: &Scene<'_>, permits: &Permits, news: &News) {
    let policy = scene.policy.backend("app");
    let servers = &scene.observed.servers;
    let out = unavailable(scene, permits);
    assert!(out.contains(&news.server));
    let max = policy.max_unavailable.of(servers.len());
    assert!(out.len() <= max, "{news:?} makes {out:?} of {max}");
    let soaks = |id: &ServerId| permits.lease(id).is_some_and(|lease| matches!(lease.phase, Phase::Soaking { .. }));
    let left = servers.iter().filter(|server| !out.contains(&server.id) || soaks(&server.id)).count();
    assert!(left >= policy.min_in_traffic as usize, "{news:?} leaves {left}");
}

/// Between two permits for planned restarts lies a soak, divided by how many may be out.
fn invariant_no_two_leave_together(scene: &Scene<'_>, permits: &Permits, news: &News) {
    let policy = scene.policy.backend("app");
    let max = policy.max_unavailable.of(scene.observed.servers.len()) as u64;
    for (_, lease) in permits.leases().filter(|(id, lease)| **id != news.server && matches!(lease.action, Action::Planned(_))) {
        let apart = news.lease.granted.since(lease.granted);
        assert!(apart.as_micros() >= policy.soak.as_micros() / max, "{news:?} {apart} after {lease:?}");
    }
}

/// It is out, no other one is on its turn, and not too many look sick.
fn invariant_one_sick_at_a_time(scene: &Scene<'_>, permits: &Permits, news: &News) {
    let policy = scene.policy.backend("app");
    let servers = &scene.observed.servers;
    assert!(!scene.observed.server(&news.server).unwrap().takes_traffic(), "in traffic: {news:?}");
    let turns = permits.leases().filter(|(_, lease)| lease.action == Action::Suspect).count();
    assert_eq!(turns, 1, "{news:?}");
    let sick = servers.iter().filter(|server| {
        said(scene, &server.id)
            .is_some_and(|said| matches!(said.evidence, Some(Evidence::Suspect | Evidence::Fatal)) && said.wants.traffic == Traffic::Out)
    });
    let sick = sick.count();
    assert!(sick <= 1 || !policy.max_suspect_share.exceeded_by(sick, servers.len()), "{sick} look sick: {news:?}");
}

/// Every server's agent has reported to this coordinator, or the time of a permit has passed.
fn invariant_everybody_was_heard(scene: &Scene<'_>, began: Moment, news: &News) {
    let policy = scene.policy.backend("app");
    if scene.now.since(began) < policy.permit_lease {
        for server in &scene.observed.servers {
            assert!(scene.roster.node(&server.id.server).is_some(), "{} was never heard: {news:?}", server.id);
        }
    }
}

/// No lease outlives its time; what soaks may finish that.
fn invariant_leases_end(scene: &Scene<'_>, permits: &Permits) {
    let policy = scene.policy.backend("app");
    for (id, lease) in permits.leases() {
        match lease.phase {
            Phase::Granted => assert!(scene.now < lease.start_by.min(lease.expires), "{id} {lease:?} at {:?}", scene.now),
            // A late word of a sick one's restart is taken, and ends with the next review.
            Phase::InUse if lease.action == Action::Suspect => {}
            Phase::InUse => assert!(scene.now < lease.expires, "{id} {lease:?} at {:?}", scene.now),
            Phase::Soaking { since } => {
                assert!(since == scene.now || scene.now.since(since) < policy.soak, "{id} {lease:?} at {:?}", scene.now);
            }
        }
    }
}
