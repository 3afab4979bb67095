//! The control socket: what `agentctl` and a metrics collector on this machine ask.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /v1/status` | [`AgentStatus`] as JSON: everything the agent knows |
//! | `GET /metrics` | OpenMetrics text |
//!
//! Who may ask is decided by the socket's mode and group (0660, `warden`); nothing here changes anything.
//! Left to others: the socket itself and its bounds (`warden_edge::serve`), and what is in the answers.

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use tokio::net::UnixListener;
use warden_edge::serve::{self, Limits};
use warden_protocol::v1::control::AgentStatus;
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// Makes the status anew for every request.
pub type Status = Arc<dyn Fn() -> AgentStatus + Send + Sync>;
/// Makes the metrics' text anew for every request.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Answers on `listener` for ever.
pub async fn serve(listener: UnixListener, status: Status, metrics: Metrics) {
    serve::unix(listener, router(status, metrics), Limits::default()).await;
}

fn router(status: Status, metrics: Metrics) -> Router {
    Router::new()
        .route("/v1/status", get(|State((status, _)): State<(Status, Metrics)>| async move { Json(status()) }))
        .route("/metrics", get(|State((_, metrics)): State<(Status, Metrics)>| async move { open_metrics(metrics()) }))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state((status, metrics))
}

fn open_metrics(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

async fn unknown(uri: Uri) -> Response {
    let code = ErrorCode::NotFound;
    let message = format!("the agent has no {}; it answers GET /v1/status and GET /metrics", uri.path());
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::NOT_FOUND);
    (status, Json(ErrorBody { code, message })).into_response()
}
