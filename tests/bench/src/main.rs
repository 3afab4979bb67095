//! `warden-bench`: figures. On the running stand: how fast a sick node is out and being restarted, and what Warden's programs cost.
//! `warden-bench fleet`: what a coordinator costs, and how fast it is, under many agents.

mod figures;
mod fleet;
mod footprint;
mod growth;
mod incident;
mod peers;
mod soak;

use anyhow::Result;
use clap::{Parser, Subcommand};
use figures::Distribution;
use incident::Incident;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use warden_scenarios::{Load, Mix, Paths, Settings, Speed, Stand};

/// Takes Warden's figures on the stand that is up (`make deploy`).
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  warden-bench\n  warden-bench fleet --agents 2,100,1000\n  warden-bench --incidents 20 --minutes 0 --json target/bench.json"
)]
struct Args {
    /// How many incidents: a node turns sick, leaves, restarts and comes back. 0: none
    #[arg(long, default_value_t = 100)]
    incidents: u32,
    /// How long idle programs are watched, side by side, and for half a minute under load. 0: not at all
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// Write the figures there as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A coordinator and HAProxy on this computer's loopback, under so many simulated agents; needs no stand
    #[command(after_help = "Example:\n  warden-bench fleet --agents 2,100,1000 --seconds 30")]
    Fleet {
        /// How many, one after another
        #[arg(long, value_delimiter = ',', default_values_t = [2, 100, 1_000, 10_000])]
        agents: Vec<usize>,
        /// How long each is measured
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Write the figures there as JSON, too
        #[arg(long, value_name = "FILE")]
        json: Option<std::path::PathBuf>,
    },
    /// How an agent grows with its services, and with its patterns against a log of 50,000 lines a second
    #[command(after_help = "Example:\n  warden-bench growth")]
    Growth {
        /// Write the figures there as JSON, too
        #[arg(long, value_name = "FILE")]
        json: Option<std::path::PathBuf>,
    },
    /// The same fault against what others use and against Warden, on a stand of three nodes
    #[command(after_help = "Examples:\n  warden-bench peers\n  warden-bench peers --only log,monit --rates 200 --incidents 3")]
    Peers {
        /// How many incidents for each peer and rate
        #[arg(long, default_value_t = 10)]
        incidents: u32,
        /// Requests a second
        #[arg(long, value_delimiter = ',', default_values_t = [200, 5])]
        rates: Vec<u32>,
        /// Only these: defaults, tuned, observe, patroni, shell, monit, log, probes, retries
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Where peers.md, peers.json and peers.svg are written
        #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
        folder: std::path::PathBuf,
    },
    /// A long time under 60 requests a second, with faults at random: what clients saw
    #[command(after_help = "Examples:\n  warden-bench soak --minutes 60\n  warden-bench soak --minutes 60 --without")]
    Soak {
        /// How long
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Which faults come when: the same seed, the same faults
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Without Warden: systemd's Restart=always, and a shell that looks every 31 seconds
        #[arg(long)]
        without: bool,
        /// Write the figures so far there as JSON, every five minutes
        #[arg(long, value_name = "FILE")]
        json: Option<std::path::PathBuf>,
        /// Go on from what an earlier run left in that file
        #[arg(long, requires = "json")]
        resume: bool,
    },
}

