//! Reports in, directives out: `PUT /v1/nodes/{node}/report`.
//!
//! Guarantees: only who may speak for a node is listened to, before anything that he sends is read; a report is read, checked against
//! its path and version, and handed to the steering loop; the answer is what the loop
//! says after whatever the report changed has been reached. A loop that is busy or stuck gets `unavailable`, never a hanging connection.
//! Left to others: which report is newer (`warden_logic::fleet::roster`), who may speak for which node (`trust`).

use crate::metrics::{Metrics, Outcome};
use crate::steer::{Call, Calls};
use crate::trust::Trust;
use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use warden_edge::serve::{Certified, Limits};
use warden_logic::fleet::roster::Refused;
use warden_logic::moment::Moment;
use warden_logic::trust::callers::Why;
use warden_protocol::v1::VERSION;
use warden_protocol::v1::error::{ErrorBody, ErrorCode};
use warden_protocol::v1::report::{Directives, Report};

/// Services of one node. A report of so many, at about 1 kB each, still fits into the largest body.
const MOST_SERVICES: usize = 256;
/// Bytes of a report.
const LARGEST: usize = 512 * 1024;
/// A DNS name's limit.
const LONGEST_NAME: usize = 253;

/// What the server that carries this router allows.
#[must_use]
pub fn limits(heartbeat: Duration) -> Limits {
    // A connection an agent: 10,000 is the aim, and some room for those that come again before the old one is gone. An idle
    // connection is one that missed three heartbeats.
    let head = (heartbeat * 3).max(Duration::from_secs(30));
    Limits { connections: 12_000, body: LARGEST, head, answer: Duration::from_secs(10), ..Limits::default() }
}

/// What the handler needs.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The steering loop.
    pub calls: Calls,
    /// How long a report waits for the loop, and again for its answer.
    pub patience: Duration,
    /// Where reports are counted that go no further.
    pub metrics: Arc<Metrics>,
    /// Who may report.
    pub trust: Arc<Trust>,
    /// The clock.
    pub clock: fn() -> Moment,
}

/// The routes for agents.
pub fn router(intake: Intake) -> Router {
    let report = put(report).route_layer(from_fn_with_state(intake.clone(), admit));
    Router::new().route("/v1/nodes/{node}/report", report).fallback(nothing_here).with_state(intake)
}

/// A refusal: the code decides the status.
struct Refusal(ErrorBody);

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ErrorBody { code, message: message.into() })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

async fn nothing_here() -> Response {
    Refusal::new(ErrorCode::NotFound, "there is PUT /v1/nodes/NODE/report; under an operator's certificate GET /v1/fleet and POST /v1/fleet/VERB, /v1/servers/NAME/VERB, too").into_response()
}

/// Whether somebody may speak for a node. The body of who may not is not even waited for.
async fn admit(State(intake): State<Intake>, Path(node): Path<String>, request: Request, next: Next) -> Response {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if node.is_empty() || node.len() > LONGEST_NAME || !node.chars().all(plain) {
        intake.metrics.report(Outcome::Malformed);
        let text = format!("a node's name has letters, digits, `-`, `_` and `.`, at most {LONGEST_NAME} of them");
        return Refusal::new(ErrorCode::BadRequest, text).into_response();
    }
    let shown = request.extensions().get::<Certified>().map(|Certified(certificate)| Arc::clone(certificate));
    let Err(denied) = intake.trust.admit(&node, shown.as_deref()) else { return next.run(request).await };
    let (outcome, code) = match denied.why {
        Why::OtherName | Why::RunOut => (Outcome::Denied, ErrorCode::Forbidden),
        Why::TooOften => (Outcome::TooMany, ErrorCode::TooMany),
    };
    intake.metrics.report(outcome);
    let mut refusal = Refusal::new(code, denied.text).into_response();
    if denied.why == Why::RunOut {
        // The next connection has to be under a certificate that is good.
        refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    refusal
}

async fn report(State(intake): State<Intake>, Path(node): Path<String>, body: Result<Bytes, BytesRejection>) -> Response {
    let arrived = (intake.clock)();
    let unread = |rejection: BytesRejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(ErrorCode::TooLarge, format!("a report has at most {LARGEST} bytes")),
        _ => Refusal::new(ErrorCode::BadRequest, rejection.body_text()),
    };
    let read = body.map_err(unread).and_then(|body| read(&node, &body));
    let answer = match read {
        Ok(report) => hand_over(&intake, report, arrived).await,
        Err(refusal) => {
            intake.metrics.report(Outcome::Malformed);
            Err(refusal)
        }
    };
    match answer {
        Ok(directives) => Json(directives).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Reads a report and checks it against its path.
fn read(node: &str, body: &[u8]) -> Result<Report, Refusal> {
    let bad = |message: String| Refusal::new(ErrorCode::BadRequest, message);
    let report: Report = serde_json::from_slice(body).map_err(|error| bad(format!("not a report: {error}")))?;
    if report.v != VERSION {
        return Err(bad(format!(
            "version {} of the report is not known here, only {VERSION}: use an agent of the coordinator's version",
            report.v
        )));
    }
    if report.node != node {
        return Err(bad(format!("the report is of node {:?}, the path says {node:?}", report.node)));
    }
    if report.services.len() > MOST_SERVICES {
        return Err(bad(format!("{} services; a node has at most {MOST_SERVICES}", report.services.len())));
    }
    Ok(report)
}

async fn hand_over(intake: &Intake, report: Report, arrived: Moment) -> Result<Directives, Refusal> {
    let unavailable = |message| Refusal::new(ErrorCode::Unavailable, message);
    let (answer, answered) = oneshot::channel();
    let sent = timeout(intake.patience, intake.calls.send(Call::Report { report, arrived, answer })).await;
    sent.map_err(|_| unavailable("too many reports are waiting; send it again"))?.map_err(|_| unavailable("the coordinator is ending"))?;
    let outcome = timeout(intake.patience, answered).await;
    let outcome = outcome
        .map_err(|_| unavailable("the steering loop is busy; send it again"))?
        .map_err(|_| unavailable("the coordinator is ending"))?;
    outcome.map_err(|refused| {
        let code = match refused {
            Refused::Overtaken { .. } | Refused::Replaced => ErrorCode::Stale,
            Refused::Full => ErrorCode::Unavailable,
        };
        Refusal::new(code, refused.to_string())
    })
}
