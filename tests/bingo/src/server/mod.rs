//! The HTTP server: who is accepted, how long a request may take, and which endpoint it reaches.
//!
//! Every request has its limit, from its head to the last byte of its answer. When it is over, the connection is
//! dropped without a word. A hung process accepts and stays silent; a sick one answers the same to everything.

mod api;
mod quota;
mod reply;

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::database::Database;
use crate::database::queries::{Customer, Movie, Session};
use crate::failure::{Doom, Health, Mode};
use crate::log::Log;
use quota::{Admission, Quota};
use reply::{Deadline, Reply, json, text};

use api::Trouble;

/// Connections at once: half of the usual soft limit of 1024 descriptors. More wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 512;
/// Lists at once; see [`api::list`].
const MOST_LISTS: usize = 2;
/// How long a connection may idle between requests.
const IDLE: Duration = Duration::from_secs(60);
/// After an accept that failed, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all requests share.
pub(crate) struct App {
    database: Database,
    log: Arc<Log>,
    doom: Arc<Doom>,
    nibbles: [Option<Mode>; 16],
    quota: Mutex<Quota>,
    /// The quota's clock.
    begun: Instant,
    lists: Arc<Semaphore>,
    request_limit: Duration,
}

impl App {
    pub(crate) fn new(
        database: Database,
        log: Arc<Log>,
        doom: Arc<Doom>,
        nibbles: [Option<Mode>; 16],
        request_limit: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            database,
            log,
            doom,
            nibbles,
            quota: Mutex::default(),
            begun: Instant::now(),
            lists: Arc::new(Semaphore::new(MOST_LISTS)),
            request_limit,
        })
    }
}

/// Listens on every address, IPv4 through the IPv6 wildcard; on a machine without IPv6, as Go does, on IPv4 alone.
pub(crate) async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        other => other,
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>) -> ! {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // Never closed, so the permit always comes; without one the connection would only be uncounted.
        let slot = Arc::clone(&slots).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = Arc::clone(&app);
                tokio::spawn(async move {
                    connection(stream, app).await;
                    drop(slot);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, app: Arc<App>) {
    let _ = stream.set_nodelay(true);
    let overdue = Arc::new(Notify::new());
    let service = service_fn(|request| answer(Arc::clone(&app), Arc::clone(&overdue), request));
    let serving = http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(IDLE).serve_connection(TokioIo::new(stream), service);
    // Both arms are cancel-safe in the only sense that matters here: whichever ends first, the connection is dropped.
    tokio::select! {
        _ = serving => {}
        () = overdue.notified() => {}
    }
}

/// From a request to its answer: state of health, limit, quota, endpoint, log line.
async fn answer(app: Arc<App>, overdue: Arc<Notify>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = match app.doom.health() {
        Health::Hung => std::future::pending().await,
        Health::Sick => api::sick(),
        Health::Fit => {
            let limit = app.request_limit;
            let deadline = Deadline(
                tokio::spawn(async move {
                    tokio::time::sleep(limit).await;
                    overdue.notify_one();
                })
                .abort_handle(),
            );
            let mut response = admitted(&app, request).await;
            if app.doom.health() == Health::Hung {
                drop(deadline);
                match std::future::pending::<Infallible>().await {}
            }
            response.body_mut().deadline = Some(deadline);
            response
        }
    };
    app.log.write(
        "info",
        "server/middleware.go:34",
        "request completed",
        &[
            ("method", method.as_str().into()),
            ("url_path", path.into()),
            ("status", response.status().as_u16().into()),
            ("event_duration", begun.elapsed().as_secs_f64().into()),
        ],
    );
    Ok(response)
}

/// Waits for the request's turn within the quota, then routes it.
async fn admitted(app: &App, request: Request<Incoming>) -> Response<Reply> {
    let admission = app.quota.lock().unwrap_or_else(PoisonError::into_inner).draw(app.begun.elapsed());
    match admission {
        Admission::Now => {}
        Admission::At(when) => tokio::time::sleep_until(app.begun + when).await,
        Admission::Refused => {
            app.log.write("error", "server/middleware.go:21", "Too many requests", &[]);
            return text(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
        }
    }
    let path = request.uri().path().to_owned();
    match route(app, request).await {
        Ok(response) => response,
        Err(Trouble::Bad(why)) => json(StatusCode::BAD_REQUEST, &json!({ "error": why })),
        Err(Trouble::NotFound) => json(StatusCode::NOT_FOUND, &json!({ "error": "not found" })),
        Err(Trouble::Broken(error)) => {
            let why = format!("{error:#}");
            app.log.error("server/middleware.go:48", "request failed", &format!("{path}: {why}"));
            json(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": why }))
        }
    }
}

async fn route(app: &App, request: Request<Incoming>) -> Result<Response<Reply>, Trouble> {
    let (head, body) = request.into_parts();
    let steps: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    let database = &app.database;
    // Go's router answers HEAD where it answers GET; hyper leaves the body away.
    let method = if head.method == Method::HEAD { Method::GET } else { head.method };
    match (method.as_str(), steps.as_slice()) {
        ("GET" | "POST", [""]) => Ok(text(StatusCode::OK, api::INDEX)),
        ("GET", ["ping"]) => Ok(text(StatusCode::OK, "pong")),
        ("GET", ["db_dummy"]) => api::db_dummy(database).await,
        ("GET", ["long_dummy"]) => api::long_dummy().await,
        ("POST", ["operation"]) => api::operation(app, body).await,
        ("GET", ["api", "movie"]) => api::list::<Movie>(app).await,
        ("GET", ["api", "movie", id]) => api::one::<Movie, i32>(database, id).await,
        ("GET", ["api", "customer"]) => api::list::<Customer>(app).await,
        ("GET", ["api", "customer", id]) => api::one::<Customer, i32>(database, id).await,
        ("GET", ["api", "session"]) => api::list_sessions(app).await,
        ("POST", ["api", "session"]) => api::add_session(database, body).await,
        ("GET", ["api", "session", id]) => api::one::<Session, i64>(database, id).await,
        ("DELETE", ["api", "session", id]) => api::remove_session(database, id).await,
        (_, [""] | ["ping" | "db_dummy" | "long_dummy" | "operation"] | ["api", "movie" | "customer" | "session", ..]) => {
            Ok(text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n"))
        }
        _ => Ok(text(StatusCode::NOT_FOUND, "404 page not found\n")),
    }
}
