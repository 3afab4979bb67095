//! Completions and manual pages, from the definitions that the help is made of.

use super::args::Args;
use super::{Failure, print};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "agentctl", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// `agentctl.1`, a page for each of its subcommands, and `warden-agent.8`.
pub(super) fn manual(directory: &Path) -> Result<ExitCode, Failure> {
    write(directory).map_err(|error| Failure::cannot_tell(format!("no pages in {}: {error}", directory.display())))?;
    Ok(ExitCode::SUCCESS)
}

fn write(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Args::command(), directory)?;
    Man::new(crate::args::Args::command()).section("8").generate_to(directory)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_its_page() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        let pages: std::collections::BTreeSet<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        for page in ["agentctl.1", "agentctl-status.1", "agentctl-maintenance-on.1", "agentctl-fleet-status.1", "warden-agent.8"] {
            let text = std::fs::read_to_string(directory.path().join(page)).unwrap();
            assert!(text.contains(".TH") && text.contains("agent"), "{page}: {text}");
        }
        assert!(!pages.contains("agentctl-man.1"), "{pages:?}");
    }
}
