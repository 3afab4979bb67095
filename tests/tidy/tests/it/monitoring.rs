//! Alert rules, their tests, and the dashboard, held against each other and against what the programs count.

use super::root;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// Prometheus' own word on it.
fn promtool(arguments: &[&str], files: &[PathBuf]) {
    let out = Command::new("promtool").args(arguments).args(files).output();
    let out = out.unwrap_or_else(|error| panic!("promtool cannot be run ({error}): install the Debian package prometheus"));
    let (said, fault) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && !said.contains("FAILED"), "promtool {arguments:?}:\n{said}\n{fault}");
}

fn files_of(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("monitoring").join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "monitoring/{folder} is empty");
    files
}

fn texts(folder: &str) -> Vec<String> {
    files_of(folder).iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn prometheus_takes_the_rules_and_their_tests_pass() {
    promtool(&["check", "rules"], &files_of("rules"));
    promtool(&["test", "rules"], &files_of("tests"));
}

/// One test that it is told, and one that it is not: a rule that always fires, or never, is found.
#[test]
fn every_alert_is_seen_to_fire_and_to_be_silent() {
    let read = |file: PathBuf| std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let folder = root().join("monitoring/tests");
    for file in files_of("rules") {
        let (rules, name) = (read(file.clone()), file.file_name().unwrap());
        let tests = read(folder.join(name)) + &read(folder.join("hours.yml"));
        let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        assert!(alerts.len() > 5);
        for alert in alerts {
            let of_it = || {
                tests
                    .split("alertname: ")
                    .skip(1)
                    .filter(|test| test.starts_with(alert) && !test[alert.len()..].starts_with(char::is_alphanumeric))
            };
            let silent = of_it().filter(|test| test.lines().next().unwrap().contains("exp_alerts: []")).count();
            let fires = of_it().filter(|test| test.contains("exp_labels")).count();
            assert!(silent > 0 && fires > 0, "{alert}: {silent} tests that it is silent, {fires} that it fires");
        }
    }
}

/// The page explains everything that is asked for; a name that was mistyped would be silent for ever.
#[test]
fn what_is_asked_for_is_counted_somewhere() {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let known: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("| `warden_")?.split(['{', '`']).next()).collect();
    let asked: Vec<String> = texts("rules").into_iter().chain(texts("dashboards")).collect();
    let mut names = 0;
    for text in &asked {
        for rest in text.split("warden_").skip(1) {
            let name: &str = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            let whole = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(known.contains(whole), "warden_{name} is asked for, and docs/metrics.md has no such metric");
            names += 1;
        }
    }
    assert!(names > 30);
}

/// Every query of the dashboards is one for Prometheus, and of a time range that Grafana fills in nothing is left.
#[test]
fn the_dashboards_ask_what_prometheus_understands() {
    let mut rules = String::from("groups:\n  - name: queries\n    rules:\n");
    let mut asked = 0;
    for text in texts("dashboards") {
        let board: Value = serde_json::from_str(&text).unwrap();
        let (title, uid) = (board["title"].as_str().unwrap(), board["uid"].as_str().unwrap());
        assert!(title.to_lowercase() == uid && ["warden", "stand"].contains(&uid), "{title} {uid}");
        let panels = board["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
        let marks = board["annotations"]["list"].as_array().cloned().unwrap_or_default();
        for query in panels.chain(marks) {
            asked += 1;
            let expression = serde_json::to_string(query["expr"].as_str().unwrap()).unwrap();
            writeln!(rules, "      - {{ record: \"query:{asked}\", expr: {expression} }}").unwrap();
        }
    }
    assert!(asked > 20, "{asked}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queries.yml");
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules"], &[file]);
}

/// Who is woken up finds in the runbook what to do, of every alert, and how urgent it is; and the runbook knows none that there is not.
#[test]
fn every_alert_is_in_the_runbook() {
    let runbook = std::fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let texts = texts("rules");
    let rules = texts.iter().flat_map(|rules| rules.split("- alert: ").skip(1));
    let alerts: BTreeSet<(&str, &str)> = rules
        .map(|rule| {
            let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.split([' ', ',']).next());
            (rule.lines().next().unwrap(), severity.unwrap())
        })
        .collect();
    let told: BTreeSet<(&str, &str)> = runbook
        .lines()
        .filter(|line| line.starts_with("| `Stand") || line.starts_with("| `Warden"))
        .flat_map(|line| {
            let names = line.split('|').nth(1).unwrap();
            let severity = names.split(['(', ')']).nth(1).unwrap_or_default();
            names.split('`').skip(1).step_by(2).map(move |name| (name, severity))
        })
        .collect();
    assert_eq!(alerts, told);
}
