//! The command line: seven commands, one flag, and what each command does.
//!
//! Faults of the command line end with code 1, as cobra ends them. Faults in the stand-in's own variables end with 64.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{self, Config};
use crate::database::{self, Database, NO_DATABASE};
use crate::failure::{Doom, draw};
use crate::knobs::Knobs;
use crate::log::Log;
use crate::server::App;
use crate::{noise, prepare, say, server, startup};

/// Faults in `BINGO_STANDIN_…`: sysexits' EX_USAGE, so that nobody takes them for a failure of the program it stands for.
const BAD_KNOBS: u8 = 64;

#[derive(Parser)]
#[command(name = "bingo", about = "bingo", disable_version_flag = true)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
#[command(rename_all = "snake_case")]
enum Command {
    /// Generate the autocompletion script for the specified shell
    Completion { shell: clap_complete::Shell },
    /// prepare_db
    #[command(verbatim_doc_comment)]
    PrepareDb,
    /// print_current_config
    PrintCurrentConfig,
    /// print_default_config
    PrintDefaultConfig,
    /// run_server
    RunServer,
    /// version
    Version,
}

/// Runs the command that `arguments` name. The caller has made sure that we are not root.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let command = match Line::try_parse_from(arguments) {
        Ok(Line { command: Some(command) }) => command,
        Ok(Line { command: None }) => {
            say::line("Hello world");
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&error),
    };
    let knobs = match Knobs::from_environment() {
        Ok(knobs) => knobs,
        Err(faults) => {
            for fault in faults {
                say::error(&fault);
            }
            return ExitCode::from(BAD_KNOBS);
        }
    };
    match command {
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Line::command(), "bingo", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Version => {
            say::line(concat!("bingo ", env!("CARGO_PKG_VERSION"), " (stand-in)"));
            ExitCode::SUCCESS
        }
        Command::PrintDefaultConfig => print(&Config::default()),
        Command::PrintCurrentConfig => print(&current(&knobs)),
        Command::PrepareDb => on_runtime(prepare_db(knobs)),
        Command::RunServer => on_runtime(run_server(knobs)),
    }
}

/// Help is no error; for the rest the words and the exit code are cobra's.
fn refuse(error: &clap::Error) -> ExitCode {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::DisplayHelp, _) => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        (_, Some(word)) => {
            say::error(&format!("Error: unknown command \"{word}\" for \"bingo\"\nRun 'bingo --help' for usage."));
            ExitCode::FAILURE
        }
        _ => {
            let _ = error.print();
            ExitCode::FAILURE
        }
    }
}

fn print(config: &Config) -> ExitCode {
    match config.to_yaml() {
        Ok(text) => {
            say::line(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::error(&format!("Error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn current(knobs: &Knobs) -> Config {
    Config::read(&knobs.root).unwrap_or_else(|error| {
        say::go_panic(
            &format!("failed to read config data: {error}"),
            "bingo/internal/config.readData(...)\n\t/build/internal/config/soft.go:21",
        )
    })
}

/// Two workers carry 100 requests a second many times over and keep the program small.
fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(4).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // Name look-ups may still be under way on the blocking pool; nobody wants their answers any more.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            say::error(&format!("Error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn prepare_db(knobs: Knobs) -> ExitCode {
    match prepare::run(&current(&knobs).postgres_cluster, knobs.scale).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&format!("Error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Start-up in the order of the real program's log: configuration, log, database, request, server.
async fn run_server(knobs: Knobs) -> ExitCode {
    let config = current(&knobs);
    let dir = config.log_dir(&knobs.root);
    let log = match Log::open(&dir) {
        Ok(log) => Arc::new(log),
        Err(error) => say::go_panic(
            &format!("failed to build logger: {}: {error}", dir.display()),
            "bingo/internal/logger.New(...)\n\t/build/internal/logger/logger.go:34",
        ),
    };
    log.info("core/core.go:29", "Prepare app.");

    let doom = Doom::new(knobs.leak, Arc::clone(&log));
    if let Some(range) = knobs.failure_after
        && let Some((age, mode)) = draw::draw(knobs.seed.unwrap_or_else(draw::fresh_seed), range, &knobs.failure_modes)
    {
        let doom = Arc::clone(&doom);
        tokio::spawn(async move {
            tokio::time::sleep(age).await;
            doom.strike(mode);
        });
    }

    let database = match Database::open(&config.postgres_cluster).await {
        Ok(database) => database,
        Err(error) => {
            log.error("core/core.go:35", NO_DATABASE, &format!("{error:#}"));
            say::error(&format!("{NO_DATABASE}\n{error:#}"));
            return ExitCode::FAILURE;
        }
    };
    tokio::spawn(database::watch(config.postgres_cluster.clone(), Arc::clone(&log)));
    tokio::spawn(noise::run(Arc::clone(&log)));

    startup::request(&knobs.startup_url, knobs.startup_limit, &log).await;

    let port = config.port();
    let listener = match server::listen(port).await {
        Ok(listener) => listener,
        Err(error) => {
            log.error("server/server.go:61", "failed to listen", &format!("port {port}: {error}"));
            say::error(&format!("Error: failed to listen on port {port} (it follows from student_email in {}): {error}", config::PATH));
            return ExitCode::FAILURE;
        }
    };
    say::line("My congratulations.\nYour code is: yoohoo_server_launched");
    log.info("server/server.go:66", "Server launched.");
    server::serve(listener, App::new(database, log, doom, knobs.nibbles, knobs.request_limit)).await
}
