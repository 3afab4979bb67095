//! Agents that say what real ones say, over connections of their own: a heartbeat, and a change now and then.

use super::stage::{Stage, name};
use anyhow::{Result, ensure};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout};
use warden_edge::kept::Kept;
use warden_edge::tls::{Identity, Role, now};
use warden_protocol::v1::Reason;
use warden_protocol::v1::report::{Directives, LastProbe, Report, ServiceReport, Wants};
use warden_protocol::vocab::{Confirmed, Evidence, RestartWish, ServiceState, Traffic, Verdict};

/// One in so many changes its state each second; in small fleets somebody does every other second.
const CHANGES: f64 = 0.01;
/// It is sick for so long.
const SICK_FOR: Duration = Duration::from_secs(2);
/// As the real agent's.
const DEADLINE: Duration = Duration::from_secs(5);
/// After a first failure; doubled with each that follows, jittered by half, and never more than the second one. As the real agent's.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// A handshake takes both ends a millisecond: no more of them begin at first than two cores can do.
const APART: Duration = Duration::from_millis(3);

/// Microseconds: of each report until its answer, of each change until HAProxy confirmed it.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) reports: Vec<u64>,
    pub(super) confirmed: Vec<u64>,
}

/// What all of them share; they run on one thread.
struct Shared {
    seen: RefCell<Seen>,
    changing: Cell<bool>,
    answered: RefCell<Vec<bool>>,
    sick: Cell<usize>,
    failure: RefCell<Option<String>>,
}

