//! What units say of themselves (`STATUS=`, systemd's `StatusText`), held against patterns.
//!
//! A status is not an event, it stands until it is replaced: one that matches counts when it comes, and again as long as it stands. So a
//! pattern's `count` says for how long, and a status that stands keeps its service under suspicion.
//!
//! Left to others: reading the text (`crate::systemd`), what a hit means (`warden_logic::service`).

use crate::feed::Feed;
use crate::journal::Matcher;
use crate::journal::matcher::Message;
use crate::printable::{SHOWN_CHARS, escaped};
use crate::systemd::Reading;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use warden_edge::clock::monotonic_micros;
use warden_logic::moment::Moment;
use warden_logic::service::input::{Input, Invocation, LogHit};

/// What stands is counted so often: with the defaults of a pattern that means `suspect`, after 20 s.
const AGAIN: Duration = Duration::from_secs(10);

/// One pattern of one service's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRule {
    /// The service's index in the configuration.
    pub service: usize,
    /// The pattern's index in the service's policy.
    pub pattern: usize,
    /// How a status is recognised.
    pub matcher: Matcher,
}

/// A rule and what it has matched.
struct Followed {
    rule: StatusRule,
    /// The instance and its status, while they match, and when that counts next.
    stands: Option<(Invocation, String, Instant)>,
}

impl Followed {
    /// The hit that this reading is, if it is one now.
    fn look(&mut self, reading: Option<&Reading>, now: Instant) -> Option<LogHit> {
        let said = reading.and_then(|reading| reading.seen.invocation.zip(reading.status.as_deref()));
        let Some((invocation, status)) = said.filter(|(_, status)| self.rule.matcher.matches(&Message::of(status.as_bytes()))) else {
            self.stands = None;
            return None;
        };
        let same = self.stands.as_ref().filter(|(of, text, _)| *of == invocation && text == status);
        if same.is_some_and(|(_, _, next)| *next > now) {
            return None;
        }
        self.stands = Some((invocation, status.to_owned(), now + AGAIN));
        let line = format!("status: {}", escaped(status, SHOWN_CHARS));
        Some(LogHit { invocation, pattern: self.rule.pattern, line, at: Moment::from_micros(monotonic_micros()) })
    }
}

/// Follows the readings until nobody makes them, or nobody listens, any more.
pub async fn follow(rules: Vec<StatusRule>, mut readings: watch::Receiver<Vec<Option<Reading>>>, feed: Feed) {
    let mut followed: Vec<_> = rules.into_iter().map(|rule| Followed { rule, stands: None }).collect();
    if followed.is_empty() {
        return;
    }
    loop {
        let hits: Vec<_> = {
            let readings = readings.borrow_and_update();
            let now = Instant::now();
            let looked = |followed: &mut Followed| {
                let service = followed.rule.service;
                let hit = followed.look(readings.get(service).and_then(Option::as_ref), now)?;
                Some((service, Input::LogHit(hit)))
            };
            followed.iter_mut().filter_map(looked).collect()
        };
        for hit in hits {
            if feed.send(hit).await.is_err() {
                return;
            }
        }
        let next = followed.iter().filter_map(|followed| followed.stands.as_ref().map(|(_, _, next)| *next)).min();
        // Both arms are cancel safe, and neither has a body that waits.
        tokio::select! {
            changed = readings.changed() => if changed.is_err() { return },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warden_logic::service::input::{ActiveState, RestartSetting, UnitSeen};

    fn reading(invocation: u128, status: &str) -> Reading {
        Reading {
            seen: UnitSeen {
                loaded: true,
                active: ActiveState::Active,
                sub: "running".to_owned(),
                result: "success".to_owned(),
                invocation: Some(Invocation(invocation)),
                main_pid: 7,
                started: Some(Moment::default()),
                restart: RestartSetting::Always,
                job: false,
                start_limit: None,
            },
            memory: None,
            memory_max: None,
            control_group: None,
            restarts: 0,
            status: (!status.is_empty()).then(|| status.to_owned()),
            watchdog: None,
            last_exit: None,
            start_limit: None,
            job_limit: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_counts_when_it_comes_and_as_long_as_it_stands() {
        let (say, readings) = watch::channel(vec![None, Some(reading(1, "degraded: no disk"))]);
        let (feed, mut facts) = tokio::sync::mpsc::channel(8);
        let rule = StatusRule { service: 1, pattern: 3, matcher: Matcher::Contains("degraded".to_owned()) };
        let task = tokio::spawn(follow(vec![rule], readings, feed));
        let mut hit = async || match facts.recv().await {
            Some((1, Input::LogHit(hit))) => (hit.invocation.0, hit.pattern, hit.line),
            other => panic!("{other:?}"),
        };
        let begin = Instant::now();
        assert_eq!(hit().await, (1, 3, "status: degraded: no disk".to_owned()));
        // Other readings of the same say nothing new.
        say.send_modify(|readings| readings[0] = Some(reading(9, "degraded")));
        assert_eq!(hit().await.0, 1);
        assert!(begin.elapsed() >= AGAIN, "it counted again after {:?}", begin.elapsed());
        // Another text, or another instance, counts at once; one that does not match ends it.
        say.send_modify(|readings| readings[1] = Some(reading(1, "degraded: no memory")));
        assert_eq!(hit().await.2, "status: degraded: no memory");
        say.send_modify(|readings| readings[1] = Some(reading(2, "degraded: no memory")));
        assert_eq!(hit().await.0, 2);
        assert!(begin.elapsed() < AGAIN * 2);
        say.send_modify(|readings| readings[1] = Some(reading(2, "ready")));
        tokio::time::sleep(AGAIN * 3).await;
        say.send_modify(|readings| readings[1] = Some(reading(2, "degraded again")));
        assert_eq!(hit().await.2, "status: degraded again");
        drop(say);
        task.await.unwrap();
    }
}
