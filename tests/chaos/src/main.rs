//! `warden-chaos`: everything that can go wrong on the Bingo stand, one by one or at random, and whether the laws held.

mod draw;
mod report;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use report::Report;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use warden_scenarios::faults::trial::{Step, take};
use warden_scenarios::faults::{self, table};
use warden_scenarios::stand::UNIT;
use warden_scenarios::timeline::now_micros;
use warden_scenarios::{Settings, Speed, Stand};

/// Breaks the running stand on purpose (`make deploy`), and tells whether every law held.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  warden-chaos --all\n  warden-chaos --only bingo-sick,node-cable\n  warden-chaos --minutes 30 --seed 7\n  \
                  warden-chaos --replay target/chaos/seed-7-step-12.json"
)]
struct Args {
    /// Every fault once, and those sets of several that have a place in the table
    #[arg(long, conflicts_with_all = ["only", "minutes", "replay"])]
    all: bool,
    /// Only these, one after the other
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["minutes", "replay"])]
    only: Vec<String>,
    /// So long at random: one fault, two or three at once
    #[arg(long, conflicts_with = "replay")]
    minutes: Option<u64>,
    /// What is drawn when: the same seed, the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Once more what was saved when a law was broken
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Go on where the last run of the same kind stopped
    #[arg(long)]
    resume: bool,
    /// Print the faults, and end
    #[arg(long)]
    list: bool,
    /// Where the figures are written, and what broke a law
    #[arg(long, value_name = "FOLDER", default_value = "target/chaos")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("warden-chaos: {error:#}"));
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program for people")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn print(text: &str) {
    println!("{text}");
}

/// True: every law held.
fn run(args: &Args) -> Result<bool> {
    if args.list {
        for fault in faults::all() {
            print(&format!("{:<34}{}", fault.name, fault.what));
        }
        return Ok(true);
    }
    // What is asked for makes sense before anything is touched.
    let saved = args.replay.as_deref().map(report::saved).transpose()?;
    let planned = match &saved {
        Some(saved) => vec![saved.parts.iter().map(|(name, node)| (name.as_str(), *node)).collect()],
        None => planned(args)?,
    };
    let stand = Stand::whole()?;
    // Who is broken on purpose again and again is restarted as often as wanted, and need not show more good probes each time.
    let at_will = Speed { warmup: "2s", slow_start: false, restarts_at_will: true };
    let _settings = stand.nodes().iter().map(|node| Settings::apply(&stand, node, at_will)).collect::<Result<Vec<_>>>()?;
    // As young as they can be, one by one: none of them reaches the age at which it would die by itself.
    for node in stand.nodes() {
        progress(&format!("a fresh bingo on {node}"));
        stand.node(node)?.run(&["systemctl", "restart", UNIT])?;
        stand.await_whole()?;
    }
    std::fs::create_dir_all(&args.folder).with_context(|| args.folder.display().to_string())?;
    if let Some(minutes) = args.minutes {
        return at_random(&stand, args, Duration::from_secs(minutes * 60));
    }
    let kind = match (&saved, args.all) {
        (Some(_), _) => "replay",
        (None, true) => "matrix",
        (None, false) => "some",
    };
    let mut report = Report::begin(&stand, &args.folder, kind, 0, args.resume)?;
    // What held is not tried again after a break; what did not may have been mended meanwhile.
    report.outcomes.retain(|outcome| outcome.broken.is_empty());
    let count = planned.len();
    for (number, step) in planned.into_iter().enumerate() {
        let names: Vec<_> = step.iter().map(|(name, _)| *name).collect();
        if report.has(&names) {
            continue;
        }
        progress(&format!("{} of {count}: {}", number + 1, names.join(" + ")));
        one(&stand, &step, &mut report, &args.folder)?;
    }
    finish(&report, &args.folder)
}

/// The steps that were asked for by name; none, when they are drawn.
fn planned(args: &Args) -> Result<Vec<Vec<(&'static str, usize)>>> {
    if args.all {
        let single = faults::all().enumerate().map(|(number, fault)| vec![(fault.name, number)]);
        return Ok(single.chain(table::TOGETHER.iter().map(|several| several.to_vec())).collect());
    }
    ensure!(
        args.minutes.is_some() || !args.only.is_empty(),
        "say what: --all, --only NAME,…, --minutes N, or --replay FILE (--list prints the faults)"
    );
    args.only.iter().enumerate().map(|(number, name)| faults::find(name).map(|fault| vec![(fault.name, number)])).collect()
}

/// Draws steps until the time is over. The same seed draws the same ones, also after a break.
fn at_random(stand: &Stand, args: &Args, whole: Duration) -> Result<bool> {
    let mut report = Report::begin(stand, &args.folder, "random", args.seed, args.resume)?;
    let (begin, earlier) = (now_micros(), Duration::from_secs(report.seconds));
    let run = || earlier + Duration::from_micros(now_micros() - begin);
    while run() < whole {
        let step = draw::step(args.seed, report.outcomes.len(), stand.nodes().len());
        let names = step.iter().map(|(name, node)| format!("{name} ({})", node + 1)).collect::<Vec<_>>().join(" + ");
        progress(&format!("{} of {} min: {names}", run().as_secs() / 60, whole.as_secs() / 60));
        report.seconds = run().as_secs();
        one(stand, &step, &mut report, &args.folder)?;
    }
    finish(&report, &args.folder)
}

/// One step; its outcome is in the report and on the disk when this returns.
fn one(stand: &Stand, parts: &[(&str, usize)], report: &mut Report, folder: &Path) -> Result<()> {
    let step = Step::of(stand, parts)?;
    let (outcome, told) = take(stand, &step).with_context(|| step.name())?;
    progress("");
    print(&report::line(&outcome));
    if !outcome.broken.is_empty() {
        let file = report.save(folder, &outcome, &told)?;
        print(&format!(
            "    what happened is in {}; once more: make chaos REPLAY={}",
            file.with_extension("txt").display(),
            file.display()
        ));
    }
    report.outcomes.push(outcome);
    report.write(folder)
}

fn finish(report: &Report, folder: &Path) -> Result<bool> {
    ensure!(!report.outcomes.is_empty(), "nothing was tried");
    print(&format!("\n{}\nwritten to {}", report.summary(), folder.display()));
    Ok(report.held())
}

/// One line that is overwritten; only where somebody looks.
#[expect(clippy::print_stderr, reason = "progress for people")]
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
        // A progress line that does not show is no reason to stop.
        let _ = std::io::stderr().flush();
    }
}
