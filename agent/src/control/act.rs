//! What changes something: who asks, what for, and what came of it.

use super::{Desk, LONGEST_BODY, ordered, refused};
use crate::message_id;
use crate::printable::escaped;
use crate::supervisor::order::{Order, Refusal};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use tokio::sync::oneshot;
use warden_edge::ask;
use warden_edge::clock::monotonic_micros;
use warden_edge::serve::Peer;
use warden_edge::who::{self, Register, Who};
use warden_logic::moment::{Moment, Span};
use warden_logic::service::input::{Operator, Order as Wish};
use warden_protocol::v1::control::{Accepted, Ask};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// The longest reason that is kept: a sentence.
const REASON: usize = 240;
/// Longer than any maintenance that is still one.
const LONGEST: Span = Span::from_secs(30 * 86_400);

/// `POST /v1/reload` takes nothing.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(super) async fn service(
    State(desk): State<Desk>,
    Extension(register): Extension<Register>,
    Extension(peer): Extension<Peer>,
    Path((unit, verb)): Path<(String, String)>,
    request: Request,
) -> Response {
    let asked = async {
        // Who may not act learns nothing of what could be asked.
        let who = register.operator(peer, (desk.operators)()).await.map_err(not_allowed)?;
        let ask: Ask = ask::body(request, LONGEST_BODY).await.map_err(no_sense)?;
        let operator = Operator { by: who.short(), reason: escaped(ask.reason.trim(), REASON), order: wish(&verb, &ask, now())? };
        let what = if ask.now { format!("{verb} --now") } else { verb };
        Ok::<_, ErrorBody>((who, what, operator))
    };
    match asked.await {
        Ok((who, what, operator)) => {
            let reason = operator.reason.clone();
            let (reply, answer) = oneshot::channel();
            let said = ordered(&desk, Order::Operator { unit: unit.clone(), operator, reply }, answer).await;
            finish(&who, &unit, &what, &reason, said)
        }
        Err(error) => {
            not_carried_out(peer, &error);
            refused(error)
        }
    }
}

pub(super) async fn reload(
    State(desk): State<Desk>,
    Extension(register): Extension<Register>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let asked = async {
        let who = register.operator(peer, (desk.operators)()).await.map_err(not_allowed)?;
        let Nothing {} = ask::body(request, LONGEST_BODY).await.map_err(no_sense)?;
        Ok::<_, ErrorBody>(who)
    };
    match asked.await {
        Ok(who) => {
            let (reply, answer) = oneshot::channel();
            let said = ordered(&desk, Order::Reload { reply: Some(reply) }, answer).await;
            finish(&who, "", "reload", "", said)
        }
        Err(error) => {
            not_carried_out(peer, &error);
            refused(error)
        }
    }
}

fn now() -> Moment {
    Moment::from_micros(monotonic_micros())
}

/// What `verb` and its body come to.
fn wish(verb: &str, ask: &Ask, now: Moment) -> Result<Wish, ErrorBody> {
    let bad = |message: String| Err(ErrorBody { code: ErrorCode::BadRequest, message });
    if ask.now && verb != "restart" {
        return bad(format!("`now` goes with restart, not with {verb}"));
    }
    if ask.for_ms.is_some() && verb != "maintenance" {
        return bad(format!("`for_ms` goes with maintenance, not with {verb}"));
    }
    if ask.backend.is_some() || ask.max_unavailable.is_some() || ask.soak_ms.is_some() {
        return bad("`backend`, `max_unavailable` and `soak_ms` go with a roll, which is asked of the coordinator".to_owned());
    }
    let time = ask.for_ms.map(Span::from_millis);
    if let Some(time) = time.filter(|time| *time > LONGEST || time.is_zero()) {
        return bad(format!("maintenance for {time} makes no sense: from 1 ms to {LONGEST}, or leave the time out"));
    }
    match verb {
        "restart" => Ok(Wish::Restart { now: ask.now }),
        "drain" => Ok(Wish::Drain),
        "undrain" => Ok(Wish::Undrain),
        "maintenance" => Ok(Wish::Maintain { until: time.map(|time| now.plus(time)) }),
        "resume" => Ok(Wish::Resume),
        _ => Err(ErrorBody {
            code: ErrorCode::NotFound,
            message: format!("a service knows no {}; it takes restart, drain, undrain, maintenance and resume", escaped(verb, REASON)),
        }),
    }
}

fn not_allowed(refused: who::Refused) -> ErrorBody {
    match refused {
        who::Refused::Forbidden(message) => ErrorBody { code: ErrorCode::Forbidden, message },
        who::Refused::CannotTell(message) => ErrorBody { code: ErrorCode::Unavailable, message },
    }
}

fn no_sense(fault: ask::Fault) -> ErrorBody {
    match fault {
        ask::Fault::TooLarge(message) => ErrorBody { code: ErrorCode::TooLarge, message },
        ask::Fault::Bad(message) => ErrorBody { code: ErrorCode::BadRequest, message },
    }
}

/// Writes down who asked for what, and answers.
fn finish(who: &Who, unit: &str, what: &str, reason: &str, said: Result<Result<String, Refusal>, ErrorBody>) -> Response {
    let said = said.and_then(|said| said.map_err(ErrorBody::from));
    let of = if unit.is_empty() { String::new() } else { format!("{}: ", escaped(unit, REASON)) };
    let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    let outcome = match &said {
        Ok(message) => escaped(message, REASON),
        Err(error) => format!("refused: {}", escaped(&error.message, REASON)),
    };
    tracing::info!(
        MESSAGE_ID = message_id::OPERATOR,
        WARDEN_EVENT = "operator",
        WARDEN_UNIT = unit,
        WARDEN_OPERATOR = who.short().as_str(),
        WARDEN_OPERATOR_UID = who.uid(),
        WARDEN_OUTCOME = if said.is_ok() { "accepted" } else { "refused" },
        "{of}{who} asked for {what}{why}: {outcome}"
    );
    match said {
        Ok(message) => Json(Accepted { message }).into_response(),
        Err(error) => refused(error),
    }
}

/// Somebody tried, and may have meant it.
fn not_carried_out(peer: Peer, error: &ErrorBody) {
    let pid = peer.pid.unwrap_or_default();
    tracing::warn!(
        WARDEN_OPERATOR_UID = peer.uid,
        "uid {} (process {pid}) asked and was refused: {}",
        peer.uid,
        escaped(&error.message, REASON)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_said() {
        let at = Moment::from_micros(1_000);
        let ask = |now, for_ms| Ask { now, for_ms, ..Ask::default() };
        let until = Some(Moment::from_micros(61_000));
        assert_eq!(wish("maintenance", &ask(false, Some(60)), at), Ok(Wish::Maintain { until }));
        assert_eq!(wish("maintenance", &ask(false, None), at), Ok(Wish::Maintain { until: None }));
        assert_eq!(wish("restart", &ask(true, None), at), Ok(Wish::Restart { now: true }));
        for (verb, ask, said) in [
            ("drain", ask(true, None), "`now` goes with restart"),
            ("restart", ask(false, Some(5)), "`for_ms` goes with maintenance"),
            ("maintenance", ask(false, Some(0)), "makes no sense"),
            ("maintenance", ask(false, Some(u64::MAX)), "from 1 ms to 30 days"),
            ("reboot", ask(false, None), "a service knows no reboot"),
        ] {
            let error = wish(verb, &ask, at).unwrap_err();
            assert!(error.message.contains(said), "{verb}: {}", error.message);
        }
    }
}
