//! What ends a control loop, what it leaves, and how another goes on with that.

use super::*;
use serde::Deserialize;
use tokio::sync::oneshot;
use warden_logic::service::input::{Operator, Order as Wish};
use warden_protocol::v1::error::ErrorCode;

#[derive(Deserialize)]
struct Begin {
    service: usize,
    machine: Machine,
}

#[derive(Deserialize)]
struct Told {
    service: usize,
    now: Moment,
    roll: u64,
    input: Input,
}

impl Stage {
    async fn ordered<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> T {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.unwrap();
        timeout(PATIENCE, answer).await.expect("an answer").unwrap()
    }

    async fn wish(&self, order: Wish) -> Result<String, Refusal> {
        let operator = Operator { by: "anna".to_owned(), reason: "new disk".to_owned(), order };
        self.ordered(|reply| Order::Operator { unit: UNIT.to_owned(), operator, reply }).await
    }

    async fn reload(&self, comes_to: Result<Reloaded<&'static str>, Refusal>) -> oneshot::Receiver<Result<String, Refusal>> {
        self.books.lock().unwrap().reload = Some(comes_to);
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Reload { reply: Some(reply) }).await.unwrap();
        answer
    }
}

#[tokio::test(start_paused = true)]
async fn what_happened_can_be_replayed_whenever_the_trace_is_taken() {
    let mut stage = Stage::serving().await;
    // Longer than a trace: its begin is not the machine's.
    for _ in 0..1_300 {
        stage.tell(Input::Memory { invocation: Invocation(1), bytes: 1_000 }).await;
    }
    stage.doom().await;
    stage.answer(Verdict::Good).await;
    stage.state(ServiceState::Sick).await;
    let text = stage.ordered(|reply| Order::Trace { reply }).await;
    let view = stage.board.borrow().services[0].view.clone();
    stage.orders.send(Order::Dump { reply: None }).await.unwrap();
    stage.orders.send(Order::Stop).await.unwrap();
    let (ended, rest) = timeout(PATIENCE, stage.task).await.unwrap().unwrap();
    assert!(matches!(ended, Ended::Stopped));
    let dumped = std::fs::read_to_string(stage.trace.path().join("trace.jsonl")).unwrap();
    assert!(dumped.starts_with(&text), "a dump says the same");
    let mut machines = std::collections::BTreeMap::new();
    let mut last = BEGIN;
    for line in text.lines() {
        if let Ok(Begin { service, machine }) = serde_json::from_str(line) {
            machines.insert(service, machine);
            continue;
        }
        let Told { service, now, roll, input } = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        last = now;
        machines.get_mut(&service).unwrap().handle(now, roll, input);
    }
    let replayed = machines[&0].view(last);
    assert_eq!((replayed.state, replayed.reason, replayed.incident), (view.state, view.reason, view.incident));
    assert_eq!(rest.saved.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_goes_on_where_it_was_and_a_line_that_was_handed_over_is_not_lost() {
    let mut stage = Stage::serving().await;
    assert!(stage.wish(Wish::Maintain { until: None }).await.unwrap().contains("left alone until maintenance is ended"));
    stage.state(ServiceState::Maintenance).await;
    stage.wish(Wish::Resume).await.unwrap();
    // It is out, and must prove itself.
    stage.answer(Verdict::Good).await;
    stage.answer(Verdict::Good).await;
    stage.state(ServiceState::Serving).await;
    let before = stage.board.borrow().services[0].view.clone();
    let answer = stage.reload(Ok(Reloaded::New { next: "the new one", said: "every: 1s → 2s".to_owned() })).await;
    let (ended, rest) = timeout(PATIENCE, stage.task).await.unwrap().unwrap();
    let Ended::Reload { next, said, reply } = ended else { panic!("it was to let another go on") };
    assert_eq!((next, said.as_str()), ("the new one", "every: 1s → 2s"));
    reply.unwrap().send(Ok(said)).unwrap();
    assert!(answer.await.unwrap().is_ok());
    let (unit, saved) = rest.saved.into_iter().next().unwrap();
    assert_eq!(unit, UNIT);
    let now = stage.clock.now();
    let machine = Machine::resume(policy(), now, saved);
    let mut next = Stage::of(vec![machine], None);
    let view = next.board.borrow().services[0].view.clone();
    assert_eq!((view.state, view.since, view.restarts, view.instance), (before.state, before.since, before.restarts, before.instance));
    // The same instance: it serves on, and is asked again.
    next.tell(Input::Unit(reading(ActiveState::Active, 1, Moment::default()))).await;
    next.answer(Verdict::Good).await;
    next.until("an answer", |board| board.services[0].probes[0].good == 1).await;
    assert_eq!(next.board.borrow().services[0].view.state, ServiceState::Serving);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_refused_changes_nothing() {
    let mut stage = Stage::serving().await;
    let why = Refusal::new(ErrorCode::Refused, "50-bingo.toml:6:1: unknown key");
    let answer = stage.reload(Err(why.clone())).await;
    assert_eq!(answer.await.unwrap(), Err(why));
    let answer = stage.reload(Ok(Reloaded::Same("it says the same".to_owned()))).await;
    assert_eq!(answer.await.unwrap(), Ok("it says the same".to_owned()));
    stage.answer(Verdict::Good).await;
    assert!(!stage.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn what_is_decided_is_kept_at_once_and_what_only_counts_on_a_little_later() {
    let mut stage = Stage::serving().await;
    let kept = |stage: &Stage| stage.books.lock().unwrap().kept.len();
    let until_more_than = async |stage: &Stage, before: usize| {
        let more = async {
            while kept(stage) <= before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, more).await.expect("something more is kept");
    };
    // On the paused clock: whatever was to be written by then has been.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = kept(&stage);
    assert!(before > 0, "that it serves was kept");
    stage.answer(Verdict::Good).await;
    stage.answer(Verdict::Good).await;
    assert_eq!(kept(&stage), before, "good answers are not written one by one");
    let began = stage.clock.now();
    stage.doom().await;
    stage.state(ServiceState::Sick).await;
    until_more_than(&stage, before).await;
    assert!(stage.clock.now().since(began) < Span::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_order_is_answered_with_what_comes_of_it() {
    let mut stage = Stage::serving().await;
    assert_eq!(stage.wish(Wish::Undrain).await.unwrap_err().message, "bingo.service: it is not drained");
    let said = stage.wish(Wish::Drain).await.unwrap();
    assert!(said.starts_with("bingo.service: it is taken out of rotation"), "{said}");
    let board = stage.until("drained", |board| board.services[0].view.traffic == Traffic::Out).await;
    let mark = board.services[0].view.mark.as_ref().unwrap();
    assert_eq!((mark.by.as_str(), mark.reason.as_str()), ("anna", "new disk"));
    let operator = Operator { by: "anna".to_owned(), reason: String::new(), order: Wish::Drain };
    let refused = stage.ordered(|reply| Order::Operator { unit: "bongo.service".to_owned(), operator, reply }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotFound);
    assert!(refused.message.contains("bongo.service") && refused.message.contains("bingo.service"), "{}", refused.message);
}