/// Light: enough that HAProxy and bingo are awake, too little to be in the way.
const LIGHT: Mix = Mix { rate: 5, paths: Paths::Cheap };

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("warden-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program for people")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn run(args: &Args) -> Result<()> {
    match &args.command {
        Some(Command::Fleet { agents, seconds, json }) => return sizes(agents, *seconds, json.as_deref()),
        Some(Command::Soak { minutes, seed, without, json, resume }) => {
            let plan = soak::Plan { minutes: *minutes, seed: *seed, warden: !without, json: json.as_deref(), resume: *resume };
            return soaked(plan);
        }
        Some(Command::Growth { json }) => return grown(json.as_deref()),
        Some(Command::Peers { incidents, rates, only, folder }) => {
            let plan = peers::Plan { incidents: *incidents, rates: rates.clone(), only: only.clone() };
            return compared(&plan, folder);
        }
        None => {}
    }
    let stand = Stand::whole()?;
    // What is idle comes first: afterwards journals and logs are longer than a quiet machine's.
    let costs = if args.minutes > 0 { Some(footprint::take(&stand, args.minutes, progress)?) } else { None };
    progress("");
    if let Some(costs) = &costs {
        show_costs(args.minutes, costs);
    }
    let latencies = if args.incidents > 0 { Some(incidents(&stand, args.incidents)?) } else { None };
    if let Some((out, restart)) = &latencies {
        show_latencies(args.incidents, out, restart);
    }
    if let Some(path) = &args.json {
        let value = serde_json::json!({
            "taken": jiff::Timestamp::now().to_string(),
            "idle": costs.map(|costs| serde_json::json!({ "minutes": args.minutes, "programs": costs })),
            "incidents": latencies.map(|(out, restart)| serde_json::json!({ "count": args.incidents, "out_usec": out, "restart_usec": restart })),
        });
        std::fs::write(path, serde_json::to_string_pretty(&value)? + "\n")?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn sizes(agents: &[usize], seconds: u64, json: Option<&std::path::Path>) -> Result<()> {
    let mut all = Vec::new();
    for count in agents {
        let figures = fleet::take(*count, seconds, progress)?;
        progress("");
        if all.is_empty() {
            println!("{}", fleet::HEAD);
        }
        println!("{}", figures.row());
        all.push(figures);
    }
    if let Some(path) = json {
        let value = serde_json::json!({ "taken": jiff::Timestamp::now().to_string(), "fleets": all });
        std::fs::write(path, serde_json::to_string_pretty(&value)? + "\n")?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn compared(plan: &peers::Plan, folder: &std::path::Path) -> Result<()> {
    let figures = peers::take(&Stand::whole()?, plan)?;
    peers::write(&figures, folder)?;
    println!("{}\nwritten to {}: peers.md, peers.json, peers.svg", std::fs::read_to_string(folder.join("peers.md"))?, folder.display());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn grown(json: Option<&std::path::Path>) -> Result<()> {
    let growth = growth::take(&Stand::whole()?, progress)?;
    println!("{}", growth.markdown()?);
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_string_pretty(&growth)? + "\n")?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn soaked(plan: soak::Plan<'_>) -> Result<()> {
    let figures = soak::take(&Stand::whole()?, plan)?;
    println!("{figures}");
    Ok(())
}

fn incidents(stand: &Stand, count: u32) -> Result<(Distribution, Distribution)> {
    // Each incident ends with a node that has come back, so its start is made quick; what is measured lies before that.
    let quick = Speed { warmup: "200ms", slow_start: false, restarts_at_will: true };
    let _settings = stand.nodes().iter().map(|node| Settings::apply(stand, node, quick)).collect::<Result<Vec<_>>>()?;
    let mut incidents: Vec<Incident> = Vec::new();
    // A load lives for minutes at most, so each batch has its own.
    for first in (0..count).step_by(50) {
        let load = Load::start(stand.lab(), stand.http()?, LIGHT)?;
        for number in first..count.min(first + 50) {
            progress(&format!("incident {} of {count}", number + 1));
            let node = &stand.nodes()[number as usize % stand.nodes().len()];
            incidents.push(incident::one(stand, node)?);
        }
        load.stop()?;
    }
    progress("");
    let figure = |take: fn(&Incident) -> u64| Distribution::of(incidents.iter().map(take));
    Ok((figure(|incident| incident.out_usec), figure(|incident| incident.restart_usec)))
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn show_costs(minutes: u64, costs: &[footprint::Cost]) {
    println!("Idle for {minutes} min, then half a minute at 60 requests/s, side by side; each with its child processes.\n");
    println!("{}", footprint::HEAD);
    for cost in costs {
        println!("{cost}");
    }
    println!();
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn show_latencies(count: u32, out: &Distribution, restart: &Distribution) {
    println!("{count} incidents by POST /operation, two nodes in turn, {} GETs a second; all clocks are this computer's.", LIGHT.rate);
    println!("begin: bingo's own log stamp of the line `We all gonna die`.");
    println!("out:   the coordinator's record that HAProxy, read back, sends no traffic (journald's stamp of its sending).");
    println!("call:  the agent's record that systemd has answered its restart call (likewise).");
    println!();
    println!("{:<42}{:>10}{:>10}{:>10}{:>10}{:>10}", "", "min", "p50", "p95", "p99", "max");
    println!("{:<42}{out}", "fatal line written → out confirmed, ms");
    println!("{:<42}{restart}", "fatal line written → restart answered, ms");
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
