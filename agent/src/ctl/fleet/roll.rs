//! `agentctl fleet roll`: asks for it, then shows how far it is until it is over.

use super::super::args::{Elsewhere, RollOptions, Why};
use super::super::peer::{Line, lines};
use super::super::style::{BAD, BOLD, DIM, GOOD, paint, sentence};
use super::super::{Failure, Fitness, now, print};
use super::act;
use jiff::ZonedDateTime;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use warden_protocol::v1::control::Ask;
use warden_protocol::v1::fleet::{FleetStatus, RollStatus};

/// A person looks on.
const BEAT: Duration = Duration::from_millis(500);
/// A coordinator that is restarted meanwhile goes on with the roll, and is waited for this many beats: 30 s.
const AWAY: u32 = 60;

pub(super) async fn run(options: RollOptions, elsewhere: &Elsewhere) -> Result<ExitCode, Failure> {
    let RollOptions { backend, max_unavailable, soak, no_wait, stop, why } = options;
    if stop {
        return act::fleet("end-roll", None, why, elsewhere).await;
    }
    let Why { reason, at } = why;
    let line = Line::to_coordinator(at, elsewhere)?;
    let soak_ms = soak.map(|soak| u64::try_from(soak.as_millis()).unwrap_or(u64::MAX));
    let ask = Ask { reason, backend, max_unavailable, soak_ms, ..Ask::default() };
    let accepted = line.post("/v1/fleet/roll", &ask).await?;
    print(&format!("{}\n", lines(&accepted.message)))?;
    if no_wait { Ok(ExitCode::SUCCESS) } else { follow(&line).await }
}

/// Until it is over. Whoever ends this ends nothing of the roll.
async fn follow(line: &Line) -> Result<ExitCode, Failure> {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut away) = (BTreeMap::new(), 0);
    loop {
        beat.tick().await;
        let fleet: Result<FleetStatus, Failure> = match line.get("/v1/fleet").await {
            Ok(body) => line.document(&body),
            Err(failure) => Err(failure),
        };
        let fleet = match fleet {
            Ok(fleet) => fleet,
            Err(failure) if away >= AWAY => return Err(failure),
            Err(_) => {
                away += 1;
                transient("the coordinator does not answer; it goes on with the roll when it is back");
                continue;
            }
        };
        away = 0;
        let Some(roll) = fleet.roll else {
            return Err(Failure::not_fit("the roll is not known any more: somebody has ended it".to_owned()));
        };
        let news = changes(&mut seen, &roll, &now());
        if !news.is_empty() {
            transient("");
            print(&news)?;
        }
        match roll.state.as_str() {
            "running" => transient(&sentence(&roll.text)),
            "done" => return finish(&paint(GOOD, format!("done: {}", sentence(&roll.text))), Fitness::Fit),
            _ => return finish(&paint(BAD, format!("stopped: {}", sentence(&roll.text))), Fitness::NotFit),
        }
    }
}

fn finish(text: &str, fitness: Fitness) -> Result<ExitCode, Failure> {
    transient("");
    print(&format!("{text}\n"))?;
    Ok(fitness.into())
}

/// One line that the next one takes the place of, where somebody looks.
fn transient(text: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        let short: String = text.chars().take(118).collect();
        // A line of progress that cannot be shown is missed by nobody.
        let _ = write!(err, "\r\x1b[K{short}").and_then(|()| err.flush());
    }
}

/// A line for each server that has come further, and what it is remembered by.
fn changes(seen: &mut BTreeMap<String, String>, roll: &RollStatus, now: &ZonedDateTime) -> String {
    let mut text = String::new();
    for server in &roll.servers {
        let before = seen.insert(server.name.clone(), server.state.clone());
        let waits_still = before.is_none() && server.state == "waits";
        if before.as_ref() == Some(&server.state) || waits_still {
            continue;
        }
        let at = paint(DIM, now.strftime("%H:%M:%S"));
        let (name, state) = (paint(BOLD, sentence(&server.name)), sentence(&server.state));
        text.push_str(&format!("{at}  {name}  {state}: {}\n", sentence(&server.text)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use warden_protocol::v1::fleet::{OperatorWish, RollServer};

    #[test]
    fn only_what_has_come_further_is_said() {
        let server =
            |name: &str, state: &str| RollServer { name: name.to_owned(), state: state.to_owned(), text: format!("it {state}\u{1b}") };
        let asked = OperatorWish { by: "anna".to_owned(), reason: String::new(), at_unix_ms: 0, ends_in_ms: None };
        let mut roll = RollStatus {
            asked,
            backend: "bingo".to_owned(),
            state: "running".to_owned(),
            text: String::new(),
            max_unavailable: 1,
            soak_ms: 0,
            servers: vec![server("one", "ordered"), server("two", "waits")],
        };
        let now = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
        let mut seen = BTreeMap::new();
        let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain(changes(&mut seen, &roll, &now)), "00:00:00  one  ordered: it ordered\\u{1b}\n");
        assert_eq!(changes(&mut seen, &roll, &now), "");
        roll.servers = vec![server("one", "done"), server("two", "ordered")];
        assert_eq!(plain(changes(&mut seen, &roll, &now)).lines().count(), 2);
    }
}
