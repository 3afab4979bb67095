//! Whoever has to hear of it: Alertmanager, and web addresses.
//!
//! This page asks the loop for the document that people see and has it judged; `send` tells. Names and labels are those of
//! `monitoring/rules`, so that Alertmanager takes what Prometheus finds and what comes from here for one alert.
//!
//! Guarantees: the steering loop is asked for its document and never waits; an alert is told when it begins and when it is over; Alertmanager is
//! told again before it would forget; whoever cannot be reached is tried again and holds up nobody else; what could not be told is in the journal
//! and in a metric. Left to others: what needs a person (`warden_logic::fleet::alerts`), and who is woken up by it (Alertmanager).

mod send;

use crate::metrics::Metrics;
use crate::steer::{Call, Calls};
use send::{Alertmanager, Webhook};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use warden_edge::clock::realtime_micros;
use warden_logic::fleet::alerts::{self, Alerts, News};
use warden_logic::moment::Moment;

/// The document is looked at so often.
const BEAT: Duration = Duration::from_secs(2);
/// The loop's answer is waited for no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// News that wait for a web address which does not answer.
const QUEUE: usize = 256;

/// Who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Alertmanagers, by their base URLs.
    pub alertmanager: Vec<String>,
    /// Web addresses.
    pub webhook: Vec<String>,
}

impl Targets {
    /// True when there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alertmanager.is_empty() && self.webhook.is_empty()
    }
}

/// Tells for ever. `instance`: the balancer's name.
pub async fn run(targets: Targets, calls: Calls, metrics: Arc<Metrics>, instance: String, clock: fn() -> Moment) {
    let (current, of_current) = watch::channel(Vec::new());
    let mut tasks = JoinSet::new();
    for url in targets.alertmanager {
        tasks.spawn(Alertmanager::new(url, instance.clone(), Arc::clone(&metrics)).run(of_current.clone()));
    }
    let mut queues = Vec::new();
    for url in targets.webhook {
        let (queue, queued) = mpsc::channel::<News>(QUEUE);
        tasks.spawn(Webhook::new(url.clone(), instance.clone(), Arc::clone(&metrics)).run(queued));
        queues.push((url, queue));
    }
    let mut known = Alerts::default();
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let (answer, answered) = oneshot::channel();
        let asked = async {
            calls.send(Call::Fleet { answer }).await.ok()?;
            answered.await.ok()
        };
        // A loop that is stuck is seen by systemd's watchdog, which ends all of this.
        let Some(fleet) = timeout(PATIENCE, asked).await.ok().flatten() else { continue };
        let news = known.step(clock(), realtime_micros() / 1_000, alerts::of(&fleet));
        for one in &news {
            for (url, queue) in &queues {
                if queue.try_send(one.clone()).is_err() {
                    metrics.notified("webhook", false);
                    tracing::error!(
                        WARDEN_EVENT = "notification_failed",
                        "{url} was not told of {}: too much waits for it",
                        one.alert.name
                    );
                }
            }
        }
        let told = known.told();
        current.send_if_modified(|held| {
            // A sentence that says how long it lasts by now goes out with the next beat, and is no reason for one.
            let what = |news: &News| (news.alert.clone(), news.over_unix_ms);
            let same = held.iter().map(what).eq(told.iter().map(what));
            *held = told;
            !same
        });
    }
}
