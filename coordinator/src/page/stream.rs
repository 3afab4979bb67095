//! One looker's stream of events: the whole page first, unless it has it already, then what changes; a beat when nothing does.
//!
//! Guarantees: nothing is queued. Each looker has the page that it was sent last, and what it is sent next is what makes the newest
//! of it, however many came between; so a slow one gets fewer and larger events. One that takes nothing at all is let go by the server
//! (`warden_edge::serve`, `stall`).

use super::current::{Current, Look};
use super::frame::Change;
use axum::response::sse::Event;
use futures_util::stream::{Stream, unfold};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

/// Without news, so often a beat. The script calls the page old after three of them.
pub(super) const BEAT: Duration = Duration::from_secs(5);
/// How long a browser waits before it comes again.
const RETRY: Duration = Duration::from_secs(2);

/// One looker.
struct Looker {
    current: Arc<Current>,
    build: Arc<str>,
    /// Which state of the page it came with.
    came_with: Option<String>,
    greeted: bool,
    has: Option<Look>,
    told: Instant,
    wait: Duration,
    /// It has been told that the loop does not answer.
    stuck: bool,
    _seat: OwnedSemaphorePermit,
}

/// The name of a state of the page: another coordinator's, or another run's, is never the same.
pub(super) fn version(build: &str, number: u64) -> String {
    format!("{build}.{number}")
}

/// The events for one looker, for as long as it reads them.
pub(super) fn events(
    current: Arc<Current>,
    build: Arc<str>,
    came_with: Option<String>,
    seat: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let (has, told, wait) = (None, Instant::now(), Duration::ZERO);
    let looker = Looker { current, build, came_with, greeted: false, has, told, wait, stuck: false, _seat: seat };
    unfold(looker, |mut looker| async move {
        let event = looker.next().await;
        Some((Ok(event), looker))
    })
}

impl Looker {
    /// Waits until there is something to say.
    async fn next(&mut self) -> Event {
        if !self.greeted {
            self.greeted = true;
            // A browser that sees another build loads the page again: its script may not understand what follows.
            let text = format!(r#"{{"build":"{}","now":{},"beat":{}}}"#, self.build, self.current.now(), BEAT.as_millis());
            return Event::default().event("hello").retry(RETRY).data(text);
        }
        loop {
            sleep(self.wait).await;
            let (look, wait) = self.current.look().await;
            self.wait = wait;
            let event = match look {
                Some(look) => self.of(look),
                None => self.of_silence(),
            };
            if let Some(event) = event {
                self.told = Instant::now();
                return event;
            }
        }
    }

    fn of(&mut self, look: Look) -> Option<Event> {
        let now = self.current.now();
        let version = version(&self.build, look.frame.number);
        let was_stuck = std::mem::take(&mut self.stuck);
        let up_to_date = match &self.has {
            Some(has) => has.frame.number == look.frame.number,
            None => self.came_with.take().is_some_and(|came_with| came_with == version),
        };
        let event = if up_to_date {
            let first = self.has.is_none();
            let due = first || was_stuck || self.told.elapsed() >= BEAT;
            due.then(|| Event::default().comment("beat").event("beat").data(format!(r#"{{"now":{now}}}"#)))
        } else {
            let (name, text) = match &*look.since(self.has.as_ref(), now) {
                Change::Whole(text) => ("whole", text.clone()),
                Change::Delta(text) => ("delta", text.clone()),
            };
            Some(Event::default().event(name).data(text))
        };
        self.has = Some(look);
        event.map(|event| event.id(version))
    }

    fn of_silence(&mut self) -> Option<Event> {
        let first = !std::mem::replace(&mut self.stuck, true);
        first.then(|| Event::default().event("stuck").data("the coordinator's steering loop does not answer"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tone::tests::fleet;
    use super::*;
    use crate::steer::Call;
    use axum::body::BodyDataStream;
    use axum::response::IntoResponse;
    use axum::response::sse::Sse;
    use futures_util::StreamExt;
    use jiff::tz::TimeZone;
    use std::sync::Mutex;
    use tokio::sync::{Semaphore, mpsc};
    use warden_logic::moment::Moment;

    fn clock() -> Moment {
        Moment::from_micros(1_000_000_000)
    }

    async fn follow(current: &Arc<Current>) -> BodyDataStream {
        let seat = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let stream = events(Arc::clone(current), "b".into(), None, seat);
        Sse::new(stream).into_response().into_body().into_data_stream()
    }

    async fn next(stream: &mut BodyDataStream) -> String {
        String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_looker_gets_the_newest_and_not_what_came_between() {
        let shown = Arc::new(Mutex::new(fleet()));
        let (calls, mut called) = mpsc::channel(1);
        let told = Arc::clone(&shown);
        tokio::spawn(async move {
            while let Some(Call::Fleet { answer }) = called.recv().await {
                drop(answer.send(told.lock().unwrap().clone()));
            }
        });
        let current = Arc::new(Current::new(calls, Arc::default(), None, TimeZone::UTC, clock));
        let (mut slow, mut quick) = (follow(&current).await, follow(&current).await);
        for stream in [&mut slow, &mut quick] {
            assert!(next(stream).await.starts_with("event: hello\nretry: 2000\n"));
            assert!(next(stream).await.starts_with("event: whole\ndata: {\"now\":1000000,\"html\":\""));
        }
        for rate in [100.0, 200.0, 300.0] {
            shown.lock().unwrap().backends[0].servers[0].requests_per_second = Some(rate);
            assert!(next(&mut quick).await.contains(&format!("\"b0s0.0\":\"{rate}\"")));
        }
        let late = next(&mut slow).await;
        assert!(late.starts_with("event: delta\n") && late.contains("\"b0s0.0\":\"300\"") && late.ends_with("\nid: b.4\n\n"), "{late}");
        assert!(next(&mut slow).await.starts_with(": beat\nevent: beat\n"));
    }
}
