//! The leak: memory that is really taken, at a set rate up to a set cap, and never given back.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Doom;
use crate::knobs::Leak;

/// Ten steps a second: smooth enough for a watcher that samples once a second.
const STEP: Duration = Duration::from_millis(100);

/// Grows to the cap, then makes the process sick and keeps what it holds until the process ends.
pub(super) async fn run(doom: Arc<Doom>, leak: Leak) {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    let mut held = 0;
    let mut ticks = tokio::time::interval(STEP);
    while held < leak.cap {
        ticks.tick().await;
        let step = (leak.bytes_per_second / 10).clamp(1, leak.cap - held);
        // Written, not only reserved: a page that nobody touches costs nothing.
        hoard.push(vec![0xA5; usize::try_from(step).unwrap_or(usize::MAX)]);
        held += step;
    }
    doom.turn_sick();
    std::hint::black_box(&hoard);
    std::future::pending::<()>().await;
}
