//! A fake HAProxy, a real one, servers behind it, an agent's voice, and waiting for a condition.

pub(crate) mod backend;
pub(crate) mod fake;
pub(crate) mod real;
pub(crate) mod voice;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Until a condition holds. After twenty seconds the test fails and says what was still missing.
pub(crate) async fn until<S: Debug, F: Future<Output = Result<T, S>>, T>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(status) if Instant::now() >= deadline => panic!("never: {what}; last: {status:?}"),
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// A TCP port on loopback that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
