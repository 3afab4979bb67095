//! A steady, bounded stream of mixed requests through the balancer, from inside the lab's switch.
//!
//! Most requests come on a connection of their own, as from many people; every fifth uses a kept one, as from a
//! program. The rate is held open-loop: a slow answer does not slow the stream. Bounds: at most [`IN_FLIGHT`] requests
//! at once (the rest is counted as not answered, never silently left out) and at most [`LONGEST`] in all.

use crate::answers::{Answer, Answers, Class};
use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use warden_lab::Lab;

/// Requests at once: 120 RPS over the 2 s that a hanging server may take, three times over.
pub const IN_FLIGHT: usize = 720;

/// No load runs longer.
pub const LONGEST: Duration = Duration::from_secs(600);

/// A client's patience with one request: more than any promise of the stand for these paths.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// GETs of cheap paths.
    Cheap,
    /// The same, with POST and DELETE among them.
    Mixed,
    /// The five for which users were promised a time, in equal parts.
    Promised,
}

/// Which requests, how often.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Requests a second.
    pub rate: u32,
    /// What is asked for.
    pub paths: Paths,
}

impl Mix {
    /// The steady rate of the assignment, mixed.
    #[must_use]
    pub const fn steady() -> Self {
        Self { rate: 60, paths: Paths::Mixed }
    }
}

/// A load that runs.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<Answers>>>,
}

impl Load {
    /// Starts it, and returns once the first request has been answered.
    ///
    /// # Errors
    /// When the lab's network cannot be entered or the first answer does not come.
    pub fn start(lab: &Lab, target: SocketAddr, mix: Mix) -> Result<Self> {
        let lab = lab.clone();
        Self::begin(target, mix, move || lab.enter_switch())
    }

    /// The same in the network where its caller is.
    ///
    /// # Errors
    /// When the first answer does not come.
    pub fn start_here(target: SocketAddr, mix: Mix) -> Result<Self> {
        Self::begin(target, mix, || Ok(()))
    }

    fn begin(target: SocketAddr, mix: Mix, enter: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicUsize::new(0));
        let (first, started) = std::sync::mpsc::sync_channel(1);
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&done));
        let thread = std::thread::Builder::new().name("load".into()).spawn(move || {
            enter()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(target, mix, &stopped, counted, first))
        })?;
        let load = Self { stop, done, thread: Some(thread) };
        started.recv_timeout(PATIENCE).context("the load got no first answer")?;
        Ok(load)
    }

    /// How many requests have come to their end so far.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends it and returns every answer, also those of requests that were under way.
    ///
    /// # Errors
    /// When the load itself broke.
    pub fn stop(mut self) -> Result<Answers> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a load is stopped once")?;
        thread.join().map_err(|_| anyhow!("the load's thread panicked"))?
    }
}

