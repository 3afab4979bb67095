//! The event loop of a program: one thread, and beside it those that wait for the resolver of host names.
//!
//! Left to others: threads with a name and a work of their own (the journal, log files, incidents).

use std::io;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Resolvers that hang hold one thread for each name, and keep no other name waiting before there are so many.
const RESOLVERS: usize = 16;

/// For as long as the program runs.
const KEPT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Makes an event loop that runs on the thread which blocks on it.
///
/// Its first thread for lookups is there from the beginning and never ends. tokio panics when it needs one, has none and can begin none; with
/// one, work waits for it. So a program that may begin no thread more (`TasksMax=`, `LimitNPROC=`) goes on.
///
/// # Errors
/// What the kernel says: no descriptors, no thread to be had.
pub fn new() -> io::Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS).thread_keep_alive(KEPT).build()?;
    // What tokio would panic for is told: one that can be begun and has ended makes room for the one that is kept.
    let tried = std::thread::Builder::new().spawn(|| ())?;
    drop(tried.join());
    runtime.block_on(runtime.spawn_blocking(|| ())).map_err(io::Error::other)?;
    Ok(runtime)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    /// The names of this process's threads that only an event loop has begun.
    fn resolvers() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        tasks.filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "tokio-rt-worker")).count()
    }

    #[test]
    fn a_thread_for_lookups_is_there_before_it_is_needed_and_stays() {
        let runtime = super::new().unwrap();
        assert_eq!(resolvers(), 1);
        let found =
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), tokio::net::lookup_host("localhost:80")).await });
        assert!(found.unwrap().unwrap().count() > 0);
        assert_eq!(resolvers(), 1, "it does what there is to do");
    }
}
