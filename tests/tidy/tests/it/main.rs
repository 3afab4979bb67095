//! The rules of the project, tried on the project.
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod documents;
mod graph;
mod monitoring;
mod sources;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's top folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file that git knows or would add, relative to the top folder.
fn files() -> Vec<PathBuf> {
    let list = Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root()).output().unwrap();
    assert!(list.status.success(), "git ls-files: {}", String::from_utf8_lossy(&list.stderr));
    let files: Vec<_> =
        String::from_utf8(list.stdout).unwrap().lines().map(PathBuf::from).filter(|file| root().join(file).is_file()).collect();
    assert!(files.len() > 50, "the project has more files than {}", files.len());
    files
}

/// Every Rust file with its text.
fn rust() -> Vec<(PathBuf, String)> {
    let is_rust = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "rs");
    files().into_iter().filter(is_rust).map(|file| (file.clone(), std::fs::read_to_string(root().join(file)).unwrap())).collect()
}

/// A Rust file's production lines: those before its first `#[cfg(test)]`.
fn production(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.trim_start().starts_with("#[cfg(test)]"))
}

/// True for files that hold tests only.
fn is_test(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "it") || file.ends_with("tests.rs") || file.ends_with("it.rs")
}
