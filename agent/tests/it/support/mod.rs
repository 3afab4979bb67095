//! What several tests share: waiting for a condition, a private bus, a systemd on it.

pub(crate) mod bus;
pub(crate) mod postgres;
pub(crate) mod systemd1;

use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use warden_logic::service::input::Input;

/// Longer than anything here takes on a busy machine; reaching it is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Takes inputs until `wanted` accepts one; says on failure what came instead.
pub(crate) async fn until<T>(feed: &mut mpsc::Receiver<(usize, Input)>, what: &str, mut wanted: impl FnMut(&Input) -> Option<T>) -> T {
    let mut seen = Vec::new();
    let found = timeout(DEADLINE, async {
        loop {
            let (_, input) = feed.recv().await.expect("the edge lives as long as the test");
            if let Some(found) = wanted(&input) {
                return found;
            }
            seen.push(input);
        }
    });
    match found.await {
        Ok(found) => found,
        Err(_) => panic!("{what} has not come; what came: {seen:#?}"),
    }
}

/// Polls until the condition holds; says at the deadline what it still missed.
pub(crate) async fn eventually<T, E: std::fmt::Debug>(what: &str, mut condition: impl AsyncFnMut() -> Result<T, E>) -> T {
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(missing) if tokio::time::Instant::now() > end => panic!("waited in vain for: {what}: {missing:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// What this process' open descriptors are, as /proc tells it.
pub(crate) fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    entries.filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned())).collect()
}
