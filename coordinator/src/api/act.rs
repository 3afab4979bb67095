//! What changes something: who asks, what for, and what came of it.

use super::{Desk, LONGEST_BODY, asked, refused};
use crate::keep::Kept;
use crate::steer::Call;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use std::time::Duration;
use tokio::time::timeout;
use warden_edge::ask;
use warden_edge::clock::realtime_micros;
use warden_edge::printable::escaped;
use warden_edge::serve::Peer;
use warden_edge::who::{self, Register};
use warden_logic::fleet::wishes::{Refusal, Wish, Word};
use warden_logic::moment::Span;
use warden_protocol::v1::control::{Accepted, Ask};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// The longest reason, and name, that is kept.
const REASON: usize = 240;
/// Longer than any pause that is still one.
const LONGEST: Span = Span::from_secs(30 * 86_400);
/// A wish is in force at once; whether it is on the disk is waited for this long.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn fleet(
    State(desk): State<Desk>,
    Extension(register): Extension<Register>,
    Extension(peer): Extension<Peer>,
    Path(verb): Path<String>,
    request: Request,
) -> Response {
    obey(desk, register, peer, request, |ask| of_fleet(&verb, ask)).await
}

pub(super) async fn server(
    State(desk): State<Desk>,
    Extension(register): Extension<Register>,
    Extension(peer): Extension<Peer>,
    Path((name, verb)): Path<(String, String)>,
    request: Request,
) -> Response {
    obey(desk, register, peer, request, |ask| of_server(&verb, name, ask)).await
}

async fn obey(
    desk: Desk,
    register: Register,
    peer: Peer,
    request: Request,
    wish: impl FnOnce(&Ask) -> Result<Wish, ErrorBody> + Send,
) -> Response {
    let said = async {
        // Who may not act learns nothing of what could be asked.
        let operators = desk.operators.borrow().clone();
        let who = register.operator(peer, operators).await.map_err(not_allowed)?;
        let asks: Ask = ask::body(request, LONGEST_BODY).await.map_err(no_sense)?;
        let wish = wish(&asks)?;
        let word = Word { by: who.short(), reason: escaped(asks.reason.trim(), REASON), at_unix_ms: realtime_micros() / 1_000 };
        let answered = asked(&desk.calls, |answer| Call::Wish { wish, word, answer }).await?;
        let sentence = answered.outcome.map_err(unwilling)?;
        Ok::<_, ErrorBody>(match answered.kept {
            Some(kept) => format!("{sentence}{}", unless_kept(kept).await),
            None => sentence,
        })
    };
    match said.await {
        Ok(message) => Json(Accepted { message }).into_response(),
        Err(error) => {
            // Somebody tried, and may have meant it. What is done is written down by the loop.
            tracing::warn!(
                WARDEN_OPERATOR_UID = peer.uid,
                "uid {} (process {}) asked and was refused: {}",
                peer.uid,
                peer.pid.unwrap_or_default(),
                escaped(&error.message, REASON)
            );
            refused(error)
        }
    }
}

/// Nothing when it is on the disk.
async fn unless_kept(kept: Kept) -> String {
    let why = match timeout(WRITTEN_WITHIN, kept).await {
        Ok(Ok(Ok(()))) => return String::new(),
        Ok(Ok(Err(why))) => why,
        Ok(Err(_)) => "the coordinator is ending".to_owned(),
        Err(_) => format!("the disk has not taken it for {} s", WRITTEN_WITHIN.as_secs()),
    };
    format!("\nit is in force, and ends with the coordinator: {}", escaped(&why, REASON))
}

fn of_fleet(verb: &str, ask: &Ask) -> Result<Wish, ErrorBody> {
    let lasts = ask.for_ms.map(Span::from_millis);
    if let Some(time) = lasts.filter(|time| *time > LONGEST || time.is_zero()) {
        return Err(bad(format!("a pause for {time} makes no sense: from 1 ms to {LONGEST}, or leave the time out")));
    }
    match (verb, lasts, ask.now) {
        ("pause", lasts, false) => Ok(Wish::Pause { lasts }),
        ("resume", None, false) => Ok(Wish::Resume),
        ("resume", Some(_), _) => Err(bad("`for_ms` goes with pause, not with resume".to_owned())),
        ("pause" | "resume", _, true) => Err(bad(format!("`now` does not go with {verb}"))),
        _ => Err(no_verb("the fleet", verb, "pause and resume")),
    }
}

fn of_server(verb: &str, name: String, ask: &Ask) -> Result<Wish, ErrorBody> {
    if ask.now || ask.for_ms.is_some() {
        return Err(bad(format!("`now` and `for_ms` do not go with {}", escaped(verb, REASON))));
    }
    let name = escaped(&name, REASON);
    match verb {
        "drain" => Ok(Wish::Drain { name }),
        "undrain" => Ok(Wish::Undrain { name }),
        _ => Err(no_verb("a server", verb, "drain and undrain")),
    }
}

fn no_verb(what: &str, verb: &str, known: &str) -> ErrorBody {
    let message = format!("{what} knows no {}; it takes {known}", escaped(verb, REASON));
    ErrorBody { code: ErrorCode::NotFound, message }
}

const fn bad(message: String) -> ErrorBody {
    ErrorBody { code: ErrorCode::BadRequest, message }
}

fn unwilling(refusal: Refusal) -> ErrorBody {
    match refusal {
        Refusal::Unknown(message) => ErrorBody { code: ErrorCode::NotFound, message },
        Refusal::Refused(message) => ErrorBody { code: ErrorCode::Refused, message },
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
        ask::Fault::Bad(message) => bad(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_said() {
        let ask = |now, for_ms| Ask { now, for_ms, ..Ask::default() };
        assert_eq!(of_fleet("pause", &ask(false, Some(1_000))), Ok(Wish::Pause { lasts: Some(Span::from_secs(1)) }));
        assert_eq!(of_fleet("resume", &ask(false, None)), Ok(Wish::Resume));
        assert_eq!(of_server("drain", "n1".to_owned(), &ask(false, None)), Ok(Wish::Drain { name: "n1".to_owned() }));
        for (wish, said) in [
            (of_fleet("pause", &ask(false, Some(0))), "makes no sense: from 1 ms to 30 days"),
            (of_fleet("pause", &ask(true, None)), "`now` does not go with pause"),
            (of_fleet("resume", &ask(false, Some(5))), "`for_ms` goes with pause"),
            (of_fleet("reboot", &ask(false, None)), "the fleet knows no reboot"),
            (of_server("drain", "n1".to_owned(), &ask(false, Some(5))), "do not go with drain"),
            (of_server("kill", "n1".to_owned(), &ask(false, None)), "a server knows no kill; it takes drain and undrain"),
        ] {
            let error = wish.unwrap_err();
            assert!(error.message.contains(said), "{}", error.message);
        }
    }
}
