//! Permits in the steering loop on a paused clock: directives, status, metrics, and what is counted of a server that leaves.

use crate::steering::{CYCLE, Stand, clock, policy};
use crate::support::fake::Trouble;
use crate::support::until;
use crate::support::voice::Voice;
use std::time::Duration;
use tokio::time::sleep;
use warden_coordinator::steer::Call;
use warden_logic::fleet::budget::MaxUnavailable;
use warden_logic::moment::Span;
use warden_protocol::v1::fleet::BackendStatus;
use warden_protocol::v1::report::{Directives, Permit, Report};
use warden_protocol::vocab::{Confirmed, Evidence, Holder, RestartWish, ServiceState, Traffic};

/// Its recycling is due.
pub(crate) fn asks(voice: &mut Voice) -> Report {
    voice.says_as(ServiceState::Serving, |said| {
        said.wants.restart = RestartWish::Ask;
        said.planned = Some("recycle_age".to_owned());
        said.invocation = "1".to_owned();
        said.since_ms = 900_000;
    })
}

pub(crate) fn leaves(voice: &mut Voice, permit: u64) -> Report {
    voice.says_as(ServiceState::Leaving, |said| {
        said.wants.restart = RestartWish::Ask;
        said.planned = Some("recycle_age".to_owned());
        said.invocation = "1".to_owned();
        (said.evidence, said.incident) = (None, None);
        said.permit = Some(permit);
    })
}

/// After its restart, on a permit.
pub(crate) fn warms(voice: &mut Voice, permit: u64) -> Report {
    voice.says_as(ServiceState::Warming, |said| {
        said.invocation = "2".to_owned();
        (said.evidence, said.incident) = (None, None);
        said.permit = Some(permit);
    })
}

pub(crate) fn serves(voice: &mut Voice, invocation: &str, since_ms: u64) -> Report {
    voice.says_as(ServiceState::Serving, |said| {
        said.invocation = invocation.to_owned();
        said.since_ms = since_ms;
    })
}

fn permit(directives: &Directives) -> Option<&Permit> {
    directives.services[0].permit.as_ref()
}

/// Why it waits, in a word.
fn waits(directives: &Directives) -> Option<&str> {
    directives.waits.first().map(|waiting| waiting.reason.label.as_str())
}

struct Pair {
    stand: Stand,
    one: Voice,
    two: Voice,
}

impl Pair {
    /// Both serve, and have done so for long; this coordinator too.
    async fn new() -> Self {
        let (stand, one, two) = (Stand::new(), Voice::of("n1"), Voice::of("n2"));
        let mut pair = Self { stand, one, two };
        pair.pass(Duration::from_secs(31)).await;
        pair
    }

