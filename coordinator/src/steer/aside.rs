//! A reading of HAProxy's counters beside the loop, over connections of its own. Ten thousand servers' take as long as a hundred reports,
//! and no decision waits for them.

use crate::haproxy::{Counters, Error, RuntimeApi};
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;
use warden_logic::moment::Moment;

/// Nobody waits: it may take as long as HAProxy likes, up to this.
const DEADLINE: Duration = Duration::from_secs(5);

/// What was read, and since when: what came after that is not in it.
pub(super) struct Reading {
    pub(super) began: Moment,
    pub(super) counters: Result<Vec<Counters>, Error>,
}

type UnderWay<R> = Pin<Box<dyn Future<Output = (R, Reading)> + Send>>;

/// One reading at a time. It goes on while [`Aside::done`] is awaited, and ends with this value.
pub(super) struct Aside<R> {
    idle: Option<R>,
    under_way: Option<UnderWay<R>>,
    overtaken: bool,
}

impl<R: RuntimeApi> Aside<R> {
    pub(super) const fn new(runtime: R) -> Self {
        Self { idle: Some(runtime), under_way: None, overtaken: false }
    }

    /// Begins one, unless one is under way.
    pub(super) fn begin(&mut self, began: Moment) {
        if let Some(mut runtime) = self.idle.take() {
            self.overtaken = false;
            self.under_way = Some(Box::pin(async move {
                let counters = runtime.counters(Instant::now() + DEADLINE).await;
                (runtime, Reading { began, counters })
            }));
        }
    }

    /// The loop itself has read them meanwhile: what is under way is older, and would be counters that go back.
    pub(super) const fn overtake(&mut self) {
        self.overtaken = true;
    }

    /// The end of the one that is under way; of none, never. Nothing when it was overtaken. Cancel safe.
    pub(super) async fn done(&mut self) -> Option<Reading> {
        let Some(under_way) = &mut self.under_way else { return pending().await };
        let (runtime, reading) = under_way.await;
        (self.idle, self.under_way) = (Some(runtime), None);
        (!self.overtaken).then_some(reading)
    }
}

impl<R> std::fmt::Debug for Aside<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aside").field("under_way", &self.under_way.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::{Push, Refusal};
    use tokio::time::{sleep, timeout};
    use warden_logic::fleet::observed::{Observed, ServerId};

    /// Counts in ten milliseconds, how often it was asked.
    #[derive(Default)]
    struct Slow(u64);

    impl RuntimeApi for Slow {
        async fn observe(&mut self, _: Instant) -> Result<Observed, Error> {
            Err(Error::Unconnected)
        }

        async fn push(&mut self, _: &[Push], _: Instant) -> Result<Vec<Result<(), Refusal>>, Error> {
            Err(Error::Unconnected)
        }

        async fn down(&mut self, _: &[ServerId], _: Instant) -> Result<Vec<bool>, Error> {
            Err(Error::Unconnected)
        }

        async fn counters(&mut self, _: Instant) -> Result<Vec<Counters>, Error> {
            self.0 += 1;
            sleep(Duration::from_millis(10)).await;
            Ok(vec![Counters { id: ServerId::new("app", "n1"), requests: self.0, errors: 0, sessions: 0 }])
        }
    }

    /// Waits a little at a time, as the loop does between its other work.
    async fn done(aside: &mut Aside<Slow>) -> Option<Option<(u64, u64)>> {
        for _ in 0..20 {
            if let Ok(reading) = timeout(Duration::from_millis(1), aside.done()).await {
                return Some(reading.map(|reading| (reading.began.as_micros(), reading.counters.unwrap()[0].requests)));
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn one_reading_at_a_time_goes_on_while_it_is_awaited_and_may_be_overtaken() {
        let mut aside = Aside::new(Slow::default());
        assert_eq!(done(&mut aside).await, None, "none is under way");
        aside.begin(Moment::from_micros(5));
        aside.begin(Moment::from_micros(6));
        assert_eq!(done(&mut aside).await, Some(Some((5, 1))));
        aside.begin(Moment::from_micros(7));
        aside.overtake();
        assert_eq!(done(&mut aside).await, Some(None), "another one is newer");
        aside.begin(Moment::from_micros(8));
        assert_eq!(done(&mut aside).await, Some(Some((8, 3))));
        assert_eq!(done(&mut aside).await, None);
    }
}
