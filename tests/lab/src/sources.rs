//! Where Debian's packages come from: what this computer's apt already uses.
//!
//! Guarantees: no mirror's name is in here. The host's Debian lines are taken, with
//! the suite's name exchanged; where there are none, mmdebstrap's default applies.

use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::command::{SHORT, run};

/// Which Debian the machines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Debian 13.
    Trixie,
    /// Debian 12.
    Bookworm,
}

impl Suite {
    /// The code name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Bookworm => "bookworm",
        }
    }
}

/// Signs the archive; Debian's mmdebstrap needs it, so it is there.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What `apt-get indextargets` is asked for.
const FORMAT: &str = "$(CREATED_BY)|$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)";

/// Options of the host's apt that a download needs as well.
const OPTIONS: [&str; 4] = ["Acquire::http::", "Acquire::https::", "Acquire::Retries", "Acquire::Check-"];

/// One-line-style sources for a suite; empty where the host has no Debian line.
pub(crate) fn lines(suite: Suite) -> Result<Vec<String>> {
    let text = run(Command::new("apt-get").args(["indextargets", "--format", FORMAT]), None, SHORT)?;
    Ok(translate(&text, suite))
}

fn translate(targets: &str, suite: Suite) -> Vec<String> {
    let mut lines = Vec::new();
    for target in targets.lines() {
        let fields: Vec<&str> = target.split('|').collect();
        let ["Packages", "Debian", "main", codename, uri] = fields[..] else { continue };
        // bookworm, bookworm-updates, bookworm-security → the same of the suite that is wanted
        let rest = codename.split_once('-').map_or(String::new(), |(_, rest)| format!("-{rest}"));
        if !["", "-updates", "-security"].contains(&rest.as_str()) {
            continue;
        }
        let line = format!("deb [signed-by={KEYRING}] {uri} {}{rest} main", suite.name());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// The host's apt options that say how to fetch, as `KEY "VALUE";` lines.
pub(crate) fn options() -> Result<Vec<String>> {
    let text = run(Command::new("apt-config").arg("dump"), None, SHORT)?;
    Ok(text
        .lines()
        .filter(|line| OPTIONS.iter().any(|prefix| line.starts_with(prefix)))
        .filter(|line| !line.ends_with(" \"\";"))
        .map(ToOwned::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_lines_serve_another_suite() {
        let host = "Packages|Debian|main|bookworm|http://mirror.test/debian/\n\
                    Translations|Debian|main|bookworm|http://mirror.test/debian/\n\
                    Packages|Debian|contrib|bookworm|http://mirror.test/debian/\n\
                    Packages|Debian|main|bookworm-security|http://mirror.test/security/\n\
                    Packages|Debian Backports|main|bookworm-backports|http://mirror.test/debian/\n\
                    Packages|Other|main|bookworm|http://other.test/\n\
                    Packages|Debian|main|bookworm|http://mirror.test/debian/\n";
        assert_eq!(
            translate(host, Suite::Trixie),
            [
                format!("deb [signed-by={KEYRING}] http://mirror.test/debian/ trixie main"),
                format!("deb [signed-by={KEYRING}] http://mirror.test/security/ trixie-security main"),
            ]
        );
    }
}
