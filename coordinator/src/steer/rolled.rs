//! The roll that is under way, for the journal and for people. Pure.

use super::events::{Event, Kind};
use super::knowledge::Knowledge;
use super::view::wish;
use std::fmt::Write;
use warden_logic::fleet::roll::{End, News, Roll, Stage, Target};
use warden_logic::moment::Moment;
use warden_protocol::v1::fleet::{RollServer, RollStatus};

/// The line in the journal.
pub(super) fn event(known: &Knowledge, news: &News) -> Option<Event> {
    let roll = known.wishes.roll()?;
    let event = match news {
        News::Moved => return None,
        News::Done(id) => Event::of_server(known, Kind::RollServer, id, format_args!("restarted by the roll, and well; {}", count(roll))),
        News::Skipped(id, why) => Event::of_server(known, Kind::RollServer, id, format_args!("left out by the roll: {why}")),
        News::Ended(End::Done) => Event::new(Kind::RollDone, format!("the roll of {} is done: {}", roll.backend(), count(roll))),
        News::Ended(End::Stopped(why)) => {
            Event::new(Kind::RollStopped, format!("the roll of {} has stopped, {}: {why}", roll.backend(), count(roll)))
        }
    };
    Some(Event { operator: Some(roll.word().by.clone()), ..event })
}

/// `2 of 3 restarted, 1 left out`
pub(super) fn count(roll: &Roll) -> String {
    let of = |is: fn(&Stage) -> bool| roll.targets().iter().filter(|target| is(&target.stage)).count();
    let (done, skipped) = (of(|stage| matches!(stage, Stage::Done { .. })), of(|stage| matches!(stage, Stage::Skipped(_))));
    let mut text = format!("{done} of {} restarted", roll.targets().len());
    if skipped > 0 {
        let _ = write!(text, ", {skipped} left out");
    }
    text
}

/// As it is shown.
pub(super) fn status(known: &Knowledge, roll: &Roll, now: Moment) -> RollStatus {
    let scene = known.scene(now);
    let server = |target: &Target| {
        let wait = known.permits.wait(&target.id).filter(|_| target.stage == Stage::Ordered);
        let text = wait.map(|wait| format!("waits for a permit: {wait}"));
        RollServer {
            name: target.id.server.to_string(),
            state: target.stage.label().to_owned(),
            text: text.or_else(|| scene.as_ref().map(|scene| target.text(scene))).unwrap_or_default(),
        }
    };
    let servers: Vec<RollServer> = roll.targets().iter().map(server).collect();
    let (state, text) = match roll.ended() {
        Some(End::Done) => ("done", count(roll)),
        Some(End::Stopped(why)) => ("stopped", format!("{}: {why}", count(roll))),
        None => ("running", running(known, roll, now, &servers)),
    };
    RollStatus {
        asked: wish(roll.word(), None),
        backend: roll.backend().to_string(),
        state: state.to_owned(),
        text,
        max_unavailable: roll.max_unavailable(),
        soak_ms: roll.soak().as_millis(),
        servers,
    }
}

fn running(known: &Knowledge, roll: &Roll, now: Moment, servers: &[RollServer]) -> String {
    let paused = known.wishes.paused(now).map(|pause| format!("paused by {}", pause.word));
    let under_way = || {
        let under_way = servers.iter().filter(|server| matches!(server.state.as_str(), "ordered" | "restarted" | "soaking"));
        let each = under_way.map(|server| format!("{} {}", server.name, server.text)).collect::<Vec<_>>();
        if each.is_empty() { "begins".to_owned() } else { each.join("; ") }
    };
    format!("{}; {}", count(roll), paused.unwrap_or_else(under_way))
}
