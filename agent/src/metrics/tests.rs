//! The text, the page that explains it, and Prometheus' own opinion of it.

use super::*;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

/// Everything with at least one sample.
fn filled() -> Metrics {
    let metrics = Metrics::new();
    metrics.new_generation();
    metrics.in_state("a.service", ServiceState::Unknown);
    metrics.shadow("a.service", false);
    metrics.marked("a.service", "drain", true);
    metrics.changed("a.service", ServiceState::Serving, ServiceState::Sick, Label::FatalPattern);
    metrics.held("a.service", Span::from_millis(1_500));
    metrics.penalty("a.service", 1_250);
    metrics.memory("a.service", 14_200_000);
    metrics.probed("a.service", "ping", Verdict::Good, 900);
    metrics.dependency("a.service", "database", Some(true));
    metrics.restarting("a.service", Label::FatalPattern);
    metrics.would_restart("a.service", Label::FatalPattern);
    metrics.job_ended("a.service", "done");
    metrics.killing("a.service");
    metrics.incident("a.service");
    metrics.ordered("drain", true);
    metrics.hook("pager", "done");
    metrics.connected("https://lb-1:7443", true);
    metrics.certificates(&[("own", "bingo-1", 1_800_000_000), ("ca", "CN=Warden CA", 2_000_000_000)]);
    metrics.warmed_up("a.service", Span::from_secs(30));
    metrics.log_hit("a.service", "doom", Span::from_millis(2));
    metrics.dismissed("a.service");
    metrics.anomaly("a.service");
    metrics.reloaded("applied");
    metrics.state_written(true);
    metrics.journal(1, 2, 3, true);
    metrics.turn(Span::from_micros(5));
    metrics
}

#[test]
fn the_text_has_the_names_that_people_were_told() {
    let text = filled().text();
    for line in [
        "warden_agent_service_state{unit=\"a.service\",state=\"sick\"} 1",
        "warden_agent_service_state{unit=\"a.service\",state=\"serving\"} 0",
        "warden_agent_transitions_total{unit=\"a.service\",from=\"serving\",to=\"sick\",reason=\"fatal_pattern\"} 1",
        "warden_agent_probe_seconds_count{unit=\"a.service\",probe=\"ping\"} 1",
        "warden_agent_restarts_total{unit=\"a.service\",cause=\"fatal_pattern\"} 1",
        "warden_agent_warmup_seconds{unit=\"a.service\"} 30.0",
        "warden_agent_log_lag_seconds_count{unit=\"a.service\"} 1",
        "warden_agent_loop_seconds_count 1",
        "warden_agent_held_seconds_total{unit=\"a.service\"} 1.5",
        "warden_agent_flap_penalty{unit=\"a.service\"} 1.25",
        "warden_agent_memory_bytes{unit=\"a.service\"} 14200000",
        "warden_agent_dependency_up{unit=\"a.service\",dependency=\"database\"} 1",
        "warden_agent_certificate_expiry_timestamp_seconds{of=\"own\",name=\"bingo-1\"} 1800000000.0",
        "warden_agent_journal_suppressed_total 1",
        concat!("warden_agent_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn every_name_has_samples_a_type_and_a_help_text() {
    let metrics = filled();
    let text = metrics.text();
    for (name, kind) in metrics.names() {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} {kind}:\n{text}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        let sampled = text.lines().any(|line| line.starts_with(name.as_str()) && !line.starts_with('#'));
        assert!(sampled, "{name} has no sample: fill it in this test");
    }
    let types = text.lines().filter(|line| line.starts_with("# TYPE")).count();
    assert_eq!(types, metrics.names().len(), "what the text announces and what was registered");
}

#[test]
fn what_is_gone_from_the_configuration_is_gone_from_the_text() {
    let metrics = filled();
    metrics.new_generation();
    let text = metrics.text();
    for gauge in ["service_state{", "memory_bytes{", "dependency_up{", "coordinator_connected{", "certificate_expiry_timestamp_seconds{"] {
        assert!(!text.contains(gauge), "{gauge}:\n{text}");
    }
    assert!(text.contains("warden_agent_restarts_total{"), "what happened has happened");
    metrics.dependency("a.service", "database", Some(false));
    metrics.dependency("a.service", "database", None);
    assert!(!metrics.text().contains("dependency_up{"), "unknown is neither up nor down");
}

/// The page and the code name the same metrics, each way.
#[test]
fn the_page_explains_every_metric_and_no_other() {
    let page = include_str!("../../../docs/metrics.md");
    let agent = page.split("\n## ").find(|part| part.starts_with("The agent")).expect("a chapter on the agent");
    let rows = agent.lines().filter_map(|line| line.strip_prefix("| `warden_agent_"));
    let mut explained = BTreeSet::new();
    for row in rows {
        let (name, rest) = row.split_once('`').expect("a name in back-quotes");
        let kind = rest.split('|').nth(1).unwrap_or_default().trim();
        let bare = name.split('{').next().unwrap_or_default();
        assert!(rest.split('|').nth(2).is_some_and(|text| text.trim().len() > 20), "{name}: say what it is good for");
        assert!(explained.insert((format!("warden_agent_{bare}"), kind.to_owned())), "{name} is explained twice");
    }
    let metrics = Metrics::new();
    let known: BTreeSet<_> = metrics.names().iter().map(|(name, kind)| (name.clone(), (*kind).to_owned())).collect();
    let missing: Vec<_> = known.difference(&explained).collect();
    let unknown: Vec<_> = explained.difference(&known).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "docs/metrics.md lacks {missing:?}, and explains what is not there: {unknown:?}");
    // The labels, too: a query is written from this page.
    let text = filled().text();
    for row in agent.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|rest| rest.split('`').next()) {
        let Some((name, labels)) = row.split_once('{') else { continue };
        for label in labels.trim_end_matches('}').split(',') {
            let found = text.lines().filter(|line| line.starts_with(name)).any(|line| line.contains(&format!("{label}=\"")));
            assert!(found, "{name} has no label {label}");
        }
    }
}

/// What Prometheus itself finds fault with.
#[test]
fn promtool_finds_no_fault() {
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "promtool cannot be run ({error}): install the Debian package prometheus");
            let text = "NOT CHECKED: promtool is missing, so nobody but us has read the metrics; install the Debian package prometheus";
            writeln!(std::io::stderr(), "{text}").unwrap();
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(filled().text().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
