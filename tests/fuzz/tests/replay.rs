//! The seeds, and everything that was ever found, once more; and cut and flipped at every byte.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use warden_fuzz::TARGETS;

fn files(kind: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn seeds_and_findings_are_survived() {
    for (name, run) in TARGETS {
        let seeds = files("seeds", name);
        assert!(!seeds.is_empty(), "{name} has no seed");
        for (_, bytes) in seeds.iter().chain(&files("regressions", name)) {
            run(bytes);
        }
    }
}

/// Torn and flipped: what a full disk or a bad cable leaves of a good input.
#[test]
fn seeds_cut_and_flipped_are_survived() {
    for (name, run) in TARGETS {
        for (_, seed) in files("seeds", name) {
            // A long seed is sampled: every byte of a few kilobytes would take minutes in an unoptimised build.
            let stride = (seed.len() / 200).max(1);
            for at in (0..seed.len()).step_by(stride) {
                run(&seed[..at]);
                let mut flipped = seed.clone();
                flipped[at] ^= 1 << (at % 8);
                run(&flipped);
            }
        }
    }
}

/// A seed that is refused at the door tries nothing.
#[test]
fn saved_machines_are_of_the_present_form() {
    for (name, bytes) in files("seeds", "state") {
        let read = serde_json::from_slice::<warden_logic::service::Saved>(&bytes);
        assert!(read.is_ok(), "{name}: {read:?}; write them anew: cargo run -p warden-fuzz --example state-seeds");
    }
}