impl Drop for Load {
    /// A scenario that failed leaves no load behind: its thread ends within a client's patience.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// One request to be made.
#[derive(Clone, Debug)]
struct Wanted {
    method: Method,
    path: &'static str,
    uri: String,
    body: &'static str,
    kept: bool,
}

/// The `n`-th request of a mix: the same every time.
fn nth(n: u64, mix: Mix) -> Wanted {
    let id = n.wrapping_mul(2_654_435_761) % 280 + 1;
    let get = |path: &'static str, uri: String| Wanted { method: Method::GET, path, uri, body: "", kept: n.is_multiple_of(5) };
    if mix.paths == Paths::Promised {
        return match n % 5 {
            0 => Wanted { method: Method::POST, path: "/operation", uri: "/operation".into(), body: "{\"operation\": 42}", kept: false },
            1 => get("/db_dummy", "/db_dummy".into()),
            2 => get("/api/movie/{id}", format!("/api/movie/{id}")),
            3 => get("/api/customer/{id}", format!("/api/customer/{id}")),
            _ => get("/api/session/{id}", format!("/api/session/{id}")),
        };
    }
    match n % 20 {
        0..5 => get("/ping", "/ping".into()),
        5 => get("/", "/".into()),
        6..9 => get("/db_dummy", "/db_dummy".into()),
        9..11 => get("/api/movie/{id}", format!("/api/movie/{id}")),
        11..13 => get("/api/customer/{id}", format!("/api/customer/{id}")),
        13..15 => get("/api/session/{id}", format!("/api/session/{id}")),
        15 | 16 if mix.paths == Paths::Mixed => {
            Wanted { method: Method::POST, path: "/operation", uri: "/operation".into(), body: "{\"operation\": 42}", kept: false }
        }
        // An id far above all data: a DELETE that works and takes nothing away.
        17 if mix.paths == Paths::Mixed => Wanted {
            method: Method::DELETE,
            path: "/api/session/{id}",
            uri: format!("/api/session/{}", 1_000_000_000 + id),
            body: "",
            kept: false,
        },
        18 if mix.paths == Paths::Mixed => Wanted {
            method: Method::POST,
            path: "/api/session",
            uri: "/api/session".into(),
            body: "{\"customer_id\": 1, \"movie_id\": 1}",
            kept: false,
        },
        _ => get("/ping", "/ping".into()),
    }
}

async fn run(
    target: SocketAddr,
    mix: Mix,
    stop: &AtomicBool,
    done: Arc<AtomicUsize>,
    first: std::sync::mpsc::SyncSender<()>,
) -> Result<Answers> {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let kept = Arc::new(tokio::sync::Mutex::new(None));
    let mut tick = interval(Duration::from_secs(1) / mix.rate.max(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begin = Instant::now();
    for n in 0.. {
        tick.tick().await;
        if stop.load(Ordering::Relaxed) || begin.elapsed() > LONGEST {
            break;
        }
        let wanted = nth(n, mix);
        let place = Arc::clone(&places).try_acquire_owned();
        let (answers, kept, done, first) = (Arc::clone(&answers), Arc::clone(&kept), Arc::clone(&done), first.clone());
        tokio::spawn(async move {
            let answer = match place {
                Ok(_place) => ask(target, &wanted, &kept).await,
                Err(_) => answer(&wanted, Instant::now(), None, Class::NoAnswer, "too many requests under way".into()),
            };
            answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            done.fetch_add(1, Ordering::Relaxed);
            // Only the first of them is waited for.
            let _ = first.try_send(());
        });
    }
    // Every request under way has its patience; then all places are free again.
    let all = u32::try_from(IN_FLIGHT).context("a small number")?;
    let _all = timeout(PATIENCE * 2, places.acquire_many(all)).await.context("requests under way did not end")??;
    let mut answers = answers.lock().map_err(|_| anyhow!("a request's task panicked"))?;
    Ok(Answers(std::mem::take(&mut *answers)))
}

type Kept = tokio::sync::Mutex<Option<SendRequest<Full<Bytes>>>>;

async fn ask(target: SocketAddr, wanted: &Wanted, kept: &Kept) -> Answer {
    let begin = Instant::now();
    match timeout(PATIENCE, exchange(target, wanted, kept)).await {
        Ok(Ok(status)) => {
            let class = match status {
                429 => Class::Busy,
                500.. => Class::ServerError,
                _ => Class::Answered,
            };
            answer(wanted, begin, Some(status), class, format!("status {status}"))
        }
        Ok(Err((class, status, error))) => answer(wanted, begin, status, class, format!("{error:#}")),
        Err(_) => answer(wanted, begin, None, Class::NoAnswer, format!("nothing within {PATIENCE:?}")),
    }
}

fn answer(wanted: &Wanted, begin: Instant, status: Option<u16>, class: Class, detail: String) -> Answer {
    let method = match wanted.method {
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "GET",
    };
    let usec = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
    Answer { at: crate::timeline::now_micros(), method, path: wanted.path, status, class, usec, detail }
}

type Broken = (Class, Option<u16>, anyhow::Error);

async fn exchange(target: SocketAddr, wanted: &Wanted, kept: &Kept) -> Result<u16, Broken> {
    let before = |error: anyhow::Error| (Class::NoAnswer, None, error);
    let mut sender = match if wanted.kept { kept.lock().await.take() } else { None } {
        Some(sender) => sender,
        None => connect(target).await.map_err(before)?,
    };
    let mut response = sender.try_send_request(request(wanted).map_err(before)?).await;
    if let Err(failed) = &mut response
        && failed.take_message().is_some()
    {
        // The kept connection was closed while idle, and nothing was sent: any client connects anew.
        sender = connect(target).await.map_err(before)?;
        response = sender.try_send_request(request(wanted).map_err(before)?).await;
    }
    let response = response.map_err(|failed| before(anyhow::Error::new(failed.into_error())))?;
    let status = response.status().as_u16();
    response.into_body().collect().await.map_err(|error| (Class::Truncated, Some(status), anyhow::Error::new(error)))?;
    if wanted.kept && !sender.is_closed() {
        *kept.lock().await = Some(sender);
    }
    Ok(status)
}

fn request(wanted: &Wanted) -> Result<Request<Full<Bytes>>> {
    let mut builder = Request::builder().method(&wanted.method).uri(&wanted.uri).header("host", "lb-1").header("user-agent", "load");
    if !wanted.body.is_empty() {
        builder = builder.header("content-type", "application/json");
    }
    if !wanted.kept {
        builder = builder.header("connection", "close");
    }
    Ok(builder.body(Full::new(Bytes::from_static(wanted.body.as_bytes())))?)
}

async fn connect(target: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(target).await.context("connecting")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("speaking HTTP")?;
    // Ends with its connection; its error reaches the request that waits on it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
