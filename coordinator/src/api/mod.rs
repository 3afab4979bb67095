//! What people and their programs read: the fleet's status on the admin socket; metrics and health on the page's address.

use crate::metrics::Metrics;
use crate::steer::{Call, Calls, Pulse};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use warden_logic::moment::{Moment, Span};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// How long a looker waits for the loop.
const PATIENCE: Duration = Duration::from_secs(5);

/// The admin socket: `GET /v1/fleet`.
pub fn admin(calls: Calls) -> Router {
    Router::new().route("/v1/fleet", get(fleet)).with_state(calls)
}

async fn fleet(State(calls): State<Calls>) -> Response {
    let (answer, answered) = oneshot::channel();
    let asked = async {
        calls.send(Call::Fleet { answer }).await.ok()?;
        answered.await.ok()
    };
    match timeout(PATIENCE, asked).await {
        Ok(Some(status)) => Json(status).into_response(),
        Ok(None) | Err(_) => {
            let message = "the steering loop does not answer: journalctl -u warden-coordinator tells more".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, Json(ErrorBody { code: ErrorCode::Unavailable, message })).into_response()
        }
    }
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
