//! `[[service]]`: one supervised unit.

use super::need::Needs;
use super::probe::{self, Role};
use super::values::{host_port, later, named, positive, shown};
use super::{Service, pattern, restart};
use std::time::Duration;
use warden_edge::config::{Found, Section};
use warden_logic::moment::Span;
use warden_logic::service::policy::{Mode, Policy, RecyclePolicy, Stop, StopPolicy};

/// The times of a service's beginning, which others have to fit between.
struct Begin {
    warmup: Duration,
    prove_within: Found<Duration>,
}

/// Takes one service apart. `None` when it has a fault that leaves nothing to go on with; faults are noted in any case.
pub(super) fn read(section: Section<'_>, coordinator_silent_for: Span, coordinated: bool, needs: &mut Needs) -> Option<Service> {
    let unit = unit(&section);
    let backend = backend(&section);
    let address = host_port(&section, "address", "10.0.0.11:28940").map(|found| found.value).unwrap_or_default();
    let mode = choice(&section, "mode", [("supervise", Mode::Supervise), ("shadow", Mode::Shadow)]);
    let begin = Begin {
        warmup: section.duration("warmup").map_or(Duration::ZERO, |found| found.value),
        prove_within: positive(&section, "prove_within", Duration::from_secs(60)),
    };
    let probe_during_warmup = section.boolean("probe_during_warmup").is_some_and(|found| found.value);
    let recycle = recycle(&section, &begin);
    let stop = stop(&section);
    let flap_half_life = section.duration("flap_half_life").map_or(Duration::from_secs(600), |found| found.value);
    let probes = section.named_tables("probe");
    if probes.is_empty() {
        section.missing("probe", "say how the service is asked whether it is well: [service.probe.NAME] with `http = \"http://…\"`");
        // Of a wrong type it has its own fault already.
        if section.table("probe").is_some() {
            section.fault(section.place_of("probe"), "`probe` holds no probe; write [service.probe.NAME] with `http = \"http://…\"`");
        }
    }
    let wanted = probes.len();
    let role = Role::Service(&begin.prove_within);
    let probes: Vec<_> = probes.into_iter().map(named).filter_map(|(name, table)| probe::read(name, table, role, needs)).collect();
    let patterns = section.named_tables("pattern").into_iter().map(named).filter_map(|(name, table)| pattern::read(name, table));
    let (patterns, pattern_policies) = patterns.unzip();
    let depends = section.named_tables("depends").into_iter().map(named);
    let (depends, depends_policies) = depends.filter_map(|(name, table)| probe::read(name, table, Role::Dependency, needs)).unzip();
    let restart = restart::read(section.table("restart"));
    section.finish();
    let unit = unit?;
    if probes.len() < wanted || probes.is_empty() {
        return None;
    }
    let (probes, probe_policies) = probes.into_iter().unzip();
    // Without a backend nobody speaks for its traffic, so nobody is waited for either.
    let coordinated = coordinated && !backend.is_empty();
    Some(Service {
        unit: unit.value,
        place: unit.place,
        backend,
        address,
        policy: Policy {
            mode,
            warmup: Span::from(begin.warmup),
            probe_during_warmup,
            prove_within: Span::from(begin.prove_within.value),
            probes: probe_policies,
            patterns: pattern_policies,
            depends: depends_policies,
            recycle,
            flap_half_life: Span::from(flap_half_life),
            stop,
            restart,
            coordinator_silent_for,
            coordinated,
        },
        probes,
        patterns,
        depends,
    })
}

/// `max_age`, `max_age_jitter`, `recycle_above`.
fn recycle(section: &Section<'_>, begin: &Begin) -> RecyclePolicy {
    let max_age = section.duration("max_age");
    let jitter = section.duration("max_age_jitter");
    let above = section.size("recycle_above");
    if let Some(found) = &above
        && found.value == 0
    {
        section.fault(found.place.clone(), "`recycle_above` must be more than nothing: every process holds some memory");
    }
    match (&max_age, &jitter) {
        (None, Some(jitter)) if !section.has("max_age") => {
            section.fault(jitter.place.clone(), "`max_age_jitter` means nothing without `max_age`; set `max_age` or leave both out");
        }
        (Some(age), _) => {
            let by = jitter.as_ref().map_or(age.value / 10, |found| found.value);
            let needs = begin.warmup.saturating_add(begin.prove_within.value);
            let place = jitter.as_ref().map_or_else(|| age.place.clone(), |jitter| later(&[&jitter.place, &age.place]));
            if by >= age.value {
                let text = format!("`max_age_jitter` must be shorter than `max_age`: {} ≥ {}", shown(by), shown(age.value));
                section.fault(place, text);
            } else if age.value - by <= needs {
                let text = format!(
                    "`max_age` less `max_age_jitter` must be longer than `warmup` and `prove_within` together, or it is restarted before it \
                     has served: {} ≤ {}",
                    shown(age.value - by),
                    shown(needs)
                );
                section.fault(place, text);
            }
        }
        _ => {}
    }
    let by = jitter.map(|found| found.value).or_else(|| max_age.as_ref().map(|age| age.value / 10));
    RecyclePolicy {
        max_age: max_age.map(|found| Span::from(found.value)),
        max_age_jitter: by.map_or(Span::ZERO, Span::from),
        above: above.map(|found| found.value),
    }
}

/// `stop`, `kill_after`, `drain`.
fn stop(section: &Section<'_>) -> StopPolicy {
    StopPolicy {
        how: choice(section, "stop", [("graceful", Stop::Graceful), ("kill", Stop::Kill)]),
        kill_after: Span::from(positive(section, "kill_after", Duration::from_secs(10)).value),
        drain: Span::from(section.duration("drain").map_or(Duration::from_secs(30), |found| found.value)),
    }
}

/// One of two words; the first is the default.
fn choice<T: Copy>(section: &Section<'_>, key: &'static str, words: [(&str, T); 2]) -> T {
    let [(first, default), (second, other)] = words;
    match section.text(key) {
        Some(found) if found.value == second => other,
        Some(found) if found.value != first => {
            section.fault(found.place, format!("`{key}` must be \"{first}\" or \"{second}\", and is {:?}", found.value));
            default
        }
        _ => default,
    }
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
