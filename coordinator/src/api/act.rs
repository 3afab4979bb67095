//! What changes something: who asks, what for, and what came of it.

use super::{Caller, Desk, LONGEST_BODY, asked, refused};
use crate::keep::Kept;
use crate::steer::Call;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use tokio::time::timeout;
use warden_edge::ask;
use warden_edge::clock::realtime_micros;
use warden_edge::printable::escaped;
use warden_logic::fleet::roll::Asked;
use warden_logic::fleet::wishes::{Refusal, Wish, Word};
use warden_logic::moment::Span;
use warden_protocol::v1::control::{Accepted, Ask};
use warden_protocol::v1::error::{ErrorBody, ErrorCode};

/// The longest reason, and name, that is kept.
const REASON: usize = 240;
/// Longer than any pause that is still one.
const LONGEST: Span = Span::from_secs(30 * 86_400);
/// Longer than anybody waits for one server.
const LONGEST_SOAK: Span = Span::from_secs(86_400);
/// A wish is in force at once; whether it is on the disk is waited for this long.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);

pub(super) async fn fleet(State(desk): State<Desk>, caller: Caller, Path(verb): Path<String>, request: Request) -> Response {
    obey(desk, caller, request, |ask| of_fleet(&verb, ask)).await
}

pub(super) async fn server(
    State(desk): State<Desk>,
    caller: Caller,
    Path((name, verb)): Path<(String, String)>,
    request: Request,
) -> Response {
    obey(desk, caller, request, |ask| of_server(&verb, name, ask)).await
}

async fn obey(desk: Desk, caller: Caller, request: Request, wish: impl FnOnce(&Ask) -> Result<Wish, ErrorBody> + Send) -> Response {
    let said = async {
        // Who may not act learns nothing of what could be asked.
        let by = caller.may_act(&desk).await?;
        let asks: Ask = ask::body(request, LONGEST_BODY).await.map_err(no_sense)?;
        let wish = wish(&asks)?;
        let word = Word { by, reason: escaped(asks.reason.trim(), REASON), at_unix_ms: realtime_micros() / 1_000 };
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
            // Somebody tried, and may have meant it. What is done is written down by the loop, whose certificate does not do by `trust`.
            if !caller.is_told_of(error.code) {
                tracing::warn!(WARDEN_OPERATOR_UID = caller.uid(), "{caller} asked and was refused: {}", escaped(&error.message, REASON));
            }
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
    if let Some(key) = of_a_roll(ask).filter(|_| verb != "roll") {
        return Err(bad(format!("`{key}` goes with roll, not with {}", escaped(verb, REASON))));
    }
    let lasts = ask.for_ms.map(Span::from_millis);
    if let Some(time) = lasts.filter(|time| *time > LONGEST || time.is_zero()) {
        return Err(bad(format!("a pause for {time} makes no sense: from 1 ms to {LONGEST}, or leave the time out")));
    }
    match (verb, lasts, ask.now) {
        ("pause", lasts, false) => Ok(Wish::Pause { lasts }),
        ("resume", None, false) => Ok(Wish::Resume),
        ("roll", None, false) => Ok(Wish::Roll(roll(ask)?)),
        ("end-roll", None, false) => Ok(Wish::EndRoll),
        ("resume" | "roll" | "end-roll", Some(_), _) => Err(bad(format!("`for_ms` goes with pause, not with {verb}"))),
        ("pause" | "resume" | "roll" | "end-roll", _, true) => Err(bad(format!("`now` does not go with {verb}"))),
        _ => Err(no_verb("the fleet", verb, "pause, resume, roll and end-roll")),
    }
}

/// The first key that is there of those that say how to roll.
fn of_a_roll(ask: &Ask) -> Option<&'static str> {
    let keys = [("backend", ask.backend.is_some()), ("max_unavailable", ask.max_unavailable.is_some()), ("soak_ms", ask.soak_ms.is_some())];
    keys.into_iter().find(|(_, there)| *there).map(|(key, _)| key)
}

fn roll(ask: &Ask) -> Result<Asked, ErrorBody> {
    let soak = ask.soak_ms.map(Span::from_millis);
    if soak.is_some_and(|soak| soak > LONGEST_SOAK) {
        return Err(bad(format!("a soak of more than {LONGEST_SOAK} makes no sense")));
    }
    if ask.max_unavailable == Some(0) {
        return Err(bad("`max_unavailable` of 0 would restart nobody: at least 1".to_owned()));
    }
    Ok(Asked { backend: ask.backend.clone(), max_unavailable: ask.max_unavailable, soak })
}

fn of_server(verb: &str, name: String, ask: &Ask) -> Result<Wish, ErrorBody> {
    if let Some(key) = of_a_roll(ask) {
        return Err(bad(format!("`{key}` goes with roll of the fleet, not with {} of a server", escaped(verb, REASON))));
    }
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
        assert_eq!(of_fleet("roll", &ask(false, None)), Ok(Wish::Roll(Asked::default())));
        assert_eq!(of_fleet("end-roll", &ask(false, None)), Ok(Wish::EndRoll));
        assert_eq!(of_server("drain", "n1".to_owned(), &ask(false, None)), Ok(Wish::Drain { name: "n1".to_owned() }));
        for (wish, said) in [
            (of_fleet("pause", &ask(false, Some(0))), "makes no sense: from 1 ms to 30 days"),
            (of_fleet("pause", &ask(true, None)), "`now` does not go with pause"),
            (of_fleet("resume", &ask(false, Some(5))), "`for_ms` goes with pause"),
            (of_fleet("roll", &Ask { max_unavailable: Some(0), ..Ask::default() }), "would restart nobody"),
            (of_fleet("roll", &ask(false, Some(5))), "`for_ms` goes with pause, not with roll"),
            (of_fleet("pause", &Ask { soak_ms: Some(1), ..Ask::default() }), "`soak_ms` goes with roll, not with pause"),
            (of_fleet("reboot", &ask(false, None)), "the fleet knows no reboot"),
            (of_server("drain", "n1".to_owned(), &ask(false, Some(5))), "do not go with drain"),
            (of_server("kill", "n1".to_owned(), &ask(false, None)), "a server knows no kill; it takes drain and undrain"),
        ] {
            let error = wish.unwrap_err();
            assert!(error.message.contains(said), "{}", error.message);
        }
    }
}
