//! What is to come of a service, for people who look at the fleet. Pure.
//!
//! Guarantees: of what a dependency is asked only its place is told, never a path, a query or a command's arguments: whoever may look
//! at the fleet may not be meant to know those.

use crate::probe::{Ask, Probe};
use crate::supervisor::board::OnBoard;
use warden_logic::moment::Moment;
use warden_logic::service::policy::Mode;
use warden_protocol::v1::control::{MemoryStatus, Next, Warmup};
use warden_protocol::v1::report::{Dependency, Outlook};

/// A dependency as it is named in every report.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
    target: String,
}

impl Place {
    pub(super) fn of(probe: &Probe) -> Self {
        let target = match &probe.ask {
            Ask::Tcp(_) | Ask::Postgres(_) => probe.ask.target(),
            Ask::Http(ask) => match &ask.unix {
                Some(socket) => format!("http over {}", socket.display()),
                None => format!("http {}", host(&ask.url)),
            },
            Ask::Exec(ask) => format!("exec {}", ask.command.first().map_or("", String::as_str)),
        };
        Self { name: probe.name.clone(), target }
    }
}

/// `db-1:8080` of `http://user:secret@db-1:8080/path?query`.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// The outlook as of `now`.
pub(super) fn outlook(now: Moment, on_board: &OnBoard, places: &[Place]) -> Outlook {
    let view = &on_board.view;
    let recycle = view.recycle.as_ref();
    let until = |at: Moment| at.since(now).as_millis();
    Outlook {
        shadow: view.mode == Mode::Shadow,
        warmup: view.warmup.map(|warmup| Warmup { length_ms: warmup.length.as_millis(), left_ms: until(warmup.until) }),
        next: view.next.map(|next| Next { in_ms: until(next.at), what: next.what.to_owned() }),
        waits_for: view.waits_for.map(ToOwned::to_owned).or_else(|| recycle?.waits_for.clone()),
        recycle_at_age_ms: recycle
            .and_then(|recycle| recycle.at)
            .zip(view.instance)
            .map(|(at, (_, started))| at.since(started).as_millis()),
        memory: view.memory.map(|bytes| MemoryStatus { bytes, recycle_above: recycle.and_then(|recycle| recycle.above) }),
        depends: places
            .iter()
            .zip(&view.depends)
            .map(|(place, known)| Dependency {
                name: place.name.clone(),
                target: place.target.clone(),
                up: known.up,
                text: known.text.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_place_is_told() {
        let cases = [
            ("http://user:secret@db-1:8080/path?key=1", "db-1:8080"),
            ("https://[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("http://db-1?a@b", "db-1"),
            ("odd", "odd"),
        ];
        for (url, place) in cases {
            assert_eq!(host(url), place);
        }
    }
}
