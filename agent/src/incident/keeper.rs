//! The thread's one task: orders in, folders out, and the end of the journal fetched a little later.
//!
//! The journal is read by `journalctl` as a child with a deadline, and not by the library that the agent follows it with: this is rare,
//! not urgent, and wants what people know from their terminals; a journal that is large, damaged or on a stuck disk then costs a child
//! that is ended, and not a thread that hangs in a library, or memory that the agent never gives back.

use super::folder::LARGEST_FILE;
use super::shelf::Shelf;
use super::{Captured, Order, Place, Shared};
use crate::child::{self, Ended, Keep, Program};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use warden_edge::clock::monotonic_micros;
use warden_logic::moment::Moment;
use warden_logic::service::input::Invocation;

/// The journal is read so long after the capture: by then the process has ended and journald has written its last lines.
const TAIL_AFTER: Duration = Duration::from_secs(2);
/// It takes tens of milliseconds; a cold disk with a large journal takes seconds.
const TAIL_DEADLINE: Duration = Duration::from_secs(10);
/// Lines of one invocation.
const TAIL_LINES: u32 = 200;
/// Captures that may wait for their journal; more than all services restarted at once, several times.
const TAILS: usize = 64;

/// A journal that is to be read.
struct Tail {
    due: Instant,
    id: String,
    capture: u32,
    invocation: Invocation,
}

type Running = Pin<Box<dyn Future<Output = (Tail, Vec<u8>)> + Send>>;

/// Runs until it is stopped, or until nobody is left to give orders.
pub(super) async fn run(place: Place, mut orders: mpsc::Receiver<Order>, shared: Arc<Shared>) {
    let shelf = Shelf::open(&place, Arc::clone(&shared));
    let mut keeper = Keeper { shelf, journalctl: place.journalctl, waiting: VecDeque::new(), shared: Arc::clone(&shared) };
    keeper.shelf.flush();
    let mut running: Option<Running> = None;
    loop {
        if running.is_none() && keeper.waiting.front().is_some_and(|tail| tail.due <= Instant::now()) {
            running = keeper.waiting.pop_front().map(|tail| keeper.read(tail));
        }
        let due = keeper.waiting.front().map(|tail| tail.due);
        // All arms may be dropped half-way: a queue, a timer, a notice that is kept, and a future that stays where it is.
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => keeper.obey(order),
                None => break,
            },
            (tail, text) = finished(&mut running) => keeper.keep(&tail, &text),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && running.is_none() => continue,
            () = shared.stop.notified() => break,
        }
        while let Ok(order) = orders.try_recv() {
            keeper.obey(order);
        }
        keeper.shelf.flush();
    }
    // What was handed over before the end is kept, and so is the evidence that was due: whoever waits for it has a deadline.
    while let Ok(order) = orders.try_recv() {
        keeper.obey(order);
    }
    keeper.shelf.flush();
    if let Some(running) = running {
        let (tail, text) = running.await;
        keeper.keep(&tail, &text);
    }
    while let Some(tail) = keeper.waiting.pop_front() {
        let (tail, text) = keeper.read(tail).await;
        keeper.keep(&tail, &text);
    }
    keeper.shelf.flush();
}

/// The end of what runs; without anything that runs, never.
async fn finished(running: &mut Option<Running>) -> (Tail, Vec<u8>) {
    match running {
        Some(future) => {
            let done = future.await;
            *running = None;
            done
        }
        None => std::future::pending().await,
    }
}

struct Keeper {
    shelf: Shelf,
    journalctl: Vec<String>,
    /// In the order in which they are due.
    waiting: VecDeque<Tail>,
    shared: Arc<Shared>,
}

impl Keeper {
    fn obey(&mut self, order: Order) {
        let bytes = order.bytes();
        self.shared.queued.fetch_sub(bytes, Ordering::Relaxed);
        match order {
            Order::Began { id, unit, cause, at } => self.shelf.began(&id, &unit, cause, at),
            Order::Note { id, at, text, restart } => self.shelf.note(&id, at, &text, restart),
            Order::Captured(captured) => self.captured(captured),
            Order::Ended { id, at, result } => self.shelf.ended(&id, at, &result),
            Order::GoOn(ids) => self.shelf.go_on(&ids),
            Order::Bounds(bounds) => self.shelf.set_bounds(bounds),
            // What is shown is what is kept. Whoever asked may have gone.
            Order::List(reply) => {
                self.shelf.flush();
                drop(reply.send(self.shelf.list()));
            }
            Order::Show(id, reply) => {
                self.shelf.flush();
                drop(reply.send(self.shelf.show(&id)));
            }
        }
    }

    fn captured(&mut self, captured: Captured) {
        let Captured { id, unit, at, invocation, files } = captured;
        let room = self.waiting.len() < TAILS;
        let Some(capture) = self.shelf.capture(&id, invocation.is_some() && room) else {
            tracing::debug!("{unit}: evidence of incident {id}, which nobody has begun");
            self.shared.lost.fetch_add(files.len() as u64, Ordering::Relaxed);
            return;
        };
        for (kind, bytes) in files {
            self.shelf.add(&id, kind, capture, &bytes, at);
        }
        match invocation {
            Some(invocation) if room => self.waiting.push_back(Tail { due: Instant::now() + TAIL_AFTER, id, capture, invocation }),
            Some(_) => drop(self.shared.lost.fetch_add(1, Ordering::Relaxed)),
            None => {}
        }
    }

    /// Begins to read a journal.
    fn read(&self, tail: Tail) -> Running {
        let command = command(&self.journalctl, tail.invocation);
        Box::pin(async move {
            let program =
                Program { command: &command, environment: &[], input: b"", keep: Keep::Last(LARGEST_FILE - 1024), deadline: TAIL_DEADLINE };
            let text = match child::run(&program).await {
                Ok(done) => {
                    let mut text = Vec::new();
                    if done.left_out > 0 {
                        text.extend(format!("({} bytes before this were left out)\n", done.left_out).bytes());
                    }
                    text.extend(done.output);
                    if done.ended != Ended::Code(0) {
                        text.extend(format!("(journalctl: {})\n", done.ended).bytes());
                    }
                    text
                }
                Err(error) => format!("not to be had: {}: {error}\n", command.first().map_or("", String::as_str)).into_bytes(),
            };
            (tail, text)
        })
    }

    fn keep(&mut self, tail: &Tail, text: &[u8]) {
        self.shelf.add(&tail.id, "journal", tail.capture, text, Moment::from_micros(monotonic_micros()));
        self.shelf.arrived(&tail.id);
    }
}

/// What the invocation itself has logged, and what systemd has logged about it. The field `INVOCATION_ID` alone could be anybody's;
/// `_PID` is journald's own word.
fn command(journalctl: &[String], invocation: Invocation) -> Vec<String> {
    let mut command = journalctl.to_vec();
    let options = ["--no-pager", "--output=short-precise", "--no-hostname", "--boot"].map(str::to_owned);
    command.extend(options);
    command.push(format!("--lines={TAIL_LINES}"));
    command.push(format!("_SYSTEMD_INVOCATION_ID={invocation}"));
    command.push("+".to_owned());
    command.push("_PID=1".to_owned());
    command.push(format!("INVOCATION_ID={invocation}"));
    command
}
