//! How the program fails: the modes, what each does to the process, and the state that requests look at.
//!
//! Nothing here ever heals; a restart does. When a failure comes is decided by [`draw`] and by POST /operation.

pub(crate) mod draw;
mod leak;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::knobs::Leak;
use crate::log::Log;
use crate::say;

/// The line by which the program takes its leave, on standard output and in the log.
pub(crate) const LAST_WORDS: &str = "We all gonna die";

/// The ways to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Ends with code 0 and without a word.
    Exit0,
    /// Says its last words and ends with code 1.
    Exit1,
    /// Ends as a Go panic does: a back-trace on standard error, code 2.
    Panic,
    /// Says its last words, lives on and answers 500 to everything.
    Sick,
    /// Eats memory up to a cap, then turns sick.
    Leak,
    /// Accepts connections and never answers again. Not seen in the real program.
    Hang,
}

impl Mode {
    pub(crate) fn parse(word: &str) -> Result<Self, String> {
        Ok(match word.trim() {
            "exit0" => Self::Exit0,
            "exit1" => Self::Exit1,
            "panic" => Self::Panic,
            "sick" => Self::Sick,
            "leak" => Self::Leak,
            "hang" => Self::Hang,
            other => return Err(format!("{other}: must be one of exit0, exit1, panic, sick, leak, hang")),
        })
    }
}

/// How requests are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Fit,
    Sick,
    Hung,
}

/// The one place where a failure happens.
pub(crate) struct Doom {
    /// 0 fit, 1 sick, 2 hung; only ever rises.
    health: AtomicU8,
    leaking: AtomicBool,
    leak: Leak,
    log: Arc<Log>,
}

impl Doom {
    pub(crate) fn new(leak: Leak, log: Arc<Log>) -> Arc<Self> {
        Arc::new(Self { health: AtomicU8::new(0), leaking: AtomicBool::new(false), leak, log })
    }

    pub(crate) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::Fit,
            1 => Health::Sick,
            _ => Health::Hung,
        }
    }

    /// Makes the failure happen. Returns only from those that the process outlives.
    pub(crate) fn strike(self: &Arc<Self>, mode: Mode) {
        match mode {
            Mode::Exit0 => say::exit(0),
            Mode::Exit1 => {
                self.say_last_words();
                say::exit(1)
            }
            Mode::Panic => say::go_panic(
                "runtime error: index out of range [4] with length 4",
                "bingo/internal/core.(*Core).operation(...)\n\t/build/internal/core/operation.go:63",
            ),
            Mode::Sick => self.turn_sick(),
            Mode::Leak => {
                if !self.leaking.swap(true, Ordering::Relaxed) {
                    tokio::spawn(leak::run(Arc::clone(self), self.leak));
                }
            }
            Mode::Hang => {
                self.health.fetch_max(2, Ordering::Relaxed);
            }
        }
    }

    fn turn_sick(&self) {
        if self.health.fetch_max(1, Ordering::Relaxed) == 0 {
            self.say_last_words();
        }
    }

    fn say_last_words(&self) {
        self.log.error("core/core.go:127", LAST_WORDS, "core is broken");
        say::line(LAST_WORDS);
    }
}
