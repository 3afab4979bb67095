//! What all scenarios share: a load around the fault, the evidence when one fails.

use anyhow::{Context, Result, ensure};
use warden_scenarios::answers::Answer;
use warden_scenarios::{Answers, Load, Mix, Stand, Timeline, timeline};

/// What a scenario saw.
pub(crate) struct Seen<T> {
    /// What its own part returned.
    pub(crate) value: T,
    /// Every answer that clients got.
    pub(crate) answers: Answers,
    /// What the journals say of it.
    pub(crate) timeline: Timeline,
}

/// Runs `act` on a whole stand under load, and waits for the stand to be whole again before the load ends.
/// A failure of any part tells what clients saw and what the journals say.
pub(crate) fn under<T>(mix: Mix, act: impl FnOnce(&Stand, &Load) -> Result<T>) -> Result<Seen<T>> {
    let stand = Stand::whole()?;
    let since = timeline::now_micros();
    let load = Load::start(stand.lab(), stand.http()?, mix)?;
    let acted = act(&stand, &load).and_then(|value| {
        stand.await_whole().context("at the end of the scenario")?;
        Ok(value)
    });
    let answers = load.stop()?;
    let timeline = Timeline::since(&stand, since)?;
    println!("{answers}");
    match acted {
        Ok(value) => Ok(Seen { value, answers, timeline }),
        Err(error) => Err(error.context(format!("what happened:\n{timeline}\nwhat clients saw:\n{answers}"))),
    }
}

impl<T> Seen<T> {
    /// The promise of the stand for any single fault: no GET fails before the first byte, none is cut.
    pub(crate) fn no_get_failed(&self) -> Result<()> {
        self.none(&self.answers.failed().filter(|answer| answer.method == "GET").collect::<Vec<_>>(), "GETs failed")
    }

    /// Nobody saw anything at all.
    pub(crate) fn nothing_failed(&self) -> Result<()> {
        self.none(&self.answers.failed().collect::<Vec<_>>(), "requests failed")
    }

    /// Writes are repeated for nobody, so those under way on the dying process may fail: at `rate` with a fourth of them
    /// writes on two nodes that is one or two; many of them would mean that traffic went on to a sick node.
    pub(crate) fn few_writes_failed(&self, most: usize) -> Result<()> {
        let failed = self.answers.failed_writes();
        if failed.len() <= most { Ok(()) } else { self.none(&failed, "POST and DELETE failed") }
    }

    fn none(&self, failed: &[&Answer], what: &str) -> Result<()> {
        ensure!(failed.is_empty(), "{} {what}:\n{}\n{}", failed.len(), self.answers, self.timeline);
        Ok(())
    }
}
