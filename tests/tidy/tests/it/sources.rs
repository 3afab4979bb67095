//! What the sources must and must not contain.

use super::{files, is_test, production, root, rust};
use std::path::{Path, PathBuf};

/// A foreign library and the folders that alone may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("zbus", &["agent/src/systemd"]),
    ("libloading", &["agent/src/journal"]),
    ("sd_journal", &["agent/src/journal"]),
    ("reqwest", &["tests/bingo/src"]),
    ("rustls", &["crates/edge/src/tls.rs", "crates/edge/src/tls", "tests/check/src/web.rs"]),
    ("tokio_rustls", &["crates/edge/src/tls.rs", "crates/edge/src/tls", "tests/check/src/web.rs"]),
    ("tun_rs", &["tests/lab/src/line.rs"]),
    ("quinn", &["tests/check/src/web.rs"]),
    ("h3", &["tests/check/src/web.rs"]),
    ("x509_parser", &["crates/edge/src/tls"]),
    ("sd_notify", &["crates/edge/src/notify.rs"]),
    ("signal_hook", &["crates/edge/src/signals.rs", "tests/lab/src", "tests/bingo/src"]),
    ("tracing_journald", &["crates/edge/src/logging.rs"]),
    ("prometheus_client", &["agent/src/metrics", "coordinator/src/metrics.rs", "coordinator/src/metrics"]),
    ("clap", &["agent/src/args.rs", "agent/src/ctl", "agent/src/bin", "coordinator/src/main.rs", "tests"]),
    ("clap_complete", &["agent/src/ctl", "tests"]),
    ("clap_mangen", &["agent/src/ctl"]),
    ("ratatui", &["agent/src/ctl/watch"]),
    ("toml", &["crates/edge/src/config"]),
    ("maud", &["coordinator/src/page"]),
    ("hyper", &["crates/edge/src", "tests/check/src", "tests/scenarios/src", "tests/bingo/src"]),
];

#[test]
fn a_foreign_library_lives_in_one_folder() {
    for (file, text) in rust().iter().filter(|(file, _)| !is_test(file)) {
        for (library, homes) in HOMES {
            if homes.iter().any(|home| file.starts_with(home)) {
                continue;
            }
            for (number, line) in production(text).enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let named = code.match_indices(library).any(|(at, _)| {
                    let before = code[..at].chars().next_back();
                    let after = &code[at + library.len()..];
                    // After a dot it is the end of a file's name.
                    before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | '"' | '.'))
                        && (after.starts_with("::") || after.starts_with(';') || after.starts_with('_') && *library == "sd_journal")
                });
                assert!(!named, "{}:{}: {library} belongs into {homes:?}", file.display(), number + 1);
            }
        }
    }
}

/// HAProxy's words are spoken in one folder of the coordinator.
#[test]
fn haproxys_text_stays_in_its_folder() {
    for (file, text) in
        rust().iter().filter(|(file, _)| file.starts_with("coordinator/src") && !file.starts_with("coordinator/src/haproxy"))
    {
        for (number, line) in production(text).enumerate() {
            for command in ["\"set server ", "\"show servers state", "\"show info", "\"show stat"] {
                assert!(
                    !line.contains(command),
                    "{}:{}: HAProxy's commands belong into coordinator/src/haproxy",
                    file.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn unsafe_code_is_in_two_modules() {
    let allowed = [Path::new("agent/src/journal/sys.rs"), Path::new("crates/edge/src/descriptor.rs")];
    let opened: Vec<_> = rust()
        .into_iter()
        .filter(|(file, text)| !file.starts_with("tests/tidy") && text.contains("allow(unsafe_code"))
        .map(|(file, _)| file)
        .collect();
    assert_eq!(opened, allowed, "unsafe code needs a reason that the libraries cannot take away");
    for file in allowed {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("unsafe {")) {
            let above = lines[number.saturating_sub(4)..=number].join("\n");
            assert!(above.contains("SAFETY:"), "{}:{}: an unsafe block says why it is sound: {line}", file.display(), number + 1);
        }
    }
}

#[test]
fn files_stay_readable_in_one_sitting() {
    let long: Vec<_> = rust()
        .into_iter()
        .filter(|(file, _)| !is_test(file))
        .map(|(file, text)| (production(&text).count(), file))
        .filter(|(lines, _)| *lines > 400)
        .collect();
    assert!(long.is_empty(), "over 400 production lines; the missing seam is usually parse / decide / do: {long:?}");
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<PathBuf> = rust()
        .into_iter()
        .filter(|(_, text)| !text.trim_start_matches("#!").trim_start().starts_with("//!"))
        .map(|(file, _)| file)
        .collect();
    assert!(silent.is_empty(), "these files need a header: what it is, what it guarantees, what it leaves to others: {silent:?}");
}

#[test]
fn tests_wait_for_conditions_and_nothing_is_left_for_later() {
    for (file, text) in rust() {
        if file.starts_with("tests/tidy") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", file.display(), number + 1);
            // The one reason to leave a test out of a run: another step of `make test` runs it inside a machine.
            let elsewhere = line.contains("#[ignore = \"needs a machine that systemd has booted");
            assert!(!line.contains("#[ignore") || elsewhere, "{place}: a test that is never run holds nothing");
            for word in ["TODO", "FIXME", "XXX"] {
                assert!(!line.contains(word), "{place}: {word}: do it, or file it where work is planned");
            }
            assert!(!(is_test(&file) && line.contains("thread::sleep")), "{place}: wait for a condition that says what is still missing");
        }
    }
}

#[test]
fn nothing_speaks_of_one_machine() {
    for file in files() {
        let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue };
        if file.ends_with("Cargo.lock") || file.starts_with("tests/tidy") {
            continue;
        }
        for word in ["/root/", "/home/", "deb.debian.org", "pypi.org", "BEGIN PRIVATE KEY", "BEGIN RSA", "BEGIN OPENSSH"] {
            // A sandbox directive or a test may name /root as a path to be hidden; a path below it is somebody's machine.
            assert!(!text.contains(word), "{}: says {word:?}", file.display());
        }
    }
}
