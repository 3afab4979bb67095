//! Bytes as HAProxy's answers on its runtime socket: read, or refused with a sentence, in time; and nothing is pushed that HAProxy could
//! take for more than a name.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use warden_coordinator::haproxy::{Push, RuntimeApi, Socket};

/// Whoever answers here hangs up at once, so nothing waits as long.
const PATIENCE: Duration = Duration::from_secs(5);

static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build());

/// Everything that the coordinator asks, answered by these bytes.
pub fn run(bytes: &[u8]) {
    let runtime = RUNTIME.as_ref().unwrap_or_else(|error| panic!("a runtime: {error}"));
    runtime.block_on(async {
        let path = path();
        // Left by the run before.
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        tokio::join!(says(&listener, bytes), asks(&path));
        drop(std::fs::remove_file(&path));
    });
}

fn path() -> PathBuf {
    let thread = std::thread::current().name().unwrap_or_default().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    std::env::temp_dir().join(format!("warden-fuzz-haproxy-{}-{thread}.sock", std::process::id()))
}

/// HAProxy for one connection: says all it has to say, hears the other side out, and is gone.
async fn says(listener: &UnixListener, bytes: &[u8]) {
    let Ok((mut stream, _)) = listener.accept().await else { return };
    drop(stream.write_all(bytes).await);
    drop(stream.shutdown().await);
    let mut heard = Vec::new();
    drop(stream.read_to_end(&mut heard).await);
    for line in String::from_utf8_lossy(&heard).lines().filter(|line| line.starts_with("set ")) {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(matches!(words.as_slice(), ["set", "server", _, "agent" | "health", "down"]), "{line:?}");
        assert!(!line.contains(';'), "HAProxy would read two commands in {line:?}");
    }
}

async fn asks(path: &std::path::Path) {
    let mut socket = Socket::new(path);
    let until = || Instant::now() + PATIENCE;
    let Ok(observed) = socket.observe(until()).await else { return };
    let ids: Vec<_> = observed.servers.iter().map(|server| server.id.clone()).collect();
    let pushes: Vec<_> = ids.iter().flat_map(|id| [Push::AgentDown(id.clone()), Push::HealthDown(id.clone())]).collect();
    drop(socket.push(&pushes, until()).await);
    drop(socket.counters(until()).await);
    drop(socket.down(&ids, until()).await);
}