/// All of them, ended with this value.
pub(super) struct Agents {
    shared: Rc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Agents {
    /// Everybody begins within one heartbeat, and beats at a time of its own. Runs on the current local set.
    pub(super) fn start(stage: &Stage, count: usize, heartbeat: Duration) -> Self {
        let shared = Rc::new(Shared {
            seen: RefCell::default(),
            changing: Cell::new(false),
            answered: RefCell::new(vec![false; count]),
            sick: Cell::new(0),
            failure: RefCell::default(),
        });
        let chance = CHANGES.max(0.5 / count as f64) * heartbeat.as_secs_f64();
        let agent = |at: usize| {
            let files = stage.files(at);
            let url = format!("https://localhost:{}", stage.listen);
            let agent = Agent { at, node: name(at), seq: 0, heartbeat, chance, dice: at as u64 + 1, shared: Rc::clone(&shared) };
            spawn_local(async move {
                sleep(
                    (heartbeat / u32::try_from(count).unwrap_or(u32::MAX)).max(APART.min(heartbeat / 2)) * u32::try_from(at).unwrap_or(0),
                )
                .await;
                let own = Identity::read(&files, &Role::Client { name: agent.node.clone() }, now(), 1).map_err(|unfit| unfit.text);
                let path = format!("/v1/nodes/{}/report", agent.node);
                match own.and_then(|own| Kept::new(&url, &path, own.client(), 1, "warden-bench")) {
                    Ok(line) => agent.run(line).await,
                    Err(why) => drop(agent.shared.failure.replace(Some(why))),
                }
            })
        };
        Self { tasks: (0..count).map(agent).collect(), shared }
    }

    pub(super) fn changing(&self, on: bool) {
        self.shared.changing.set(on);
    }

    pub(super) fn take(&self) -> Seen {
        self.shared.seen.take()
    }

    pub(super) fn answered(&self) -> usize {
        self.shared.answered.borrow().iter().filter(|answered| **answered).count()
    }

    pub(super) fn forget_answers(&self) {
        self.shared.answered.borrow_mut().fill(false);
    }

    pub(super) fn last_failure(&self) -> Option<String> {
        self.shared.failure.borrow().clone()
    }

    /// Nobody is sick any more.
    pub(super) async fn calm(&self, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        while self.shared.sick.get() > 0 {
            ensure!(Instant::now() < until, "{} are sick", self.shared.sick.get());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

struct Agent {
    at: usize,
    node: String,
    seq: u64,
    heartbeat: Duration,
    /// Of a change at each heartbeat.
    chance: f64,
    dice: u64,
    shared: Rc<Shared>,
}

impl Agent {
    async fn run(mut self, line: Kept) {
        loop {
            let began = Instant::now();
            if self.shared.changing.get() && self.falls_sick() {
                self.shared.sick.set(self.shared.sick.get() + 1);
                let confirmed = self.report(&line, ServiceState::Sick).await;
                if confirmed == Some(Confirmed::Out) {
                    let usec = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.shared.seen.borrow_mut().confirmed.push(usec);
                }
                sleep(SICK_FOR).await;
                self.until_heard(&line).await;
                self.shared.sick.set(self.shared.sick.get() - 1);
            } else {
                self.until_heard(&line).await;
            }
            sleep(self.heartbeat.saturating_sub(began.elapsed())).await;
        }
    }

    /// It serves, and says so until that is heard.
    async fn until_heard(&mut self, line: &Kept) {
        let mut again = AGAIN.0;
        while self.report(line, ServiceState::Serving).await.is_none() {
            let part = 0.5 + self.roll() / 2.0;
            sleep(again.mul_f64(part)).await;
            again = (again * 2).min(AGAIN.1);
        }
    }

    /// From 0 to 1.
    fn roll(&mut self) -> f64 {
        self.dice = self.dice.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.dice >> 40) as f64 / f64::from(1_u32 << 24)
    }

    fn falls_sick(&mut self) -> bool {
        self.roll() < self.chance
    }

    /// What HAProxy does with it, by the answer; nothing when there was none.
    async fn report(&mut self, line: &Kept, state: ServiceState) -> Option<Confirmed> {
        let began = Instant::now();
        let body = serde_json::to_vec(&self.says(state)).unwrap_or_default();
        let answer = match timeout(DEADLINE, line.put(body, 64 * 1024)).await {
            Ok(Ok(answer)) if answer.status == 200 => answer,
            Ok(Ok(answer)) => return self.failed(format!("HTTP {}: {}", answer.status, String::from_utf8_lossy(&answer.body))),
            Ok(Err(error)) => return self.failed(format!("{error:?}")),
            Err(_) => return self.failed(format!("no answer within {} s", DEADLINE.as_secs())),
        };
        let Ok(directives) = serde_json::from_slice::<Directives>(&answer.body) else { return self.failed("no directives".to_owned()) };
        let usec = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.seen.borrow_mut().reports.push(usec);
        if let Some(answered) = self.shared.answered.borrow_mut().get_mut(self.at) {
            *answered = true;
        }
        directives.services.first().map(|directive| directive.traffic.confirmed)
    }

    fn failed(&self, why: String) -> Option<Confirmed> {
        self.shared.failure.replace(Some(why));
        None
    }

    fn says(&mut self, state: ServiceState) -> Report {
        self.seq += 1;
        let sick = state == ServiceState::Sick;
        let (label, text) =
            if sick { ("fatal_pattern", "journal: We all gonna die") } else { ("proven", "2 good probes after a warm-up of 30 s") };
        Report {
            v: warden_protocol::v1::VERSION,
            node: self.node.clone(),
            boot_id: "6e5f8a3c-0d1b-4d2c-9b7a-3f1e2d4c5b6a".to_owned(),
            agent_epoch: 1,
            seq: self.seq,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            services: vec![ServiceReport {
                unit: "bingo.service".to_owned(),
                backend: "app".to_owned(),
                address: String::new(),
                state,
                since_ms: 60_000,
                invocation: "5f2c9e0a4b7d48c1a6e3d2f1b0c9a8e7".to_owned(),
                started_ms_ago: Some(600_000),
                reason: Reason { label: label.to_owned(), text: text.to_owned() },
                evidence: sick.then_some(Evidence::Fatal),
                incident: sick.then(|| "7H2M".to_owned()),
                wants: Wants {
                    traffic: if sick { Traffic::Out } else { Traffic::In },
                    restart: if sick { RestartWish::Now } else { RestartWish::No },
                },
                last_probe: Some(LastProbe { usec: 900, verdict: if sick { Verdict::Bad } else { Verdict::Good } }),
                planned: None,
                permit: None,
                outlook: None,
            }],
        }
    }
}
