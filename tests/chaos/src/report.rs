//! What came of all steps: as a table, as JSON, and what broke a law in files of its own.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use warden_scenarios::Stand;
use warden_scenarios::faults::{Clients, Outcome};

/// Of one run, so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// `matrix`, `random`, `some`, `replay`.
    kind: String,
    seed: u64,
    taken: String,
    nodes: usize,
    /// How long it has run.
    pub(crate) seconds: u64,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    pub(crate) fn new(stand: &Stand, kind: &str, seed: u64) -> Result<Self> {
        let taken = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        Ok(Self { kind: kind.to_owned(), seed, taken, nodes: stand.nodes().len(), seconds: 0, outcomes: Vec::new() })
    }

    /// A new one, or the one that an earlier run has left there.
    ///
    /// # Errors
    /// When that cannot be read, or is of another seed.
    pub(crate) fn begin(stand: &Stand, folder: &Path, kind: &str, seed: u64, resume: bool) -> Result<Self> {
        let new = Self::new(stand, kind, seed)?;
        if !resume {
            return Ok(new);
        }
        let file = new.file(folder);
        let text = std::fs::read_to_string(&file).with_context(|| format!("{}: there is nothing to go on from", file.display()))?;
        let old: Self = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        ensure!(old.seed == seed, "{} is of seed {}: give the same, or begin anew without --resume", file.display(), old.seed);
        Ok(old)
    }

    fn file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.json", self.kind))
    }

    /// Writes it as JSON and as a table.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let file = self.file(folder);
        std::fs::write(&file, serde_json::to_string_pretty(self)? + "\n").with_context(|| file.display().to_string())?;
        let file = file.with_extension("md");
        std::fs::write(&file, self.markdown()?).with_context(|| file.display().to_string())
    }

    /// Writes what broke a law: the step for a replay, and beside it what was seen.
    pub(crate) fn save(&self, folder: &Path, outcome: &Outcome, told: &str) -> Result<PathBuf> {
        let name = match self.kind.as_str() {
            "random" => format!("seed-{}-step-{}", self.seed, self.outcomes.len()),
            _ => outcome.parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("+"),
        };
        let file = folder.join(format!("{name}.json"));
        std::fs::write(&file, serde_json::to_string_pretty(outcome)? + "\n").with_context(|| file.display().to_string())?;
        let words = file.with_extension("txt");
        std::fs::write(&words, format!("{}\n{told}", line(outcome))).with_context(|| words.display().to_string())?;
        Ok(file)
    }

    /// True: these faults at once are in it.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        self.outcomes.iter().any(|outcome| outcome.parts.iter().map(|(name, _)| name.as_str()).eq(names.iter().copied()))
    }

    /// True: every law held.
    pub(crate) fn held(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.broken.is_empty())
    }

    /// The sums, in a line.
    pub(crate) fn summary(&self) -> String {
        let survived = self.outcomes.iter().filter(|outcome| outcome.broken.is_empty()).count();
        let sum = |take: fn(&Outcome) -> usize| self.outcomes.iter().map(take).sum::<usize>();
        let of_hidden =
            |take: fn(&Outcome) -> usize| self.outcomes.iter().filter(|outcome| outcome.clients < Clients::Outage).map(take).sum::<usize>();
        format!(
            "{} tried, {survived} survived; {} requests; without the outages {} GETs and {} writes of {} requests failed",
            self.outcomes.len(),
            sum(|outcome| outcome.requests),
            of_hidden(|outcome| outcome.failed_gets),
            of_hidden(|outcome| outcome.failed_writes),
            of_hidden(|outcome| outcome.requests),
        )
    }

    fn markdown(&self) -> Result<String> {
        let mut text = String::new();
        writeln!(text, "# Faults on purpose\n")?;
        writeln!(
            text,
            "Taken on {} on a stand of {} nodes, 60 mixed requests a second, a fifth of them writes. {}.\n",
            self.taken,
            self.nodes,
            self.summary()
        )?;
        writeln!(
            text,
            "| what | clients may see | GETs failed | writes failed | requests | longest out | whole after | starts of bingo | laws |"
        )?;
        writeln!(text, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")?;
        for outcome in &self.outcomes {
            let Outcome { name, failed_gets, failed_writes, requests, starts, .. } = outcome;
            let laws = if outcome.broken.is_empty() { "held".to_owned() } else { outcome.broken.join("; ").replace('|', "\\|") };
            writeln!(
                text,
                "| {name} | {} | {failed_gets} | {failed_writes} | {requests} | {} | {} | {starts} | {laws} |",
                word(outcome.clients),
                seconds(outcome.out_ms),
                seconds(outcome.whole_ms)
            )?;
        }
        Ok(text)
    }
}

fn word(clients: Clients) -> &'static str {
    match clients {
        Clients::Nothing => "nothing",
        Clients::Writes => "no failed GET",
        Clients::Outage => "an outage",
    }
}

fn seconds(ms: u64) -> String {
    if ms == 0 { "–".to_owned() } else { format!("{:.1} s", ms as f64 / 1e3) }
}

/// For people who look on.
pub(crate) fn line(outcome: &Outcome) -> String {
    let Outcome { name, failed_gets, failed_writes, requests, broken, .. } = outcome;
    let mark = if broken.is_empty() { "held  " } else { "BROKEN" };
    let mut text = format!(
        "{mark} {name}: {failed_gets} GETs and {failed_writes} writes of {requests} failed, whole after {}",
        seconds(outcome.whole_ms)
    );
    for law in broken {
        text += &format!("\n       {law}");
    }
    text
}

/// What [`Report::save`] has written.
pub(crate) fn saved(file: &Path) -> Result<Outcome> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| format!("{} is no step that was saved", file.display()))
}
