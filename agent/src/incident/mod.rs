//! What is kept of an incident: a folder with its timeline and the evidence that a restart destroys.
//!
//! `incidents/ID-unit/` holds `incident.json`, the failing answer, what the kernel says of the process (read before it is ended), and
//! the end of its journal (read afterwards). [`Desk`] hands facts to one thread that owns the folder; [`Keeper`] is that thread.
//!
//! Guarantees: handing over never waits, what finds no room is counted and said; what is kept is bounded in number, in bytes and in the
//! size of each file, and the oldest that has ended goes first; a disk that is full, read-only or stuck loses evidence and nothing else;
//! an open incident goes on after a restart of the agent; nothing outside of the folder is written, whatever a unit is called.
//!
//! Left to others: when an incident begins and ends (`warden_logic::service`), and who may read of it.

mod capture;
mod folder;
mod keeper;
mod shelf;
#[cfg(test)]
mod tests;
mod timeline;

use crate::message_id;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;
use warden_logic::moment::Moment;
use warden_logic::reason::Reason;
use warden_logic::service::input::Invocation;
use warden_protocol::v1;
use warden_protocol::v1::incident::{Incident, Incidents};

/// Facts that may wait for the disk. An incident has a dozen in its first second, and a machine has a few services.
const QUEUE: usize = 256;
/// What those facts may hold together, in bytes: some captures at once, each with at most a few dozen kilobytes.
const QUEUED_BYTES: usize = 4 * 1024 * 1024;
/// A question waits for the disk no longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The end of the agent waits no longer for the last evidence.
const STOPPED_WITHIN: Duration = Duration::from_secs(3);

/// Where incidents are kept, and how much of them.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder; it is made when it is not there.
    pub directory: PathBuf,
    /// This node's name.
    pub node: String,
    /// The boot that moments belong to.
    pub boot_id: String,
    /// How much.
    pub bounds: Bounds,
    /// How `journalctl` is called; options are added to it.
    pub journalctl: Vec<String>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// So many incidents.
    pub keep: usize,
    /// So many bytes of all of them together.
    pub max_bytes: u64,
}

/// Evidence to be taken, while the process is still there.
#[derive(Clone, Copy, Debug)]
pub struct Capture<'a> {
    /// The incident.
    pub id: &'a str,
    /// The unit.
    pub unit: &'a str,
    /// Its main process, while there is one.
    pub pid: Option<u32>,
    /// The instance that is about to be ended, or has ended; none: there was none.
    pub invocation: Option<Invocation>,
    /// The answer that failed, where one was had.
    pub answer: Option<&'a str>,
    /// Now.
    pub at: Moment,
}

/// What is said to the thread.
enum Order {
    Began { id: String, unit: String, cause: v1::Reason, at: Moment },
    Note { id: String, at: Moment, text: String, restart: bool },
    Captured(Captured),
    Ended { id: String, at: Moment, result: String },
    GoOn(Vec<String>),
    Bounds(Bounds),
    List(oneshot::Sender<Incidents>),
    Show(String, oneshot::Sender<Option<Incident>>),
}

