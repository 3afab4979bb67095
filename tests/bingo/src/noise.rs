//! The periodic lines that fill the log of the real program even when nobody asks anything of it.

use std::sync::Arc;
use std::time::Duration;

use crate::log::Log;

/// One of each a second: often enough to fill a disk in time, not enough to disturb a test.
const EVERY: Duration = Duration::from_secs(1);

/// Writes until the process ends.
pub(crate) async fn run(log: Arc<Log>) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        log.debug("core/core.go:88", "I am alive.");
        log.debug("limiter/limiter.go:57", "Quota updated.");
    }
}
