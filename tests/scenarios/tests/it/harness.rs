//! What all scenarios share: a load around the fault, the evidence when one fails, settings that are put back.

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

/// bingo's start on one node as it is in the world: the start-up request is swallowed for 30 s, and the warm-up
/// lasts as long. The quick settings of the scenarios are put back when this is dropped.
pub(crate) struct Settings<'s> {
    stand: &'s Stand,
    node: String,
}

/// The files that [`Settings`] changes.
const AGENT: &str = "/etc/warden/agent.d/50-bingo.toml";
const BINGO: &str = "/etc/bingo-standin.env";

impl<'s> Settings<'s> {
    /// A real warm-up of 30 s; with `slow_start` the process itself takes 30 s to listen, too.
    pub(crate) fn honest(stand: &'s Stand, node: &str, slow_start: bool) -> Result<Self> {
        let settings = Self { stand, node: node.to_owned() };
        for file in [AGENT, BINGO] {
            settings.run(&format!("cp -p {file} {file}.before"))?;
        }
        settings
            .run(&format!("sed -i 's/^warmup .*/warmup = \"30s\"/; s/^probe_during_warmup .*/probe_during_warmup = false/' {AGENT}"))?;
        if slow_start {
            settings.run(&format!("sed -i 's|^BINGO_STANDIN_STARTUP_URL=.*|BINGO_STANDIN_STARTUP_URL=http://198.19.8.8/|' {BINGO}"))?;
        }
        settings.run("systemctl restart warden-agent")?;
        stand.await_whole()?;
        Ok(settings)
    }

    fn run(&self, command: &str) -> Result<String> {
        self.stand.node(&self.node)?.run(&["sh", "-c", command])
    }
}

impl Drop for Settings<'_> {
    fn drop(&mut self) {
        for file in [AGENT, BINGO] {
            if let Err(error) = self.run(&format!("mv {file}.before {file}")) {
                eprintln!("{}: {file} could not be put back: {error:#}", self.node);
            }
        }
        if let Err(error) = self.run("systemctl restart warden-agent") {
            eprintln!("{}: the agent could not be restarted: {error:#}", self.node);
        }
    }
}
