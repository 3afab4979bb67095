//! What a person asks the agent to do: restart, drain, maintenance, reload.
//!
//! The agent decides whether that person may and whether it is done; this says which service is meant, and passes on the
//! agent's sentence.

use super::args::{MaintenanceCommand, Wish};
use super::peer::{Line, lines};
use super::style::sentence;
use super::{Failure, print};
use std::process::ExitCode;
use warden_protocol::v1::control::{AgentStatus, Ask};

/// Asks for `verb` with a service.
pub(super) async fn order(verb: &str, wish: Wish, ask: Ask) -> Result<ExitCode, Failure> {
    let line = Line::to_agent(wish.at);
    let unit = chosen(&line.status().await?, wish.unit.as_deref())?;
    let accepted = line.post(&format!("/v1/services/{}/{verb}", in_path(&unit)), &Ask { reason: wish.reason, ..ask }).await?;
    print(&format!("{}\n", sentence(&accepted.message)))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn maintenance(command: MaintenanceCommand) -> Result<ExitCode, Failure> {
    match command {
        MaintenanceCommand::On { what, time } => {
            let for_ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            order("maintenance", what, Ask { for_ms, ..Ask::default() }).await
        }
        MaintenanceCommand::Off(what) => order("resume", what, Ask::default()).await,
    }
}

pub(super) async fn reload(line: &Line) -> Result<ExitCode, Failure> {
    let accepted = line.post("/v1/reload", &serde_json::json!({})).await?;
    // The differences come a line each.
    print(&format!("{}\n", lines(&accepted.message)))?;
    Ok(ExitCode::SUCCESS)
}

/// The unit that is meant: as it is, or with `.service`, or the only one.
pub(super) fn chosen(status: &AgentStatus, wanted: Option<&str>) -> Result<String, Failure> {
    let units: Vec<_> = status.services.iter().map(|service| service.unit.as_str()).collect();
    let all = || units.iter().map(|unit| sentence(unit)).collect::<Vec<_>>().join(", ");
    let found = match (wanted, &units[..]) {
        (_, []) => return Err(Failure::usage("no service is configured on this node  try: agentctl check-config".to_owned())),
        (None, [only]) => *only,
        (None, _) => return Err(Failure::usage(format!("which one? this node has {}: name it", all()))),
        (Some(wanted), _) => {
            let meant = |unit: &&&str| **unit == wanted || unit.strip_suffix(".service") == Some(wanted);
            let nothing = || Failure::usage(format!("this node does not supervise {}; it has {}", sentence(wanted), all()));
            units.iter().find(meant).ok_or_else(nothing)?
        }
    };
    Ok(found.to_owned())
}

/// A name as one segment of a path; systemd allows `\` and `@` in them.
pub(super) fn in_path(unit: &str) -> String {
    let mut path = String::with_capacity(unit.len());
    for byte in unit.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'@' | b':' => path.push(char::from(byte)),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn node(units: &[&str]) -> AgentStatus {
        let mut whole: AgentStatus = serde_json::from_str(include_str!("../../tests/fixtures/status-serving.json")).unwrap();
        let one = whole.services.remove(0);
        whole.services =
            units.iter().map(|unit| warden_protocol::v1::control::ServiceStatus { unit: (*unit).to_owned(), ..one.clone() }).collect();
        whole
    }

    #[test]
    fn the_service_that_is_meant_is_found_or_asked_for() {
        let two = node(&["a.service", "b.service"]);
        let answers: HashMap<_, _> = [
            (None, "which one? this node has a.service, b.service: name it"),
            (Some("c"), "this node does not supervise c; it has a.service, b.service"),
        ]
        .into();
        for (wanted, sentence) in answers {
            assert_eq!(chosen(&two, wanted).map_err(|failure| (failure.code, failure.sentence)), Err((64, sentence.to_owned())));
        }
        for (wanted, found) in [(Some("a"), "a.service"), (Some("b.service"), "b.service")] {
            assert_eq!(chosen(&two, wanted).ok().as_deref(), Some(found));
        }
        assert_eq!(chosen(&node(&["a.service"]), None).ok().as_deref(), Some("a.service"));
        assert!(chosen(&node(&[]), None).is_err());
    }

    #[test]
    fn a_unit_is_one_segment_of_a_path() {
        assert_eq!(in_path("bingo@1.service"), "bingo@1.service");
        assert_eq!(in_path("a\\x2db/../c.service"), "a%5Cx2db%2F..%2Fc.service");
    }
}
