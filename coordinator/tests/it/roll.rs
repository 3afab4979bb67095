//! A roll in the steering loop on a paused clock: orders in the answers, what is shown, what is kept.

use crate::permits::{leaves, serves, warms};
use crate::steering::Stand;
use crate::support::voice::Voice;
use crate::wishes::pair;
use std::time::Duration;
use tokio::time::sleep;
use warden_logic::fleet::roll::Asked;
use warden_logic::fleet::wishes::{Refusal, Wish};
use warden_protocol::v1::fleet::RollStatus;
use warden_protocol::v1::report::{Directives, Report};
use warden_protocol::vocab::{Confirmed, RestartWish, ServiceState};

fn roll() -> Wish {
    Wish::Roll(Asked::default())
}

/// It has heard of the order, and asks for leave.
fn obeys(voice: &mut Voice) -> Report {
    voice.says_as(ServiceState::Serving, |said| {
        (said.invocation, said.since_ms) = ("1".to_owned(), 900_000);
        (said.wants.restart, said.planned) = (RestartWish::Ask, Some("roll".to_owned()));
    })
}

fn ordered(directives: &Directives) -> Option<&str> {
    directives.services[0].restart.as_deref()
}

async fn shown(stand: &Stand) -> RollStatus {
    stand.fleet().await.roll.unwrap()
}

async fn states(stand: &Stand) -> Vec<String> {
    shown(stand).await.servers.into_iter().map(|server| server.state).collect()
}

/// From the order to being back: leave, out, restarted, proven. Returns when it serves at its full weight.
async fn obeys_all_the_way(stand: &Stand, voice: &mut Voice, name: &str) {
    let directives = stand.say(obeys(voice)).await.unwrap();
    assert_eq!(ordered(&directives), Some("1"));
    let permit = directives.services[0].permit.as_ref().expect("a permit in the very answer");
    assert_eq!(permit.action, "roll");
    let directives = stand.say(leaves(voice, permit.id)).await.unwrap();
    assert_eq!(directives.services[0].traffic.confirmed, Confirmed::Out);
    let directives = stand.say(warms(voice, permit.id)).await.unwrap();
    assert_eq!(ordered(&directives), None, "the instance that was meant is no more");
    stand.say(serves(voice, "2", 0)).await.unwrap();
    stand.until_traffic(name, true).await;
}

#[tokio::test(start_paused = true)]
async fn one_after_the_other_is_restarted_over_a_restart_of_the_coordinator() {
    let (stand, mut one, mut two) = pair().await;
    let said = stand.wish(roll()).await.unwrap();
    assert_eq!(said, "rolling app: 2 servers, at most 1 at once, each well for 30 s before the next");
    assert_eq!(states(&stand).await, ["ordered", "waits"]);
    assert_eq!(ordered(&stand.say(serves(&mut two, "1", 900_000)).await.unwrap()), None, "it is not its turn");
    obeys_all_the_way(&stand, &mut one, "n1").await;
    assert_eq!(ordered(&stand.say(serves(&mut two, "1", 900_000)).await.unwrap()), None, "the first one soaks");

    let stand = stand.restart_coordinator().await;
    for _ in 0..70 {
        stand.say(serves(&mut one, "2", 60_000)).await.unwrap();
        stand.say(serves(&mut two, "1", 900_000)).await.unwrap();
        if states(&stand).await[1] == "ordered" {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(states(&stand).await, ["done", "ordered"], "{:?}", shown(&stand).await);
    obeys_all_the_way(&stand, &mut two, "n2").await;
    for _ in 0..40 {
        stand.say(serves(&mut one, "2", 60_000)).await.unwrap();
        stand.say(serves(&mut two, "2", 60_000)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let roll = shown(&stand).await;
    assert_eq!((roll.state.as_str(), roll.text.as_str()), ("done", "2 of 2 restarted"));
    let events = stand.events();
    assert!(events.contains(&"roll_server") && events.contains(&"roll_done"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_that_is_sick_after_it_stops_it_and_an_operator_may_end_it() {
    let (stand, mut one, mut two) = pair().await;
    stand.wish(roll()).await.unwrap();
    obeys_all_the_way(&stand, &mut one, "n1").await;
    let sick = one.says_as(ServiceState::Sick, |said| said.invocation = "2".to_owned());
    stand.say(sick).await.unwrap();
    let roll_status = shown(&stand).await;
    assert_eq!(roll_status.state, "stopped");
    assert!(roll_status.text.starts_with("0 of 2 restarted: app/n1: it was restarted, and is sick: "), "{}", roll_status.text);
    assert!(stand.events().contains(&"roll_stopped"));
    stand.say(serves(&mut two, "1", 900_000)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ordered(&stand.say(serves(&mut two, "1", 900_000)).await.unwrap()), None);

    // A new one takes its place, is refused beside itself, and ends at an operator's word.
    stand.say(serves(&mut one, "3", 0)).await.unwrap();
    stand.wish(roll()).await.unwrap();
    assert!(matches!(stand.wish(roll()).await, Err(Refusal::Refused(text)) if text.contains("is under way")));
    let said = stand.wish(Wish::EndRoll).await.unwrap();
    assert_eq!(said, "nothing more of the roll of anna: disk swap begins; what is under way comes to its own end");
    assert_eq!(shown(&stand).await.text, "0 of 2 restarted: stopped by anna: disk swap");
    stand.wish(Wish::EndRoll).await.unwrap();
    assert_eq!(stand.fleet().await.roll, None);
}
