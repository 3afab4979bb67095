//! The control socket: what `agentctl` and a metrics collector on this machine ask.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /v1/status` | [`AgentStatus`] as JSON: everything the agent knows |
//! | `GET /metrics` | Prometheus' text |
//! | `GET /v1/incidents`, `GET /v1/incidents/{id}` | what is kept of incidents, as JSON |
//! | `GET /v1/trace` | the last inputs, one JSON document a line |
//! | `POST /v1/services/{unit}/{verb}` | `restart`, `drain`, `undrain`, `maintenance`, `resume`; the body is an [`Ask`](warden_protocol::v1::control::Ask) |
//! | `POST /v1/reload` | the configuration is read again |
//!
//! Who may read is decided by the socket's mode and group (0660, `warden`). Who may act is decided here, by the kernel's word on
//! who is at the other end: root, the agent's own user, and members of the operators' group (`warden_edge::who`). Whatever is asked for is
//! written down with the name of who did. Every refusal is an [`ErrorBody`] whose sentence says what to do.
//!
//! Left to others: the socket itself and its bounds (`warden_edge::serve`), what is in the answers, and whether an order is
//! carried out (`crate::supervisor`).

mod act;

use crate::incident;
use crate::metrics::CONTENT_TYPE;
use crate::supervisor::order::{Order, Refusal};
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use warden_edge::serve::{self, Limits};
use warden_edge::who::Register;
use warden_protocol::v1::control::AgentStatus;
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// A wish is a few words; the longest reason that is kept is far below that.
const LONGEST_BODY: usize = 16 * 1024;
/// The control loop answers in microseconds; a reload reads files and asks systemd. Shorter than what ends the whole answer.
const PATIENCE: Duration = Duration::from_secs(9);

/// Makes the status anew for every request.
pub type Status = Arc<dyn Fn() -> AgentStatus + Send + Sync>;
/// Makes a text anew for every request.
pub type Words = Arc<dyn Fn() -> String + Send + Sync>;

/// What lies behind the socket.
#[derive(Clone)]
pub struct Desk {
    /// Everything the agent knows.
    pub status: Status,
    /// Prometheus' text.
    pub metrics: Words,
    /// What is kept of incidents; `None`: nothing is.
    pub incidents: Option<incident::Desk>,
    /// To the control loop.
    pub orders: mpsc::Sender<Order>,
    /// The group whose members may act; asked anew for every request, since a reload may change it.
    pub operators: Words,
}

/// Answers on `listener` for ever.
pub async fn serve(listener: UnixListener, desk: Desk) {
    serve::unix(listener, router(desk), Limits { body: LONGEST_BODY, ..Limits::default() }).await;
}

/// Answers `GET /metrics` on `listener` for ever, and nothing else: anybody may ask there.
pub async fn serve_metrics(listener: TcpListener, metrics: Words) {
    let text = get(|State(metrics): State<Words>| async move { prometheus(metrics()) });
    let router = Router::new().route("/metrics", text).with_state(metrics);
    // A collector or two, and a person.
    serve::tcp(listener, router, Limits { connections: 16, body: 0, ..Limits::default() }).await;
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/v1/status", get(|State(desk): State<Desk>| async move { Json((desk.status)()) }))
        .route("/metrics", get(|State(desk): State<Desk>| async move { prometheus((desk.metrics)()) }))
        .route("/v1/incidents", get(list))
        .route("/v1/incidents/{id}", get(show))
        .route("/v1/trace", get(trace))
        .route("/v1/services/{unit}/{verb}", post(act::service))
        .route("/v1/reload", post(act::reload))
        .fallback(unknown)
        .method_not_allowed_fallback(otherwise)
        .layer(Extension(Register::open()))
        .with_state(desk)
}

fn prometheus(text: String) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

async fn list(State(desk): State<Desk>) -> Response {
    match &desk.incidents {
        Some(kept) => told(kept.list().await.map(Some), || ErrorBody { code: ErrorCode::NotFound, message: String::new() }),
        None => refused(nothing_kept()),
    }
}

async fn show(State(desk): State<Desk>, Path(id): Path<String>) -> Response {
    match &desk.incidents {
        Some(kept) => told(kept.show(&id).await, || ErrorBody {
            code: ErrorCode::NotFound,
            message: format!(
                "no incident {id} is kept on this node; agentctl incident list has those that are, agentctl events the journal's"
            ),
        }),
        None => refused(nothing_kept()),
    }
}

fn told<T: Serialize>(found: Result<Option<T>, String>, missing: impl FnOnce() -> ErrorBody) -> Response {
    match found {
        Ok(Some(document)) => Json(document).into_response(),
        Ok(None) => refused(missing()),
        Err(why) => {
            refused(ErrorBody { code: ErrorCode::Unavailable, message: format!("what is kept of incidents cannot be told: {why}") })
        }
    }
}

fn nothing_kept() -> ErrorBody {
    ErrorBody {
        code: ErrorCode::Unavailable,
        message: "this agent keeps nothing of incidents; agentctl events has the journal's".to_owned(),
    }
}

async fn trace(State(desk): State<Desk>) -> Response {
    let (reply, answer) = oneshot::channel();
    match ordered(&desk, Order::Trace { reply }, answer).await {
        Ok(text) => ([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response(),
        Err(error) => refused(error),
    }
}

/// Gives an order to the control loop and waits for what it says.
async fn ordered<T>(desk: &Desk, order: Order, answer: oneshot::Receiver<T>) -> Result<T, ErrorBody> {
    let said = tokio::time::timeout(PATIENCE, async {
        desk.orders.send(order).await.ok()?;
        answer.await.ok()
    });
    match said.await {
        Ok(Some(said)) => Ok(said),
        Ok(None) => Err(unavailable("the agent is ending; ask again when it is back".to_owned())),
        Err(_) => Err(unavailable(format!(
            "the agent's control loop has not answered for {} s, and whether it was done is not known; see journalctl -u warden-agent",
            PATIENCE.as_secs()
        ))),
    }
}

const fn unavailable(message: String) -> ErrorBody {
    ErrorBody { code: ErrorCode::Unavailable, message }
}

async fn unknown(uri: Uri) -> Response {
    let message = format!(
        "the agent has no {}; it answers GET /v1/status, /metrics, /v1/incidents, /v1/incidents/ID, /v1/trace and POST \
         /v1/services/UNIT/VERB, /v1/reload",
        uri.path()
    );
    refused(ErrorBody { code: ErrorCode::NotFound, message })
}

async fn otherwise(method: Method, uri: Uri) -> Response {
    // What is there answers one method: what changes something POST, what does not GET.
    let right = if method == Method::POST { "GET" } else { "POST" };
    let message = format!("{method} {} makes no sense; ask with {right}", uri.path());
    refused(ErrorBody { code: ErrorCode::MethodNotAllowed, message })
}

fn refused(error: ErrorBody) -> Response {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(error)).into_response()
}

impl From<Refusal> for ErrorBody {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message }
    }
}
