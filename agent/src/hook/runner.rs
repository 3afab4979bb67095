//! The task that runs hooks: events in, programs and requests out.

use super::ledger::Ledger;
use super::{Hook, HookEvent, HookRun};
use crate::child::{self, Ended, Keep, Program};
use crate::message_id;
use crate::printable::{SHOWN_CHARS, escaped};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use warden_edge::chain::Chain;
use warden_edge::clock::{monotonic_micros, realtime_micros};
use warden_edge::http::Question;
use warden_logic::moment::Moment;

/// Events that may wait for the task, which takes microseconds for each.
const QUEUE: usize = 64;
/// Hooks that run at the same time; each is a process, or a connection, that is waited for.
const AT_ONCE: usize = 4;
/// Tellings that wait for one of those to end: all that the limits of some hooks allow in an hour.
const WAITING: usize = 64;
/// Tries at an address, and the pauses between them.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// What a program writes is for the journal's one line.
const OUTPUT: usize = 4 * 1024;
/// Nobody is interested in what an address answers but in its status.
const ANSWER: usize = 1_024;
/// A sentence with a quoted line.
const REASON_CHARS: usize = 1_000;
/// The agent's end waits no longer for what is being told.
const STOPPED_WITHIN: Duration = Duration::from_secs(2);

/// What is told, as JSON on a program's standard input, and as the body of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// The form of this: 1.
    pub v: u32,
    /// [`HookEvent::label`].
    pub event: String,
    /// The node's name.
    pub node: String,
    /// systemd's unit name.
    pub unit: String,
    /// The incident that it belongs to, where there is one.
    pub incident: Option<String>,
    /// One sentence, with control characters escaped.
    pub reason: String,
    /// When, by the wall clock: RFC 3339, in UTC.
    pub at: String,
}

/// Hears of every telling: the hook's name, and how it ended.
type Told = Arc<dyn Fn(&str, &str) + Send + Sync>;

enum Order {
    Event { event: HookEvent, unit: String, incident: Option<String>, text: String },
    Hooks(Vec<Hook>),
}

/// Takes events; a handle to the task.
#[derive(Clone)]
pub struct Desk {
    orders: mpsc::Sender<Order>,
}

/// The task. It ends with [`Runner::stop`], or when the last [`Desk`] is gone.
pub struct Runner {
    task: JoinHandle<()>,
    stop: Arc<Notify>,
}

impl Desk {
    /// Begins to run hooks. `ended` hears of every telling: the hook's name, and `done`, `failed` or `too_many`.
    #[must_use]
    pub fn start(node: String, hooks: Vec<Hook>, ended: impl Fn(&str, &str) + Send + Sync + 'static) -> (Self, Runner) {
        let (orders, ordered) = mpsc::channel(QUEUE);
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(run(node, hooks, ordered, Arc::clone(&stop), Arc::new(ended)));
        (Self { orders }, Runner { task, stop })
    }

    /// Something happened; `text`: why, in one sentence. Returns at once.
    pub fn event(&self, event: HookEvent, unit: &str, incident: Option<&str>, text: &str) {
        let order = Order::Event { event, unit: unit.to_owned(), incident: incident.map(ToOwned::to_owned), text: text.to_owned() };
        if self.orders.try_send(order).is_err() {
            tracing::warn!(
                MESSAGE_ID = message_id::HOOK_FAILED,
                WARDEN_UNIT = unit,
                WARDEN_INCIDENT = incident.unwrap_or_default(),
                WARDEN_EVENT = "hook_failed",
                "{unit}: too many events at once: hooks are not told of {}",
                event.label()
            );
        }
    }

    /// Other hooks, after a reload. What was told stays told; what is being told goes on.
    ///
    /// # Errors
    /// When the task has events to take first; the hooks are as they were.
    pub fn hooks(&self, hooks: Vec<Hook>) -> Result<(), String> {
        self.orders.try_send(Order::Hooks(hooks)).map_err(|_| "the hooks are busy; reload again".to_owned())
    }
}

impl Runner {
    /// Ends it. What is being told gets a moment to come to its end, and is ended then.
    pub async fn stop(mut self) {
        self.stop.notify_one();
        if timeout(STOPPED_WITHIN, &mut self.task).await.is_err() {
            self.task.abort();
            // Programs are ended as their futures are dropped.
            let _ = self.task.await;
        }
    }
}

/// One telling.
struct Telling {
    hook: Hook,
    happened: Happened,
}

async fn run(node: String, mut hooks: Vec<Hook>, mut orders: mpsc::Receiver<Order>, stop: Arc<Notify>, told: Told) {
    let mut ledger = Ledger::default();
    let mut running: JoinSet<()> = JoinSet::new();
    let mut waiting: VecDeque<Telling> = VecDeque::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(telling) = waiting.pop_front()
        {
            running.spawn(tell(telling, Arc::clone(&told)));
        }
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Event { event, unit, incident, text }) => {
                    let decision = ledger.decide(&hooks, event, incident.as_deref(), Moment::from_micros(monotonic_micros()));
                    let happened = happened(&node, event, &unit, incident.as_deref(), &text);
                    for hook in decision.too_many {
                        unheard(&hooks[hook], &happened, "it was told often enough within the last hour");
                        told(&hooks[hook].name, "too_many");
                    }
                    for hook in decision.tell {
                        if waiting.len() == WAITING {
                            unheard(&hooks[hook], &happened, "too many hooks are waiting for others to end");
                            told(&hooks[hook].name, "too_many");
                            continue;
                        }
                        waiting.push_back(Telling { hook: hooks[hook].clone(), happened: happened.clone() });
                    }
                }
                Some(Order::Hooks(others)) => {
                    hooks = others;
                    ledger.only(&hooks);
                }
                None => break,
            },
            Some(_) = running.join_next() => {}
            () = stop.notified() => break,
        }
    }
    // What waits is begun, as far as there is time.
    for telling in waiting {
        running.spawn(tell(telling, Arc::clone(&told)));
    }
    while running.join_next().await.is_some() {}
}

