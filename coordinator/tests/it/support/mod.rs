//! A fake HAProxy, a real one, servers behind it, an agent's voice, and waiting for a condition.

pub(crate) mod backend;
pub(crate) mod fake;
pub(crate) mod real;
pub(crate) mod voice;

use std::fmt::Debug;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
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

/// A TCP port on loopback that is free. It lies below those the kernel hands out itself (32,768 by default), so that no connection of
/// another test takes it before the one it is for has bound it, and each process begins elsewhere.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(31);
    std::iter::from_fn(|| Some(10_000 + (first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000) as u16))
        .take(22_000)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}
