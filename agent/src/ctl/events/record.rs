//! One record of the journal as an event, and how it looks in a line.

use super::super::style::{BAD, BOLD, CARE, DIM, paint, sentence};
use anstyle::Style;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde_json::{Map, Value};

/// What happened, when, to what, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ctl) struct Event {
    at: ZonedDateTime,
    unit: String,
    what: String,
    why: String,
    incident: String,
    priority: u8,
    /// Where it stands in the journal.
    pub(in crate::ctl) cursor: String,
    /// As journalctl wrote it.
    pub(super) raw: String,
}

impl Event {
    /// `None`: the line is no event of ours.
    pub(super) fn parse(raw: String) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_str(&raw).ok()?;
        let field = |name: &str| fields.get(name).map(text).unwrap_or_default();
        let kind = Some(field("WARDEN_EVENT")).filter(|kind| !kind.is_empty())?;
        let micros = [field("_SOURCE_REALTIME_TIMESTAMP"), field("__REALTIME_TIMESTAMP")];
        let micros: i64 = micros.iter().find_map(|micros| micros.parse().ok())?;
        let at = Timestamp::from_microsecond(micros).ok()?.to_zoned_datetime(TimeZone::system());
        let message = field("MESSAGE");
        // The coordinator's are of servers, and their units come second.
        let unit = match (field("WARDEN_BACKEND"), field("WARDEN_SERVER")) {
            (backend, server) if !backend.is_empty() && !server.is_empty() => format!("{backend}/{server}"),
            _ => Some(field("WARDEN_UNIT")).filter(|unit| !unit.is_empty()).unwrap_or_else(|| field("WARDEN_NODE")),
        };
        // The message is a whole sentence; in a column of its own the unit is not said twice.
        let message = message.strip_prefix(&format!("{unit}: ")).unwrap_or(&message).to_owned();
        let (from, to) = (field("WARDEN_STATE_FROM"), field("WARDEN_STATE_TO"));
        let change = format!("{from} → {to}");
        let (what, why) = if to.is_empty() {
            (kind.replace('_', " "), message)
        } else {
            let why = message.strip_prefix(&format!("{change}: ")).unwrap_or(&message).to_owned();
            (change, why)
        };
        let priority = field("PRIORITY").parse().unwrap_or(6);
        Some(Self { at, unit, what, why, incident: field("WARDEN_INCIDENT"), priority, cursor: field("__CURSOR"), raw })
    }

    /// The day that it happened on.
    pub(super) fn day(&self) -> String {
        self.at.strftime("%Y-%m-%d, %A").to_string()
    }

    /// One line without its end.
    pub(in crate::ctl) fn draw(&self) -> String {
        let style = match self.priority {
            0..=3 => BAD,
            4 => CARE,
            _ => Style::new(),
        };
        let pad = |text: &str, width: usize| format!("{:<width$}", sentence(text));
        let incident = if self.incident.is_empty() { String::new() } else { format!("  incident {}", sentence(&self.incident)) };
        format!(
            "{}  {}  {}  {}{}",
            paint(DIM, self.at.strftime("%H:%M:%S.%3f")),
            paint(BOLD, pad(&self.unit, 14)),
            paint(style, pad(&self.what, 20)),
            sentence(&self.why),
            paint(DIM, incident)
        )
    }
}

/// A field's text. journalctl writes what is not plain text as the list of its bytes, and a field that came twice as a list.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if items.iter().all(Value::is_u64) => {
            let bytes: Vec<u8> = items.iter().filter_map(|item| item.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Value::Array(items) => items.first().map(text).unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Object(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(record: &Value) -> Option<String> {
        let event = Event::parse(record.to_string())?;
        let at = event.at.timestamp().to_zoned_datetime(TimeZone::UTC);
        Some(anstream::adapter::strip_str(&Event { at, ..event }.draw()).to_string())
    }

    #[test]
    fn a_record_is_one_line() {
        let change = serde_json::json!({
            "__REALTIME_TIMESTAMP": "1700000000000000", "_SOURCE_REALTIME_TIMESTAMP": "1699999999118000", "__CURSOR": "c", "PRIORITY": "4",
            "WARDEN_EVENT": "state_changed", "WARDEN_UNIT": "bingo.service", "WARDEN_STATE_FROM": "serving", "WARDEN_STATE_TO": "sick",
            "WARDEN_INCIDENT": "7H2M", "MESSAGE": "bingo.service: serving → sick: journal: We all gonna die",
        });
        let line = "22:13:19.118  bingo.service   serving → sick        journal: We all gonna die  incident 7H2M";
        assert_eq!(drawn(&change).as_deref(), Some(line));
        let server = serde_json::json!({
            "__REALTIME_TIMESTAMP": "1700000000000000", "WARDEN_EVENT": "drained", "WARDEN_BACKEND": "app", "WARDEN_SERVER": "n1",
            "WARDEN_UNIT": "app.service", "WARDEN_NODE": "n1", "MESSAGE": "app/n1: drained by anna: disk swap",
        });
        assert_eq!(drawn(&server).as_deref(), Some("22:13:20.000  app/n1          drained               drained by anna: disk swap"));
        let other = serde_json::json!({
            "__REALTIME_TIMESTAMP": "1700000000000000", "WARDEN_EVENT": "out_confirmed", "WARDEN_UNIT": "bingo.service",
            "MESSAGE": "bingo.service: out of rotation, confirmed by lb-1",
        });
        let line = "22:13:20.000  bingo.service   out confirmed         out of rotation, confirmed by lb-1";
        assert_eq!(drawn(&other).as_deref(), Some(line));
    }

    #[test]
    fn what_is_no_event_is_left_out() {
        let started = serde_json::json!({ "__REALTIME_TIMESTAMP": "1700000000000000", "MESSAGE": "warden-agent 0.1.0 watches 1 services" });
        assert_eq!(drawn(&started), None);
        assert_eq!(Event::parse("-- No entries --".to_owned()), None);
    }

    #[test]
    fn bytes_are_shown_and_not_obeyed() {
        let hostile: Vec<u8> = b"bingo.service: dismissed\x1b[2J\xff\nforged".to_vec();
        let record = serde_json::json!({
            "__REALTIME_TIMESTAMP": "1700000000000000", "WARDEN_EVENT": "dismissed", "WARDEN_UNIT": ["bingo.service", "other"], "MESSAGE": hostile,
        });
        let line = drawn(&record).unwrap();
        assert!(line.contains("\\u{1b}[2J\u{fffd}\\nforged") && !line.chars().any(char::is_control), "{line:?}");
    }
}
