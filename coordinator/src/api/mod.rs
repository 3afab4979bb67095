//! What people and their programs read and ask for: on the admin socket, and where agents report, from any machine with an operator's
//! certificate; metrics and health on the page's address.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /v1/fleet` | everything that is known, as JSON |
//! | `POST /v1/fleet/{pause,resume}` | nothing is begun by plan, for so long or until then |
//! | `POST /v1/servers/{name}/{drain,undrain}` | out of rotation whatever the agents say; the name is a node's, a server's, or `BACKEND/SERVER` |
//!
//! On the socket, who may read is decided by its mode and group (0660, `warden`), who may act by the kernel's word on who is at the other
//! end; from another machine, a certificate decides both ([`caller`]). What comes of a wish is decided elsewhere
//! (`warden_logic::fleet::wishes`). `docs/openapi.json` describes all of it.

mod act;
mod caller;

use crate::metrics::Metrics;
use crate::steer::{Call, Calls, Pulse};
use crate::trust::Trust;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use caller::Caller;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use warden_edge::printable::escaped;
use warden_edge::serve::Limits;
use warden_edge::who::Register;
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// How long a looker waits for the loop.
const PATIENCE: Duration = Duration::from_secs(5);

/// A wish is a few words.
const LONGEST_BODY: usize = 16 * 1024;

/// Who may act.
#[derive(Clone, Debug, Default)]
pub struct Operators {
    /// On this machine: the group whose members may.
    pub group: String,
    /// From another one: the names in their certificates.
    pub names: Vec<String>,
}

/// What lies behind the routes for operators.
#[derive(Clone, Debug)]
pub struct Desk {
    calls: Calls,
    operators: watch::Receiver<Operators>,
    trust: Arc<Trust>,
    register: Register,
}

impl Desk {
    /// `calls`: the steering loop; `operators`: a reload may change them.
    #[must_use]
    pub fn open(calls: Calls, operators: watch::Receiver<Operators>, trust: Arc<Trust>) -> Self {
        Self { calls, operators, trust, register: Register::open() }
    }
}

/// The routes for operators.
pub fn operators(desk: Desk) -> Router {
    Router::new()
        .route("/v1/fleet", get(fleet))
        .route("/v1/fleet/{verb}", post(act::fleet))
        .route("/v1/servers/{name}/{verb}", post(act::server))
        .with_state(desk)
}

/// The same, and nothing else: the admin socket.
pub fn admin(desk: Desk) -> Router {
    operators(desk).fallback(unknown)
}

/// What the admin socket allows.
#[must_use]
pub fn limits() -> Limits {
    Limits { body: LONGEST_BODY, ..Limits::default() }
}

async fn fleet(State(desk): State<Desk>, caller: Caller) -> Response {
    let status = async {
        caller.may_look(&desk)?;
        asked(&desk.calls, |answer| Call::Fleet { answer }).await
    };
    match status.await {
        Ok(status) => Json(status).into_response(),
        Err(error) => refused(error),
    }
}

/// Asks the loop, and waits for what it says.
async fn asked<T>(calls: &Calls, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, ErrorBody> {
    let (answer, answered) = oneshot::channel();
    let asked = async {
        calls.send(call(answer)).await.ok()?;
        answered.await.ok()
    };
    timeout(PATIENCE, asked).await.ok().flatten().ok_or_else(|| {
        let message = "the steering loop does not answer: journalctl -u warden-coordinator tells more".to_owned();
        ErrorBody { code: ErrorCode::Unavailable, message }
    })
}

async fn unknown(uri: Uri) -> Response {
    let message = format!(
        "the coordinator has no {}; it answers GET /v1/fleet and POST /v1/fleet/VERB, /v1/servers/NAME/VERB",
        escaped(uri.path(), 240)
    );
    refused(ErrorBody { code: ErrorCode::NotFound, message })
}

fn refused(error: ErrorBody) -> Response {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(error)).into_response()
}

/// What the page's routes look at.
#[derive(Clone, Debug)]
pub struct Health {
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// The loop.
    pub pulse: Arc<Pulse>,
    /// A loop that is silent for longer is stuck.
    pub stuck_after: Span,
    /// The clock.
    pub clock: fn() -> Moment,
}

/// The page: `/metrics`, `/live` (the loop turns) and `/ready` (and HAProxy answers it).
pub fn page(health: Health) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/live", get(live)).route("/ready", get(ready)).with_state(health)
}

async fn metrics(State(health): State<Health>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], health.metrics.text()).into_response()
}

async fn live(State(health): State<Health>) -> (StatusCode, String) {
    match health.pulse.silent((health.clock)()) {
        Some(silent) if silent <= health.stuck_after => (StatusCode::OK, "live\n".to_owned()),
        Some(silent) => (StatusCode::SERVICE_UNAVAILABLE, format!("the steering loop has been silent for {silent}\n")),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the steering loop has not begun\n".to_owned()),
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.pulse.steering() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "HAProxy does not answer\n") }
}
