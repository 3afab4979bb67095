//! What must hold end to end: the stand under load, faults on purpose, and what clients saw of them.
//!
//! In reading order: [`stand`], the machines and what runs on them; [`load`], a steady bounded stream of mixed requests
//! through the balancer; [`answers`], every answer of it, counted; [`settings`], how fast bingo starts; [`timeline`], what the journals say happened, in
//! order; [`certificates`], of the stand's own CA. Of one node: [`company`], small services beside bingo for what bingo is too slow or too good for; [`judged`], what its agent
//! makes of its services, to be compared; [`judgement`], another way to judge bingo; [`toys`], services that fail in one way or another;
//! [`story`], what its journal tells of one service; [`put_back`], for what is changed on it. The scenarios themselves are
//! tests under `tests/it`; all of them need a stand that is up (`make test` brings one).

pub mod answers;
pub mod certificates;
pub mod company;
pub mod faults;
pub mod judged;
pub mod judgement;
pub mod load;
pub mod put_back;
pub mod settings;
pub mod stand;
pub mod story;
pub mod timeline;
pub mod toys;
pub mod watch;

pub use answers::{Answers, Class};
pub use company::{Companion, Company};
pub use judged::{Judged, Verdict};
pub use judgement::Judgement;
pub use load::{Load, Mix, Paths};
pub use put_back::PutBack;
pub use settings::{Settings, Speed};
pub use stand::Stand;
pub use story::Story;
pub use timeline::Timeline;
pub use toys::{Toy, Toys};
pub use watch::Watch;

use anyhow::Result;
use std::time::Duration;
use tokio::time::Instant;

/// Lets time pass: for a fault that lasts, never to wait for something.
///
/// # Errors
/// None that is known.
pub fn pause(time: Duration) -> Result<()> {
    let begin = Instant::now();
    let over = || if begin.elapsed() >= time { Ok(()) } else { Err("it is not time yet".to_owned()) };
    warden_lab::wait::until(time + Duration::from_secs(5), over)
}
