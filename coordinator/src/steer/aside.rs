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
}

impl<R: RuntimeApi> Aside<R> {
    pub(super) const fn new(runtime: R) -> Self {
        Self { idle: Some(runtime), under_way: None }
    }

    /// Begins one, unless one is under way.
    pub(super) fn begin(&mut self, began: Moment) {
        if let Some(mut runtime) = self.idle.take() {
            self.under_way = Some(Box::pin(async move {
                let counters = runtime.counters(Instant::now() + DEADLINE).await;
                (runtime, Reading { began, counters })
            }));
        }
    }

    /// The end of the one that is under way; of none, never. Cancel safe.
    pub(super) async fn done(&mut self) -> Reading {
        let Some(under_way) = &mut self.under_way else { return pending().await };
        let (runtime, reading) = under_way.await;
        (self.idle, self.under_way) = (Some(runtime), None);
        reading
    }
}

impl<R> std::fmt::Debug for Aside<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aside").field("under_way", &self.under_way.is_some()).finish_non_exhaustive()
    }
}
