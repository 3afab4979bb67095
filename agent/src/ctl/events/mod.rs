//! `agentctl events` and `agentctl fleet events`: what the agent, or the coordinator, wrote into the journal about what it saw and did.
//!
//! The journal is read by running `journalctl -o json`. It is the keeper of the format, and it brings what would otherwise be
//! written a second time here: rotation, corrupt files, permissions, times as people write them, following. Only records of the
//! program's own unit are asked for (`_SYSTEMD_UNIT=` is journald's word; no other program can forge it), and of those what has
//! `WARDEN_EVENT=`.
//!
//! Left to others: what is recorded (`crate::supervisor`), how a record looks ([`record`]).

pub(super) mod journal;
pub(super) mod record;

use super::args::{EventOptions, FleetEventOptions};
use super::{Failure, print, print_line};
use journal::{Journal, Query};
use record::Event;
use std::collections::VecDeque;
use std::process::ExitCode;
use warden_edge::signals::{Signal, Signals};

/// So many of the last ones, when nothing else says where to begin.
const LAST: usize = 50;

/// What is asked for, of whichever program.
struct Wanted {
    query: Query,
    /// Something says which ones.
    some: bool,
    /// So many of the last ones.
    lines: Option<usize>,
    follow: bool,
    json: bool,
    /// Whose they are.
    program: &'static str,
}

/// The agent's.
pub(super) async fn run(options: EventOptions) -> Result<ExitCode, Failure> {
    let EventOptions { incident, since, unit, follow, lines, json } = options;
    let lines = lines.or((incident.is_none() && since.is_none()).then_some(LAST));
    let some = incident.is_some() || unit.is_some() || since.is_some();
    let query = Query::new(incident.as_deref(), unit.as_deref(), since);
    show(Wanted { query, some, lines, follow, json, program: "agent" }).await
}

/// The coordinator's.
pub(super) async fn of_fleet(options: FleetEventOptions) -> Result<ExitCode, Failure> {
    let FleetEventOptions { incident, since, server, follow, lines, json } = options;
    let lines = lines.or((incident.is_none() && since.is_none()).then_some(LAST));
    let some = incident.is_some() || server.is_some() || since.is_some();
    let query = Query::of_fleet(incident.as_deref(), server.as_deref(), since);
    show(Wanted { query, some, lines, follow, json, program: "coordinator" }).await
}

async fn show(options: Wanted) -> Result<ExitCode, Failure> {
    let Wanted { query, lines, .. } = &options;
    let (query, lines) = (query.clone(), *lines);
    let mut pen = Pen { json: options.json, day: String::new() };
    let cursor = match lines {
        Some(lines) => {
            let last = last(&query, lines).await?;
            if last.is_empty() && !options.follow {
                nothing(&options)?;
            }
            for event in &last {
                pen.write(event)?;
            }
            last.back().map(|event| event.cursor.clone())
        }
        None if options.follow => None,
        None => {
            let mut journal = Journal::read(&query.forward())?;
            let mut any = false;
            while let Some(event) = journal.next_in_time().await? {
                pen.write(&event)?;
                any = true;
            }
            if !any {
                nothing(&options)?;
            }
            None
        }
    };
    if options.follow {
        let from = if lines.is_some() { query.after(cursor.as_deref()) } else { query.whole_and_on() };
        follow(Journal::read(&from)?, &mut pen).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The last events, oldest first.
pub(super) async fn last(query: &Query, lines: usize) -> Result<VecDeque<Event>, Failure> {
    let mut last = VecDeque::new();
    let mut journal = Journal::read(&query.backward())?;
    while last.len() < lines
        && let Some(event) = journal.next_in_time().await?
    {
        last.push_front(event);
    }
    Ok(last)
}

/// Until a signal comes, or the journal's reader ends.
async fn follow(mut journal: Journal, pen: &mut Pen) -> Result<(), Failure> {
    let mut signals = Signals::install().map_err(|error| Failure::cannot_tell(format!("signals cannot be had: {error}")))?;
    loop {
        tokio::select! {
            event = journal.next() => match event? {
                Some(event) => pen.write(&event)?,
                None => return Err(Failure::cannot_tell("journalctl has ended; nothing more is followed".to_owned())),
            },
            signal = signals.next() => match signal {
                Signal::Terminate | Signal::Reload => return Ok(()),
                Signal::Dump => {}
            },
        }
    }
}

/// Writes events, with a line for each new day.
struct Pen {
    json: bool,
    day: String,
}

impl Pen {
    fn write(&mut self, event: &Event) -> Result<(), Failure> {
        if self.json {
            return print_line(event.raw.as_bytes());
        }
        let day = event.day();
        if day != self.day {
            print(&format!("{}\n", super::style::paint(super::style::DIM, format!("── {day}"))))?;
            self.day = day;
        }
        print(&format!("{}\n", event.draw()))
    }
}

fn nothing(options: &Wanted) -> Result<(), Failure> {
    let sentence = if options.some {
        "no such event is in the journal".to_owned()
    } else {
        format!("the journal has no event of the {} yet", options.program)
    };
    if options.json { Ok(()) } else { print(&format!("{sentence}\n")) }
}
