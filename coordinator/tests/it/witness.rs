//! The second witness in the steering loop on a paused clock.

use crate::permits::serves;
use crate::steering::Stand;
use crate::support::voice::Voice;
use crate::wishes::pair;
use std::time::Duration;
use tokio::time::sleep;
use warden_protocol::v1::report::Witness;
use warden_protocol::vocab::{Confirmed, Traffic};

/// So many seconds, in which both serve and the first one's requests fail as said. What its agent is told in the end.
async fn pass(stand: &Stand, one: &mut Voice, two: &mut Voice, seconds: u32, failed: u64) -> Option<Witness> {
    let mut told = None;
    for _ in 0..seconds {
        stand.haproxy.traffic("n1", 30, failed);
        stand.haproxy.traffic("n2", 30, 0);
        sleep(Duration::from_secs(1)).await;
        stand.say(serves(two, "1", 900_000)).await.unwrap();
        let directives = stand.say(serves(one, "1", 900_000)).await.unwrap();
        told = directives.services[0].witness.clone();
        let traffic = &directives.services[0].traffic;
        assert_eq!((traffic.wanted, traffic.confirmed), (Traffic::In, Confirmed::In), "nothing is moved for it");
    }
    told
}

#[tokio::test(start_paused = true)]
async fn failing_traffic_is_told_to_the_agent_and_shown_until_it_is_over() {
    let (stand, mut one, mut two) = pair().await;
    let told = pass(&stand, &mut one, &mut two, 8, 0).await.unwrap();
    assert!(!told.suspect && told.failed == 0 && told.requests >= 120, "{told:?}");
    let told = pass(&stand, &mut one, &mut two, 8, 15).await.unwrap();
    assert!(told.suspect && told.failed * 2 == told.requests && told.invocation == "1" && told.window_ms >= 5_000, "{told:?}");
    let note = stand.server("n1").await.note.unwrap();
    assert_eq!(note.label, "disagreement");
    assert!(note.text.starts_with("its agent says that it is well, and "), "{}", note.text);
    assert_eq!(stand.server("n2").await.note, None);
    let gauge = "warden_coordinator_disagreements{backend=\"app\",server=\"n1\",with=\"traffic\"} 1";
    assert!(stand.metrics.text().contains(gauge), "{}", stand.metrics.text());
    assert_eq!(stand.events().iter().filter(|kind| **kind == "disagreement").count(), 1);

    let told = pass(&stand, &mut one, &mut two, 8, 0).await.unwrap();
    assert!(!told.suspect, "{told:?}");
    assert_eq!((stand.server("n1").await.note, stand.events()[0]), (None, "disagreement_over"));
}