struct Captured {
    id: String,
    unit: String,
    at: Moment,
    invocation: Option<Invocation>,
    files: Vec<(&'static str, Vec<u8>)>,
}

/// What the desk and its thread share.
#[derive(Default)]
struct Shared {
    /// Facts and files that were not kept.
    lost: AtomicU64,
    /// Bytes of the captures in the queue.
    queued: AtomicUsize,
    /// The queue was full, and that was said.
    overflow_said: AtomicBool,
    stop: Notify,
}

/// A handle to the one thread that keeps incidents. All but the questions return at once.
#[derive(Clone)]
pub struct Desk {
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
}

/// The thread. It ends with [`Keeper::stop`], or when the last [`Desk`] is gone.
pub struct Keeper {
    ended: oneshot::Receiver<()>,
    shared: Arc<Shared>,
}

impl Desk {
    /// Begins to keep incidents; what is in the folder already is found, and what is open there goes on.
    ///
    /// # Errors
    /// When no thread can be had. A folder that cannot be used is none: it is said, and tried again.
    pub fn start(place: Place) -> std::io::Result<(Self, Keeper)> {
        let (orders, ordered) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let (done, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new().name("incidents".to_owned()).spawn(move || {
            runtime.block_on(keeper::run(place, ordered, of_thread));
            // Whoever waits for the end may have stopped waiting.
            let _ = done.send(());
        })?;
        Ok((Self { orders, shared: Arc::clone(&shared) }, Keeper { ended, shared }))
    }

    /// An incident has begun; `at`: when its first evidence arose. One of this name that is open goes on.
    pub fn began(&self, id: &str, unit: &str, cause: &Reason, at: Moment) {
        let cause = v1::Reason { label: cause.label.as_str().to_owned(), text: cause.text.clone() };
        self.give(Order::Began { id: id.to_owned(), unit: unit.to_owned(), cause, at });
    }

    /// Something happened in it.
    pub fn note(&self, id: &str, at: Moment, text: impl Into<String>) {
        self.give(Order::Note { id: id.to_owned(), at, text: text.into(), restart: false });
    }

    /// A restart was begun for it.
    pub fn restart(&self, id: &str, at: Moment, text: impl Into<String>) {
        self.give(Order::Note { id: id.to_owned(), at, text: text.into(), restart: true });
    }

    /// Takes evidence. What the kernel says of the process is read before this returns, in a few milliseconds at most (some small
    /// files of /proc); the end of the journal a little later, so that the last words of the process are in it.
    pub fn capture(&self, what: &Capture<'_>) {
        let files = capture::quick(what.pid, what.answer);
        let (id, unit) = (what.id.to_owned(), what.unit.to_owned());
        self.give(Order::Captured(Captured { id, unit, at: what.at, invocation: what.invocation, files }));
    }

    /// It is over; `result`: how, in words.
    pub fn ended(&self, id: &str, at: Moment, result: impl Into<String>) {
        self.give(Order::Ended { id: id.to_owned(), at, result: result.into() });
    }

    /// Said once, when the agent has begun: these are the incidents that it goes on with. Others that are open on the disk end.
    pub fn go_on(&self, ids: Vec<String>) {
        self.give(Order::GoOn(ids));
    }

    /// Other bounds, after a reload.
    pub fn bounds(&self, bounds: Bounds) {
        self.give(Order::Bounds(bounds));
    }

    /// How many facts and files were not kept, since the agent began.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// All incidents that are kept.
    ///
    /// # Errors
    /// One sentence, when the disk does not answer in time.
    pub async fn list(&self) -> Result<Incidents, String> {
        let (reply, answer) = oneshot::channel();
        self.ask(Order::List(reply), answer).await
    }

    /// One incident with its evidence; `None`: there is none of this name.
    ///
    /// # Errors
    /// One sentence, when the disk does not answer in time.
    pub async fn show(&self, id: &str) -> Result<Option<Incident>, String> {
        if !folder::is_id(id) {
            return Ok(None);
        }
        let (reply, answer) = oneshot::channel();
        self.ask(Order::Show(id.to_owned(), reply), answer).await
    }

    async fn ask<T>(&self, order: Order, answer: oneshot::Receiver<T>) -> Result<T, String> {
        let asked = async {
            self.orders.send(order).await.ok()?;
            answer.await.ok()
        };
        match timeout(ANSWER_WITHIN, asked).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err("the agent is ending".to_owned()),
            Err(_) => Err(format!("the disk that incidents are kept on has not answered for {} s", ANSWER_WITHIN.as_secs())),
        }
    }

    /// Hands over, or counts.
    fn give(&self, order: Order) {
        let bytes = order.bytes();
        let fits = self.shared.queued.fetch_add(bytes, Ordering::Relaxed) + bytes <= QUEUED_BYTES;
        if fits && self.orders.try_send(order).is_ok() {
            self.shared.overflow_said.store(false, Ordering::Relaxed);
            return;
        }
        self.shared.queued.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
        if !self.shared.overflow_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                MESSAGE_ID = message_id::EVIDENCE_LOST,
                WARDEN_EVENT = "evidence_lost",
                "incidents are written too slowly: what happens meanwhile is not kept"
            );
        }
    }
}

impl Order {
    fn bytes(&self) -> usize {
        match self {
            Self::Captured(captured) => captured.files.iter().map(|(_, text)| text.len()).sum(),
            _ => 0,
        }
    }
}

impl Keeper {
    /// Ends it: what was handed over is written, evidence that was due is taken. False: that took too long and goes on alone.
    pub async fn stop(self) -> bool {
        self.shared.stop.notify_one();
        timeout(STOPPED_WITHIN, self.ended).await.is_ok()
    }
}
