//! What may happen to a fleet, and schedules of it.

use serde::{Deserialize, Serialize};

/// One thing that happens. `at`: to which node; beyond the last one it means the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Event {
    /// So many heartbeats of half a second, in which everybody goes on.
    Beats(u32),
    /// Its service turns sick and says so in its log.
    Dies {
        at: usize,
    },
    /// The same, without a word.
    Sickens {
        at: usize,
    },
    /// It writes the fatal line and is well.
    Forges {
        at: usize,
    },
    /// Its process ends, and systemd starts another.
    Exits {
        at: usize,
    },
    /// It answers no probe any more, until it is restarted.
    Hangs {
        at: usize,
    },
    /// Whatever is started there is sick, until it is mended.
    Breaks {
        at: usize,
    },
    /// Mended: what is started from now on is well.
    Mends {
        at: usize,
    },
    /// It grows too heavy.
    Grows {
        at: usize,
    },
    /// The agent dies, and is there again.
    AgentBeginsAnew {
        at: usize,
    },
    /// The coordinator dies, and is there again.
    CoordinatorBeginsAnew,
    /// HAProxy is restarted or reloaded: it forgets.
    HaproxyBeginsAnew,
    /// Reports of a node are lost, or no longer.
    ReportsLost {
        at: usize,
        lost: bool,
    },
    /// Answers to a node are lost, or no longer.
    AnswersLost {
        at: usize,
        lost: bool,
    },
    /// Its next report arrives long after those that follow it.
    Delays {
        at: usize,
    },
    /// What is pushed to HAProxy in the next cycle is lost.
    PushesLost,
    /// A person sets a mark on its server in HAProxy, or takes it away: 0 none, 1 maint, 8 drain.
    Marks {
        at: usize,
        bits: u32,
    },
    /// A person switches its agent check in HAProxy.
    AgentCheck {
        at: usize,
        on: bool,
    },
    /// HAProxy cannot reach the node, or can again.
    Unreachable {
        at: usize,
        cut: bool,
    },
    Drains {
        at: usize,
    },
    Undrains {
        at: usize,
    },
    Pauses,
    Resumes,
    Rolls,
    EndsRoll,
    /// A moment in which nobody hears anything of anybody.
    Silence {
        millis: u64,
    },
}

/// A fleet and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) servers: usize,
    pub(super) events: Vec<Event>,
    /// In the end all trouble is over, and everybody has to serve.
    pub(super) peace: bool,
}

/// Numbers out of a number: splitmix64.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

impl Schedule {
    pub(super) fn draw(seed: u64, peace: bool) -> Self {
        let mut dice = Dice::of(seed);
        let servers = [2, 2, 3, 4][usize::try_from(dice.below(4)).unwrap()];
        let length = 8 + dice.below(16);
        let events = (0..length).map(|_| Event::draw(&mut dice, servers)).chain([Event::Beats(1)]).collect();
        Self { seed, servers, events, peace }
    }
}

impl Event {
    pub(super) fn draw(dice: &mut Dice, servers: usize) -> Self {
        let at = usize::try_from(dice.below(servers as u64)).unwrap();
        let yes = dice.below(2) == 0;
        match dice.below(64) {
            0..17 => Self::Beats(1 + u32::try_from(dice.below(6)).unwrap()),
            17..20 => Self::Beats(4 + u32::try_from(dice.below(20)).unwrap()),
            20..25 => Self::Dies { at },
            25..27 => Self::Sickens { at },
            27 => Self::Forges { at },
            28..30 => Self::Exits { at },
            30 => Self::Hangs { at },
            31 => Self::Breaks { at },
            32 => Self::Mends { at },
            33..39 => Self::Grows { at },
            39..41 => Self::AgentBeginsAnew { at },
            41..44 => Self::CoordinatorBeginsAnew,
            44..46 => Self::HaproxyBeginsAnew,
            46..48 => Self::ReportsLost { at, lost: yes },
            48..50 => Self::AnswersLost { at, lost: yes },
            50 => Self::Delays { at },
            51 => Self::PushesLost,
            52..54 => Self::Marks { at, bits: [0, 0, 1, 8][usize::try_from(dice.below(4)).unwrap()] },
            54 => Self::AgentCheck { at, on: yes },
            55 => Self::Unreachable { at, cut: yes },
            56 => Self::Drains { at },
            57 => Self::Undrains { at },
            58 => Self::Pauses,
            59 => Self::Resumes,
            60..62 => Self::Rolls,
            62 => Self::EndsRoll,
            _ => Self::Silence { millis: [500, 4_000, 30_000, 90_000][usize::try_from(dice.below(4)).unwrap()] },
        }
    }
}
