//! Bytes on the agent's control socket: answered by HTTP, or hung up on; and the socket goes on answering.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use warden_agent::control::{self, Desk};
use warden_agent::supervisor::order::Order;
use warden_protocol::v1::control::AgentStatus;

/// As much as a busy computer may need for an answer from memory.
const PATIENCE: Duration = Duration::from_secs(8);

/// The real server over made-up neighbours, in a thread of its own, for as long as the process lives.
static SOCKET: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("warden-fuzz-{}.sock", std::process::id()));
    // Left by a process of the same number that was killed.
    drop(std::fs::remove_file(&path));
    let bound = path.clone();
    let (ready, listening) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = UnixListener::bind(&bound)?;
            let _ = ready.send(());
            let (orders, ordered) = mpsc::channel(4);
            tokio::join!(control::serve(listener, desk(orders)), obey(ordered));
            std::io::Result::Ok(())
        })
    });
    // Without a server every connection fails, and says so.
    let _ = listening.recv();
    path
});

fn desk(orders: mpsc::Sender<Order>) -> Desk {
    let status = || AgentStatus {
        v: 1,
        node: "bingo-1".to_owned(),
        version: "0.1.0".to_owned(),
        uptime_ms: 1,
        config_files: Vec::new(),
        coordinators: Vec::new(),
        services: Vec::new(),
    };
    Desk {
        status: Arc::new(status),
        metrics: Arc::new(|| "# EOF\n".to_owned()),
        incidents: None,
        orders,
        operators: Arc::new(|| "warden-admin".to_owned()),
    }
}

/// Whoever asks may act: what is tried is how bytes become an order, not who gives it.
async fn obey(mut ordered: mpsc::Receiver<Order>) {
    while let Some(order) = ordered.recv().await {
        match order {
            Order::Operator { unit, operator, reply } => {
                assert!(!unit.is_empty() && unit.len() < 4096 && operator.reason.len() < 16 * 1024, "{unit:?} {operator:?}");
                drop(reply.send(Ok(format!("{unit}: as you wish"))));
            }
            Order::Reload { reply: Some(reply) } | Order::Dump { reply: Some(reply) } => drop(reply.send(Ok("done".to_owned()))),
            Order::Trace { reply } => drop(reply.send(String::new())),
            Order::Reload { reply: None } | Order::Dump { reply: None } | Order::Stop => panic!("nobody can ask for that here: {order:?}"),
        }
    }
}

/// Sends the bytes over a connection of their own.
pub fn run(bytes: &[u8]) {
    let answer = exchange(bytes, End::HangUp);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "no HTTP: {}", String::from_utf8_lossy(&answer));
    let after = exchange(b"GET /v1/status HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", End::Listen);
    assert!(after.starts_with(b"HTTP/1.1 200 "), "the socket no longer answers: {}", String::from_utf8_lossy(&after));
}

/// What the client does once it has said everything.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// Nothing more will come: whoever waits for the rest of a request need not.
    HangUp,
    /// It waits for the answer.
    Listen,
}

fn exchange(bytes: &[u8], end: End) -> Vec<u8> {
    let connect = || -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&*SOCKET)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // A server may hang up before it has heard everything.
        drop(stream.write_all(bytes));
        if end == End::HangUp {
            drop(stream.shutdown(Shutdown::Write));
        }
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error),
            _ => Ok(answer),
        }
    };
    connect().unwrap_or_else(|error| panic!("the control socket does not answer: {error}"))
}
