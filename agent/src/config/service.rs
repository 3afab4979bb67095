//! `[[service]]`: one supervised unit.

use super::{Pattern, Service, positive, probe, restart};
use crate::journal::matcher::{Matcher, TEXT_LIMIT};
use std::time::Duration;
use warden_edge::config::{Found, Section};
use warden_logic::moment::Span;
use warden_logic::service::input::Means;
use warden_logic::service::policy::{Mode, PatternPolicy, Policy, RecyclePolicy, Stop, StopPolicy};

/// Takes one service apart. `None` when it has a fault that leaves nothing to go on with; faults are noted in any case.
pub(super) fn read(section: Section<'_>, coordinator_silent_for: Span, coordinated: bool) -> Option<Service> {
    let unit = unit(&section);
    let backend = backend(&section);
    let address = address(&section);
    let warmup = section.duration("warmup").map_or(Duration::ZERO, |found| found.value);
    let probe_during_warmup = section.boolean("probe_during_warmup").is_some_and(|found| found.value);
    let prove_within = positive(&section, "prove_within", Duration::from_secs(60));
    let mut probes = section.named_tables("probe");
    if probes.is_empty() {
        section.missing("probe", "say how the service is asked whether it is well: [service.probe.NAME] with `http = \"http://…\"`");
    }
    for (name, _) in probes.iter().skip(1) {
        section.fault(name.place.clone(), format!("a service has one probe for now; leave out {:?} or the other", name.value));
    }
    let first = if probes.is_empty() { None } else { Some(probes.remove(0)) };
    // The others are read for their own faults.
    probes.into_iter().for_each(|(name, table)| drop(probe::read(name, table, &prove_within)));
    let probe = first.and_then(|(name, table)| probe::read(name, table, &prove_within));
    let patterns: Vec<Pattern> = section.named_tables("pattern").into_iter().filter_map(|(name, table)| pattern(name, table)).collect();
    let restart = restart::read(section.table("restart"));
    section.finish();
    let (unit, (probe, probe_policy)) = (unit?, probe?);
    // Without a backend nobody speaks for its traffic, so nobody is waited for either.
    let coordinated = coordinated && !backend.is_empty();
    Some(Service {
        unit: unit.value,
        place: unit.place,
        backend,
        address,
        policy: Policy {
            mode: Mode::Supervise,
            warmup: Span::from(warmup),
            probe_during_warmup,
            prove_within: Span::from(prove_within.value),
            probes: vec![probe_policy],
            // Lines count as failed probes do: three are too many.
            patterns: patterns
                .iter()
                .map(|pattern| PatternPolicy {
                    means: pattern.means,
                    count: if pattern.means == Means::Suspect { 3 } else { 1 },
                    window: Span::from_secs(60),
                })
                .collect(),
            depends: Vec::new(),
            recycle: RecyclePolicy::NEVER,
            flap_half_life: Span::from_secs(600),
            stop: StopPolicy { how: Stop::Graceful, kill_after: Span::from_secs(10), drain: Span::from_secs(30) },
            restart,
            coordinator_silent_for,
            coordinated,
        },
        probe,
        patterns,
    })
}

fn unit(section: &Section<'_>) -> Option<Found<String>> {
    const FORM: &str = "the unit's whole name, as in \"bingo.service\"";
    let Some(found) = section.text("unit") else {
        section.missing("unit", &format!("set it to {FORM}"));
        return None;
    };
    let name = found.value.as_str();
    let fault = match name.strip_suffix(".service") {
        Some("") => format!("`unit` must be {FORM}"),
        // systemd.unit(5): ASCII letters, digits and these; 255 characters at most.
        Some(prefix) if name.len() > 255 || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte)) => {
            format!("`unit` must be {FORM}; {name:?} is no name that systemd accepts")
        }
        Some(prefix) if prefix.ends_with('@') => {
            format!("`unit` is {name:?}, a template; name one instance of it, as in \"{prefix}1.service\"")
        }
        Some(_) => return Some(found),
        None if name.contains('.') => {
            format!("`unit` is {name:?}, and only services can be supervised: it must be {FORM}")
        }
        None => format!("`unit` is {name:?} without its suffix; write \"{name}.service\""),
    };
    section.fault(found.place, fault);
    None
}

