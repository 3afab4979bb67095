//! What operators want, in the steering loop on a paused clock.

use crate::permits::{asks, leaves, serves};
use crate::steering::{Stand, clock};
use crate::support::until;
use crate::support::voice::Voice;
use axum::Extension;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use warden_coordinator::api;
use warden_coordinator::trust::Trust;
use warden_edge::serve::{self, Peer};
use warden_logic::fleet::wishes::Wish;
use warden_logic::moment::Span;
use warden_protocol::vocab::{Confirmed, Holder, ServiceState, Traffic};

fn drain(name: &str) -> Wish {
    Wish::Drain { name: name.to_owned() }
}

fn undrain(name: &str) -> Wish {
    Wish::Undrain { name: name.to_owned() }
}

/// Both serve, and have done so for long; this coordinator too.
pub(crate) async fn pair() -> (Stand, Voice, Voice) {
    let (stand, mut one, mut two) = (Stand::new(), Voice::of("n1"), Voice::of("n2"));
    let end = clock().plus(Span::from_secs(31));
    while clock() < end {
        stand.say(serves(&mut one, "1", 900_000)).await.unwrap();
        stand.say(serves(&mut two, "1", 900_000)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    (stand, one, two)
}

#[tokio::test(start_paused = true)]
async fn a_drained_server_is_out_until_it_is_undrained_and_nobody_takes_it_for_a_mark() {
    let (stand, mut one, mut two) = pair().await;
    let before = clock();
    let said = stand.wish(drain("n1")).await.unwrap();
    assert_eq!(said, "app/n1 is out of rotation, confirmed by HAProxy; what is in flight finishes");
    assert_eq!((clock(), stand.haproxy.takes_traffic("n1")), (before, false), "it waited for a timer");
    let directives = stand.say(serves(&mut one, "1", 900_000)).await.unwrap();
    let traffic = &directives.services[0].traffic;
    assert_eq!((traffic.wanted, traffic.confirmed, traffic.by), (Traffic::Out, Confirmed::Out, Holder::Warden));
    let server = stand.server("n1").await;
    let (drain, note) = (server.drain.unwrap(), server.note.unwrap());
    assert_eq!((drain.by.as_str(), drain.reason.as_str(), note.label.as_str()), ("anna", "disk swap", "drained"));

    // It outlives the coordinator, and holds before any agent speaks.
    let stand = stand.restart_coordinator().await;
    stand.until_traffic("n1", false).await;
    until("the new one knows of the drain", || async {
        let server = stand.server("n1").await;
        if server.drain.is_some() && server.traffic.wanted == Traffic::Out { Ok(()) } else { Err(server) }
    })
    .await;

    let said = stand.wish(undrain("n1")).await.unwrap();
    assert_eq!(said, "app/n1 is no longer drained: in as soon as HAProxy's own check has passed afresh");
    stand.until_traffic("n1", true).await;
    stand.say(serves(&mut one, "1", 900_000)).await.unwrap();
    stand.say(serves(&mut two, "1", 900_000)).await.unwrap();
    let events: Vec<_> = stand.events();
    assert_eq!(events.iter().filter(|kind| matches!(**kind, "drained" | "undrained")).count(), 1, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_one_stays_in_and_whoever_drained_it_is_told() {
    let (stand, mut one, _two) = pair().await;
    stand.wish(drain("n1")).await.unwrap();
    let said = stand.wish(drain("n2")).await.unwrap();
    assert_eq!(
        said,
        "app/n2 is still in rotation: it is drained; it stays in, because 0 other servers take traffic and min_in_traffic is 1"
    );
    assert!(stand.fleet().await.backends[0].floor_holds && stand.server("n2").await.drain.is_some());
    stand.wish(undrain("n1")).await.unwrap();
    stand.say(serves(&mut one, "1", 900_000)).await.unwrap();
    stand.until_traffic("n2", false).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_gives_nothing_and_stops_neither_a_fatal_fault_nor_the_way_back() {
    let (stand, mut one, mut two) = pair().await;
    let said = stand.wish(Wish::Pause { lasts: Some(Span::from_secs(60)) }).await.unwrap();
    assert_eq!(said, "paused for 1 min: no permit is given and nothing is begun by plan; what is out goes back as ever");
    stand.say(serves(&mut two, "1", 900_000)).await.unwrap();
    let directives = stand.say(asks(&mut one)).await.unwrap();
    assert_eq!((&directives.services[0].permit, directives.waits[0].reason.label.as_str()), (&None, "paused"));
    // One that leaves all the same stays in.
    let directives = stand.say(leaves(&mut one, 7)).await.unwrap();
    assert_eq!(directives.services[0].traffic.confirmed, Confirmed::In);
    stand.say(serves(&mut one, "1", 900_000)).await.unwrap();

    let fatal = stand.say(two.says(ServiceState::Sick)).await.unwrap();
    assert_eq!(fatal.services[0].traffic.confirmed, Confirmed::Out);
    stand.say(two.says(ServiceState::Serving)).await.unwrap();
    stand.until_traffic("n2", true).await;

    let pause = stand.fleet().await.pause.unwrap();
    assert!(pause.by == "anna" && pause.ends_in_ms.is_some_and(|ms| ms <= 60_000), "{pause:?}");
    sleep(Duration::from_secs(61)).await;
    assert_eq!(stand.fleet().await.pause, None);
    assert!(stand.metrics.text().contains("warden_coordinator_paused 0"));
    assert!(stand.events().contains(&"paused") && stand.events().contains(&"resumed"), "{:?}", stand.events());
}

/// Whoever is in no group may look, is told what it takes, and reaches nobody.
#[tokio::test]
async fn a_stranger_may_not_act() {
    let (calls, mut heard) = mpsc::channel(1);
    let (_operators, of_reload) = watch::channel(api::Operators { group: "no-such-group".to_owned(), names: Vec::new() });
    let stranger = Peer { uid: 3_999_999_999, gid: 3_999_999_999, pid: None };
    let trust = Arc::new(Trust::new(None, Arc::default(), warden_coordinator::now));
    let router = api::admin(api::Desk::open(calls, of_reload, trust)).layer(Extension(stranger));
    let listener = serve::bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve::tcp(listener, router, api::limits()));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    for uri in ["fleet/pause", "fleet/resume", "servers/n1/drain", "servers/n1/undrain", "fleet/roll", "fleet/end-roll", "fleet/nonsense"] {
        let answer = client.post(format!("http://{address}/v1/{uri}")).body("not even JSON").send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(
            status == 403 && text.contains("may look, and not change anything here: that takes group no-such-group"),
            "{uri}: {status} {text}"
        );
    }
    let answer = client.post(format!("http://{address}/v1/roll")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 404);
    assert!(heard.try_recv().is_err(), "something reached the loop");
    server.abort();
}
