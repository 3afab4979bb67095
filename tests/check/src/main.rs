//! `check-stand`: whether a Bingo stand keeps what its users were promised, a line for each promise.

mod endpoints;
mod faults;
mod monitoring;
mod sheet;
mod traffic;
mod web;

use anyhow::{Context, Result};
use clap::Parser;
use sheet::Sheet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use warden_scenarios::Stand;
use web::Site;

/// Asks a Bingo stand for everything that its users were promised: each endpoint, the promised load, lists, cache, http, https and
/// HTTP/3, faults under load. Ends with 1 when a promise is broken.
///
/// It makes one node after the other sick, as the assignment's own checker does. Do not point it at a stand whose users mind.
#[derive(Debug, Parser)]
#[command(
    name = "check-stand",
    version,
    after_help = "Examples:\n  \
    make check-stand                             the lab that `make deploy` brought up, its machines included\n  \
    make check-stand ADDRESS=bingo.example.org   any stand, as its users see it"
)]
struct Args {
    /// Name or address of the balancer
    #[arg(long, value_name = "HOST")]
    address: String,
    #[arg(long, default_value_t = 80, value_name = "PORT")]
    http: u16,
    /// Over TCP, and for HTTP/3 over UDP
    #[arg(long, default_value_t = 443, value_name = "PORT")]
    https: u16,
    /// Who has to have signed its certificate (PEM); without, any will do
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Its Prometheus, as HOST:PORT: whether each endpoint has figures
    #[arg(long, value_name = "HOST:PORT")]
    prometheus: Option<String>,
    /// The stand is this computer's lab: break and boot its machines as well
    #[arg(long)]
    lab: bool,
    /// How long each load runs
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Leave out what takes minutes: watching the cache, and a boot of every machine
    #[arg(long)]
    short: bool,
    /// Write what was found there as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "check-stand: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let site = Site::new(&args.address, args.http, args.https, args.ca.as_deref())?;
    site.get("/ping")
        .with_context(|| format!("nothing answers at {}: is the stand up (make deploy), and is this its address?", site.http))?;
    let stand = if args.lab { Some(Stand::whole()?) } else { None };
    let mut sheet = Sheet::new();
    traffic::protocols(&site, &mut sheet);
    endpoints::check(&site, &mut sheet);
    let time = Duration::from_secs(args.seconds);
    traffic::check(&site, &mut sheet, time);
    if args.short {
        sheet.leave_out("GET /long_dummy: age and speed over more than a minute", "left out by --short");
    } else {
        traffic::cache(&site, &mut sheet);
    }
    faults::operations(&site, &mut sheet, stand.as_ref(), time);
    match &stand {
        Some(stand) => {
            faults::starts(&mut sheet, stand);
            faults::machines(&site, &mut sheet, stand);
        }
        None => sheet.leave_out("a machine's power and cable, its boot, codes of its start", "needs the lab's machines: --lab"),
    }
    sheet.title("Seeing it");
    match &args.prometheus {
        Some(prometheus) => monitoring::check(prometheus, &mut sheet)?,
        None => sheet.leave_out("requests, errors and latency by endpoint", "needs --prometheus HOST:PORT"),
    }
    if let (Some(stand), false) = (&stand, args.short) {
        faults::reboots(&site, &mut sheet, stand);
    }
    let kept = sheet.close();
    if let Some(file) = &args.json {
        std::fs::write(file, sheet.json()?).with_context(|| format!("{}", file.display()))?;
    }
    Ok(kept)
}
