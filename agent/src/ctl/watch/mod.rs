//! `agentctl status --watch`: the status and the last events, live.
//!
//! Guarantees: the terminal is as it was when the program ends, also by a signal or a panic (the panic hook runs before the
//! abort); an agent that goes away is said to be away, and the view goes on when it is back; what is shown is what the agent said
//! last, never counted on by ourselves.
//!
//! Left to others: what a status looks like (`super::status`), where events come from (`super::events`), the picture ([`screen`]).

mod screen;

use super::events::journal::{Journal, Query};
use super::events::last;
use super::peer::Line;
use super::{Failure, now, status};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use screen::Screen;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use warden_edge::signals::{Signal, Signals};

/// The agent answers from memory in a fraction of a millisecond.
const BEAT: Duration = Duration::from_millis(500);
/// The thread that reads keys looks this often whether anybody still wants them.
const KEYS: Duration = Duration::from_millis(100);
/// Nobody types ahead of a view that is drawn in milliseconds.
const KEYS_BOUND: usize = 16;
/// As many as a screen may be high.
const EVENTS: usize = 60;

/// Until q, Ctrl-C or a signal.
pub(super) async fn run(line: &Line) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let sentence = "--watch needs a terminal to draw on; without one: agentctl status, or agentctl events --follow";
        return Err(Failure::usage(sentence.to_owned()));
    }
    // Nobody there at all is said in a sentence, not on a screen of its own.
    let first = line.status().await?;
    let mut signals = Signals::install().map_err(|error| Failure::cannot_tell(format!("signals cannot be had: {error}")))?;
    let mut screen = Screen::new(first);
    let mut terminal = Terminal::take()?;
    let mut keys = keys();
    let mut journal = recent(&mut screen).await;
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        terminal.draw(&mut screen)?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => if !pressed(key, &mut screen) { break },
                // Drawn anew above, with the size that it now has.
                Some(_) => {}
                None => break,
            },
            _ = beat.tick() => screen.answered(line.status().await.map_err(|failure| failure.sentence)),
            event = follow(&mut journal) => match event {
                Ok(Some(event)) => screen.happened(event),
                Ok(None) => (journal, screen.no_events) = (None, Some("journalctl has ended".to_owned())),
                Err(failure) => (journal, screen.no_events) = (None, Some(failure.sentence)),
            },
            signal = signals.next() => match signal {
                // As a shell names the end by this signal.
                Signal::Terminate | Signal::Reload => return Ok(ExitCode::from(143)),
                Signal::Dump => {}
            },
        }
    }
    Ok(status::fitness(&screen.status).into())
}

/// False: that was the end.
fn pressed(key: KeyEvent, screen: &mut Screen) -> bool {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Up | KeyCode::Char('k') => screen.scroll(-1),
        KeyCode::Down | KeyCode::Char('j') => screen.scroll(1),
        KeyCode::PageUp => screen.scroll(-10),
        KeyCode::PageDown | KeyCode::Char(' ') => screen.scroll(10),
        KeyCode::Home => screen.scroll(i32::MIN),
        _ => {}
    }
    true
}

/// What the journal has, and a reader of what comes.
async fn recent(screen: &mut Screen) -> Option<Journal> {
    let query = Query::new(None, None, None);
    let found = last(&query, EVENTS).await.and_then(|events| {
        let cursor = events.back().map(|event| event.cursor.clone());
        events.into_iter().for_each(|event| screen.happened(event));
        Journal::read(&query.after(cursor.as_deref()))
    });
    match found {
        Ok(journal) => Some(journal),
        Err(failure) => {
            screen.no_events = Some(failure.sentence);
            None
        }
    }
}

/// Without a journal, never.
async fn follow(journal: &mut Option<Journal>) -> Result<Option<super::events::record::Event>, Failure> {
    match journal {
        Some(journal) => journal.next().await,
        None => std::future::pending().await,
    }
}

/// Keys and changes of the size. The terminal can only be read by waiting, so a thread does; it ends when nobody wants them.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(KEYS_BOUND);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(KEYS) {
                Ok(false) => {}
                Ok(true) => match event::read().map(|event| sender.blocking_send(event)) {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                },
                // The terminal is gone.
                Err(_) => return,
            }
        }
    });
    receiver
}

/// The terminal while it is ours.
struct Terminal(DefaultTerminal);

impl Terminal {
    fn take() -> Result<Self, Failure> {
        // Raw mode, a screen of its own, and a panic hook that gives both back.
        ratatui::try_init().map(Self).map_err(|error| Failure::cannot_tell(format!("the terminal cannot be drawn on: {error}")))
    }

    fn draw(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        let drawn = self.0.draw(|frame| screen.draw(frame, &now()));
        drawn.map(|_| ()).map_err(|error| Failure::cannot_tell(format!("the terminal cannot be drawn on: {error}")))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        drop(ratatui::try_restore());
    }
}