pub(super) fn happened(node: &str, event: HookEvent, unit: &str, incident: Option<&str>, text: &str) -> Happened {
    let at = jiff::Timestamp::from_microsecond(i64::try_from(realtime_micros()).unwrap_or_default()).unwrap_or_default();
    Happened {
        v: 1,
        event: event.label().to_owned(),
        node: node.to_owned(),
        unit: unit.to_owned(),
        incident: incident.map(ToOwned::to_owned),
        reason: escaped(text, REASON_CHARS),
        at: format!("{at:.6}"),
    }
}

async fn tell(telling: Telling, told: Told) {
    let Telling { hook, happened } = telling;
    let Happened { node, unit, event, incident, .. } = &happened;
    let name = &hook.name;
    match try_to_tell(&hook, &happened).await {
        Ok(()) => {
            tracing::info!(
                WARDEN_NODE = node,
                WARDEN_UNIT = unit,
                WARDEN_INCIDENT = incident.as_deref().unwrap_or_default(),
                WARDEN_EVENT = "hook_told",
                "{unit}: hook {name} was told of {event}"
            );
            told(name, "done");
        }
        Err(why) => {
            unheard(&hook, &happened, &why);
            told(name, "failed");
        }
    }
}

/// Tells; or why it could not.
pub(super) async fn try_to_tell(hook: &Hook, happened: &Happened) -> Result<(), String> {
    let json = serde_json::to_vec(happened).map_err(|error| error.to_string())?;
    match &hook.run {
        HookRun::Exec(command) => exec(command, hook.timeout, happened, &json).await,
        HookRun::Webhook(url) => webhook(url, hook.timeout, &json).await,
    }
}

/// The one line about a hook that does not know.
fn unheard(hook: &Hook, happened: &Happened, why: &str) {
    let Happened { node, unit, event, incident, .. } = happened;
    let name = &hook.name;
    tracing::warn!(
        MESSAGE_ID = message_id::HOOK_FAILED,
        WARDEN_NODE = node,
        WARDEN_INCIDENT = incident.as_deref().unwrap_or_default(),
        WARDEN_UNIT = unit,
        WARDEN_EVENT = "hook_failed",
        "{unit}: hook {name} was not told of {event}: {why}"
    );
}

async fn exec(command: &[String], deadline: Duration, happened: &Happened, json: &[u8]) -> Result<(), String> {
    let environment = [
        ("WARDEN_EVENT", happened.event.as_str()),
        ("WARDEN_UNIT", &happened.unit),
        ("WARDEN_INCIDENT", happened.incident.as_deref().unwrap_or_default()),
        ("WARDEN_REASON", &happened.reason),
        ("WARDEN_NODE", &happened.node),
    ];
    let program = Program { command, environment: &environment, input: json, keep: Keep::First(OUTPUT), deadline };
    let name = command.first().map_or("", String::as_str);
    let done = child::run(&program).await.map_err(|error| format!("{name} cannot be run: {error}"))?;
    match done.ended {
        Ended::Code(0) => Ok(()),
        Ended::TimedOut => Err(format!("{name} was ended after {}", warden_logic::moment::Span::from(deadline))),
        ended => {
            let output = String::from_utf8_lossy(&done.output);
            let line = output.lines().find(|line| !line.trim().is_empty()).map(|line| format!(": {}", escaped(line, SHOWN_CHARS)));
            Err(format!("{name}: {ended}{}", line.unwrap_or_default()))
        }
    }
}

/// What came of one try.
enum Tried {
    Told,
    /// It may work later.
    Again(String),
    /// Asking again would be answered the same.
    Refused(String),
}

async fn webhook(url: &str, deadline: Duration, json: &[u8]) -> Result<(), String> {
    let question = Question::get(url, None, None, concat!("warden-agent/", env!("CARGO_PKG_VERSION")))?;
    let mut pauses = PAUSES.into_iter();
    loop {
        let why = match attempt(&question, deadline, json).await {
            Tried::Told => return Ok(()),
            Tried::Refused(why) => return Err(why),
            Tried::Again(why) => why,
        };
        match pauses.next() {
            Some(pause) => sleep(pause).await,
            None => return Err(format!("given up after {} tries; the last: {why}", PAUSES.len() + 1)),
        }
    }
}

/// The address itself is not said: its path may be a secret.
async fn attempt(question: &Question, deadline: Duration, json: &[u8]) -> Tried {
    match timeout(deadline, question.post(json.to_vec(), ANSWER)).await {
        Err(_) => Tried::Again(format!("no answer within {}", warden_logic::moment::Span::from(deadline))),
        Ok(Err(error)) => Tried::Again(Chain(&error).to_string()),
        Ok(Ok(answer)) => match answer.status {
            200..=299 => Tried::Told,
            408 | 425 | 429 | 500.. => Tried::Again(format!("it answered {}", answer.status)),
            status => Tried::Refused(format!("it answered {status}")),
        },
    }
}