    /// Time, in which both serve on.
    async fn pass(&mut self, time: Duration) {
        let end = clock().as_micros() + u64::try_from(time.as_micros()).unwrap();
        while clock().as_micros() < end {
            self.stand.say(serves(&mut self.one, "1", 900_000)).await.unwrap();
            self.stand.say(serves(&mut self.two, "1", 900_000)).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// The first one has a permit: its number.
    async fn granted(&mut self) -> u64 {
        self.stand.say(serves(&mut self.two, "1", 900_000)).await.unwrap();
        let directives = self.stand.say(asks(&mut self.one)).await.unwrap();
        permit(&directives).expect("a permit in the very answer").id
    }

    async fn budget(&self) -> (u32, u32) {
        let BackendStatus { max_unavailable, unavailable, .. } = self.stand.fleet().await.backends.remove(0);
        (max_unavailable.unwrap(), unavailable.unwrap())
    }

    async fn phase(&self, name: &str) -> Option<String> {
        self.stand.server(name).await.permit.map(|permit| permit.phase)
    }
}

#[tokio::test(start_paused = true)]
async fn one_is_granted_and_the_other_is_told_why_it_waits() {
    let mut pair = Pair::new().await;
    pair.stand.say(serves(&mut pair.two, "1", 900_000)).await.unwrap();
    let directives = pair.stand.say(asks(&mut pair.one)).await.unwrap();
    let granted = permit(&directives).unwrap();
    assert_eq!((granted.action.as_str(), granted.start_by_ms, granted.expires_in_ms), ("recycle_age", 10_000, 300_000));
    assert_eq!((waits(&directives), directives.heartbeat_ms), (None, 1_000));
    let directives = pair.stand.say(asks(&mut pair.two)).await.unwrap();
    assert_eq!((permit(&directives), waits(&directives)), (None, Some("budget")));
    assert_eq!(directives.waits[0].unit, "app.service");

    assert_eq!(pair.budget().await, (1, 1));
    let (one, two) = (pair.stand.server("n1").await, pair.stand.server("n2").await);
    let held = one.permit.unwrap();
    assert_eq!((held.action.as_str(), held.phase.as_str(), held.soaks_for_ms), ("recycle_age", "granted", None));
    assert_eq!(two.waits.unwrap().text, "max_unavailable is 1, and unavailable are: n1 (recycle_age, granted)");
    sleep(Duration::from_millis(1_500)).await; // the gauges are set once a second
    let metrics = pair.stand.metrics.text();
    for line in [
        "warden_coordinator_permits{backend=\"app\"} 1",
        "warden_coordinator_permits_waiting{backend=\"app\"} 1",
        "warden_coordinator_unavailable{backend=\"app\"} 1",
        "warden_coordinator_max_unavailable{backend=\"app\"} 1",
        "warden_coordinator_permit_changes_total{backend=\"app\",change=\"granted\"} 1",
        "warden_coordinator_events_total{event=\"permit_granted\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_way_with_its_requests_counted() {
    let mut pair = Pair::new().await;
    let id = pair.granted().await;
    pair.stand.haproxy.sessions("n1", 2);
    let directives = pair.stand.say(leaves(&mut pair.one, id)).await.unwrap();
    let traffic = &directives.services[0].traffic;
    // Out, and what is left of it counted after that: in the very answer.
    assert_eq!((traffic.confirmed, traffic.by, traffic.sessions), (Confirmed::Out, Holder::Warden, Some(2)));
    assert_eq!((permit(&directives).map(|permit| permit.id), directives.heartbeat_ms), (Some(id), 250));
    // Its last request ends: known within one cycle, and told with the next heartbeat, which is asked for soon.
    pair.stand.haproxy.sessions("n1", 0);
    sleep(CYCLE).await;
    let directives = pair.stand.say(leaves(&mut pair.one, id)).await.unwrap();
    assert_eq!(directives.services[0].traffic.sessions, Some(0));
    // Nobody waits any more: counted once a second again.
    let countings = pair.stand.haproxy.countings();
    sleep(Duration::from_millis(2_200)).await;
    assert!(pair.stand.haproxy.countings() - countings <= 3, "{}", pair.stand.haproxy.countings() - countings);

    pair.stand.haproxy.fit("n1", false);
    pair.stand.say(warms(&mut pair.one, id)).await.unwrap();
    assert_eq!(pair.phase("n1").await.as_deref(), Some("in_use"));
    pair.stand.haproxy.fit("n1", true);
    pair.stand.say(serves(&mut pair.one, "2", 0)).await.unwrap();
    pair.stand.until_traffic("n1", true).await;
    sleep(CYCLE).await;
    let directives = pair.stand.say(serves(&mut pair.one, "2", 1_000)).await.unwrap();
    assert_eq!((permit(&directives), pair.phase("n1").await.as_deref()), (None, Some("soaking")));
    assert!(pair.stand.server("n1").await.permit.unwrap().soaks_for_ms.unwrap() > 29_000);
    for second in 0..29 {
        assert_eq!(waits(&pair.stand.say(asks(&mut pair.two)).await.unwrap()), Some("budget"), "after {second} s");
        pair.stand.say(serves(&mut pair.one, "2", 1_000 * second)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let (one, two) = (tokio::sync::Mutex::new(&mut pair.one), tokio::sync::Mutex::new(&mut pair.two));
    until("the second one's turn", || async {
        pair.stand.say(serves(*one.lock().await, "2", 31_000)).await.unwrap();
        let directives = pair.stand.say(asks(*two.lock().await)).await.unwrap();
        if permit(&directives).is_some() { Ok(()) } else { Err(directives) }
    })
    .await;
    let metrics = pair.stand.metrics.text();
    for change in ["begun", "soaking", "released"] {
        let line = format!("warden_coordinator_permit_changes_total{{backend=\"app\",change=\"{change}\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_replaced_haproxy_still_has_is_not_known() {
    for (before, after) in [(2, None), (0, Some(0))] {
        let mut pair = Pair::new().await;
        let id = pair.granted().await;
        pair.stand.haproxy.sessions("n1", before);
        pair.stand.say(leaves(&mut pair.one, id)).await.unwrap();
        // The old process finishes what it has; the new one has nothing, and runs the server until it is told.
        pair.stand.haproxy.reload();
        let mut policy = policy(1);
        policy.backends.get_mut("app").unwrap().start_by = Span::from_secs(9); // a cycle at once
        pair.stand.calls.send(Call::Policy(policy)).await.unwrap();
        assert!(pair.stand.haproxy.takes_traffic("n1"));
        sleep(CYCLE * 2).await;
        let directives = pair.stand.say(leaves(&mut pair.one, id)).await.unwrap();
        let traffic = &directives.services[0].traffic;
        assert_eq!((traffic.confirmed, traffic.sessions), (Confirmed::Out, after), "{before} before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_tells_a_restarted_coordinator() {
    let mut pair = Pair::new().await;
    let id = pair.granted().await;
    pair.stand.say(leaves(&mut pair.one, id)).await.unwrap();
    let (mut one, mut two) = (pair.one, pair.two);
    let stand = pair.stand.restart_coordinator().await;
    sleep(CYCLE).await;
    assert_eq!(waits(&stand.say(asks(&mut two)).await.unwrap()), Some("unheard"));
    let directives = stand.say(warms(&mut one, id)).await.unwrap();
    assert_eq!(permit(&directives).map(|permit| (permit.id, permit.action.as_str())), Some((id, "restart")));
    assert_eq!(waits(&stand.say(asks(&mut two)).await.unwrap()), Some("budget"));
    let held = stand.server("n1").await.permit.unwrap();
    assert_eq!((held.id, held.phase.as_str()), (id, "in_use"));
    assert!(stand.metrics.text().contains("events_total{event=\"permit_learned\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_gives_no_number_again_that_one_before_it_gave() {
    let mut pair = Pair::new().await;
    let first = pair.granted().await;
    let mut pair = Pair { stand: pair.stand.restart_coordinator().await, ..pair };
    pair.pass(Duration::from_secs(31)).await;
    assert_ne!(pair.granted().await, first);
}

#[tokio::test(start_paused = true)]
async fn a_sick_one_has_its_permit_with_the_answer_that_it_is_out() {
    let mut pair = Pair::new().await;
    pair.pass(Duration::from_secs(1)).await;
    let sick = |voice: &mut Voice| {
        voice.says_as(ServiceState::Sick, |said| {
            said.evidence = Some(Evidence::Suspect);
            said.wants.restart = RestartWish::Ask;
        })
    };
    let directives = pair.stand.say(sick(&mut pair.one)).await.unwrap();
    assert_eq!(directives.services[0].traffic.confirmed, Confirmed::Out);
    assert_eq!(permit(&directives).map(|permit| permit.action.as_str()), Some("suspect"));
    // The floor keeps the other one in; and both at once are a shared cause.
    let directives = pair.stand.say(sick(&mut pair.two)).await.unwrap();
    assert_eq!((directives.services[0].traffic.by, waits(&directives)), (Holder::Floor, Some("in_traffic")));
    pair.stand.haproxy.fit("n2", false);
    pair.stand.until_traffic("n2", false).await;
    sleep(CYCLE).await;
    let directives = pair.stand.say(sick(&mut pair.two)).await.unwrap();
    assert_eq!(waits(&directives), Some("shared_cause"));
    assert!(pair.stand.metrics.text().contains("events_total{event=\"shared_cause\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_without_a_permit_that_counts_stays_in() {
    let mut pair = Pair::new().await;
    let pushed = pair.stand.haproxy.pushed();
    let id = pair.granted().await;
    // Longer than it had to begin; its agent speaks on.
    pair.pass(Duration::from_secs(11)).await;
    let directives = pair.stand.say(leaves(&mut pair.one, id)).await.unwrap();
    let traffic = &directives.services[0].traffic;
    assert_eq!((traffic.wanted, traffic.confirmed, permit(&directives)), (Traffic::In, Confirmed::In, None));
    assert_eq!(pair.stand.haproxy.pushed(), pushed);
    assert_eq!(pair.stand.server("n1").await.note.unwrap().label, "no_permit");
    assert!(pair.stand.metrics.text().contains("events_total{event=\"no_permit\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn while_haproxy_does_not_answer_nothing_is_offered_that_has_not_begun() {
    let mut pair = Pair::new().await;
    let id = pair.granted().await;
    pair.stand.haproxy.trouble(Some(Trouble::Stuck));
    sleep(CYCLE * 2).await;
    assert_eq!(permit(&pair.stand.say(asks(&mut pair.one)).await.unwrap()), None);
    pair.stand.haproxy.trouble(None);
    sleep(CYCLE * 2).await;
    assert_eq!(permit(&pair.stand.say(asks(&mut pair.one)).await.unwrap()).map(|permit| permit.id), Some(id));
    pair.stand.say(leaves(&mut pair.one, id)).await.unwrap();
    pair.stand.haproxy.trouble(Some(Trouble::Stuck));
    sleep(CYCLE * 2).await;
    let directives = pair.stand.say(leaves(&mut pair.one, id)).await.unwrap();
    assert_eq!(permit(&directives).map(|permit| permit.id), Some(id));
}

#[tokio::test(start_paused = true)]
async fn a_new_limit_holds_from_the_next_cycle() {
    let mut pair = Pair::new().await;
    let mut policy = policy(1);
    policy.backends.get_mut("app").unwrap().max_unavailable = MaxUnavailable::Servers(0);
    pair.stand.calls.send(Call::Policy(policy)).await.unwrap();
    pair.stand.say(serves(&mut pair.two, "1", 900_000)).await.unwrap();
    let directives = pair.stand.say(asks(&mut pair.one)).await.unwrap();
    assert_eq!(directives.waits[0].reason.text, "max_unavailable is 0: nothing is taken out by plan");
    assert_eq!(pair.budget().await, (0, 0));
}
