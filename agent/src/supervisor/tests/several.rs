//! Several services, several questions, and what is kept of an incident.

use super::*;
use crate::incident::{Bounds, Place};

fn two() -> Stage {
    Stage::of(vec![Machine::new(policy(), BEGIN), Machine::new(second(), BEGIN)], None)
}

#[tokio::test(start_paused = true)]
async fn each_service_is_asked_its_own_questions_and_judged_by_its_own_answers() {
    let mut stage = two();
    stage.feed.send((1, Input::Unit(reading(ActiveState::Active, 9, Moment::default())))).await.unwrap();
    let mut asked = std::collections::HashSet::new();
    stage
        .until_asked(|question| {
            asked.insert(question);
            asked.len() == 3
        })
        .await;
    assert_eq!(asked, [Question::Probe(0), Question::Probe(1), Question::Depends(0)].into());
    let board = stage.until("serving", |board| board.services[1].view.state == ServiceState::Serving).await;
    assert_eq!(board.services[0].view.state, ServiceState::Unknown, "of the other nothing is known");
    assert!(board.services[1].probes.iter().all(|said| said.good >= 1));
}

impl Stage {
    /// Answers everything with good until `enough`, and goes on doing so.
    async fn until_asked(&mut self, mut enough: impl FnMut(Question) -> bool) {
        let mut done = false;
        for _ in 0..200 {
            let asked = timeout(PATIENCE, self.asked.recv()).await.expect("a probe is sent").unwrap();
            assert_eq!(asked.service, 1);
            done |= enough(asked.question);
            asked.answer.send(said(Verdict::Good)).unwrap();
            let serves = self.board.borrow().services[1].view.state == ServiceState::Serving;
            if done && serves {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("it was never asked everything");
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_read_and_shown() {
    let mut stage = Stage::serving().await;
    stage.books.lock().unwrap().memory = Some((Invocation(1), 14_200_000));
    stage.until("memory", |board| board.services[0].view.memory == Some(14_200_000)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_takes_too_long_is_helped_along() {
    let mut stage = Stage::serving().await;
    stage.doom().await;
    stage.answer(Verdict::Bad).await;
    stage.directive(Confirmed::Out, Holder::Warden).await;
    let restart = stage.restart().await;
    restart.answered.send(stage.clock.now()).unwrap();
    let killed = async {
        while stage.books.lock().unwrap().killed.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, killed).await.expect("it is killed");
    assert_eq!(stage.books.lock().unwrap().killed, [UNIT]);
}

/// From the first evidence to serving again: one folder, with what happened in its order.
#[tokio::test]
async fn an_incident_is_kept_with_its_evidence() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place {
        directory: directory.path().to_owned(),
        node: "bingo-1".to_owned(),
        boot_id: "b".to_owned(),
        bounds: Bounds { keep: 10, max_bytes: 1 << 20 },
        journalctl: vec!["true".to_owned()],
    };
    let (desk, keeper) = incident::Desk::start(place).unwrap();
    let quick = Policy { warmup: Span::ZERO, ..policy() };
    let mut stage = Stage::of(vec![Machine::new(quick, BEGIN)], Some(desk.clone()));
    stage.tell(Input::Unit(reading(ActiveState::Active, 1, Moment::default()))).await;
    stage.answer(Verdict::Good).await;
    stage.answer(Verdict::Good).await;
    stage.directive(Confirmed::In, Holder::Haproxy).await;
    stage.state(ServiceState::Serving).await;
    stage.doom().await;
    let incident = stage.state(ServiceState::Sick).await.services[0].view.incident.clone().unwrap();
    stage.directive(Confirmed::Out, Holder::Warden).await;
    stage.answer(Verdict::Bad).await;
    let restart = stage.restart().await;
    restart.answered.send(stage.clock.now()).unwrap();
    stage.tell(Input::Unit(reading(ActiveState::Active, 2, stage.clock.now()))).await;
    restart.ended.send(Restarted { answered: Some(stage.clock.now()), result: JobResult::Done, unkilled: None }).unwrap();
    stage.answer(Verdict::Good).await;
    stage.answer(Verdict::Good).await;
    stage.state(ServiceState::Serving).await;
    assert!(keeper.stop().await);
    let folder = directory.path().join(format!("{incident}-{UNIT}"));
    let document: warden_protocol::v1::incident::Incident =
        serde_json::from_slice(&std::fs::read(folder.join("incident.json")).unwrap()).unwrap();
    let notes: Vec<_> = document.timeline.iter().map(|note| note.text.as_str()).collect();
    let order =
        ["serving → sick", "out of rotation", "a restart is asked for", "systemd accepted", "the restart job ended as done", "→ serving"];
    let mut at = 0;
    for step in order {
        let found = notes[at..].iter().position(|note| note.contains(step));
        at += found.unwrap_or_else(|| panic!("{step:?} after {at} in {notes:#?}")) + 1;
    }
    assert_eq!((document.restarts, document.ended.is_some(), document.cause.label.as_str()), (1, true, "fatal_pattern"));
    assert_eq!(std::fs::read_to_string(folder.join("answer.txt")).unwrap(), "500 \"I feel bad.\"\n");
    assert!(folder.join("proc-status.txt").exists());
}