/// Nothing: no balancer sends traffic to it.
fn backend(section: &Section<'_>) -> String {
    let Some(found) = section.text("backend") else { return String::new() };
    // HAProxy's own rule for names: letters, digits, '-', '_', '.', ':'.
    if found.value.is_empty() || !found.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)) {
        let text = format!("`backend` must be a backend's name as in HAProxy's configuration, and is {:?}", found.value);
        section.fault(found.place, text);
    }
    found.value
}

fn address(section: &Section<'_>) -> String {
    let Some(found) = section.text("address") else { return String::new() };
    let fits = found.value.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if !fits {
        let form = "`address` must be the server's address as HAProxy has it, as in \"10.0.0.11:28940\"";
        section.fault(found.place, format!("{form}, and is {:?}", found.value));
    }
    found.value
}

/// `[service.pattern.NAME]`
fn pattern(name: Found<String>, section: Section<'_>) -> Option<Pattern> {
    let means = section.text("means");
    let meaning = match means.as_ref().map(|found| found.value.as_str()) {
        Some("fatal") => Some(Means::Fatal),
        Some("suspect") => Some(Means::Suspect),
        Some("recovered") => Some(Means::Recovered),
        Some(other) => {
            let place = means.as_ref().map_or_else(|| section.place(), |found| found.place.clone());
            section.fault(place, format!("`means` must be \"fatal\", \"suspect\" or \"recovered\", and is {other:?}"));
            None
        }
        None => {
            section.missing("means", "say what such a line means: \"fatal\", \"suspect\" or \"recovered\"");
            None
        }
    };
    let journal = section.table("journal");
    if journal.is_none() {
        section.missing("journal", "say what the line is, as in `journal = { line = \"We all gonna die\" }`");
    }
    let matcher = journal.and_then(matcher);
    section.finish();
    Some(Pattern { name: name.value, matcher: matcher?, means: meaning? })
}

/// `journal = { line = … }`: exactly one of `line`, `contains`, `regex`.
fn matcher(section: Section<'_>) -> Option<Matcher> {
    let ways = [("line", section.text("line")), ("contains", section.text("contains")), ("regex", section.text("regex"))];
    let mut given = ways.into_iter().filter_map(|(way, found)| Some((way, found?)));
    let (first, second) = (given.next(), given.next());
    let matcher = match (first, second) {
        (Some((_, found)), _) if found.value.trim().is_empty() || found.value.len() > TEXT_LIMIT => {
            section.fault(found.place, format!("a pattern must have between 1 and {TEXT_LIMIT} characters that are not white space"));
            None
        }
        (Some((one, _)), Some((other, found))) => {
            section.fault(found.place, format!("`{one}` and `{other}` exclude each other; keep one"));
            None
        }
        (Some(("line", found)), None) => Some(Matcher::Line(found.value.trim().to_owned())),
        (Some(("contains", found)), None) => Some(Matcher::Contains(found.value)),
        (Some((_, found)), None) => match regex::RegexBuilder::new(&found.value).size_limit(1 << 20).build() {
            Ok(regex) => Some(Matcher::Regex(regex)),
            Err(error) => {
                section.fault(found.place, format!("`regex` does not compile: {}", one_line(&error)));
                None
            }
        },
        (None, _) => {
            if !["line", "contains", "regex"].into_iter().any(|way| section.has(way)) {
                section.fault(section.place(), "`journal` needs one of `line`, `contains` and `regex`");
            }
            None
        }
    };
    section.finish();
    matcher
}

/// The regex crate draws an arrow under the fault over several lines; its last line says what it is.
fn one_line(error: &regex::Error) -> String {
    error.to_string().lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
