//! What changed between two configurations, service by service and key by key, for people. Pure.

use super::values::{shown, shown_size};
use super::{Config, Incidents, Pattern, Service, Source};
use crate::hook::{Hook, HookRun};
use crate::printable::escaped;
use crate::probe::{self, Ask, HttpAsk, Probe};
use std::ops::RangeInclusive;
use std::path::Path;
use warden_logic::moment::Span;
use warden_logic::service::input::Means;
use warden_logic::service::policy::{Mode, PatternPolicy, Policy, ProbePolicy, RecyclePolicy, RestartPolicy, Stop, StopPolicy};

/// No value is shown longer, in characters.
const SHOWN: usize = 80;

/// What can be there or not: the node, a service, or a probe, pattern, dependency or hook.
struct Part {
    /// The service that it belongs to; empty for what belongs to the node.
    of: String,
    /// `probe ping`; empty for the service, or the node, itself.
    name: String,
    /// Keys and their values in effect, as a person writes them.
    says: Vec<(&'static str, String)>,
}

/// One sentence for everything that differs: `bingo.service: probe ping: every 1s → 500ms`, `bingo.service: new`. Empty when both
/// mean the same, whatever files they were read from.
#[must_use]
pub fn difference(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (parts(old), parts(new));
    let find = |parts: &'_ [Part], of: &str, name: &str| parts.iter().position(|part| part.of == of && part.name == name);
    let mut told = Vec::new();
    for part in &new {
        match find(&old, &part.of, &part.name).map(|index| &old[index]) {
            Some(before) => {
                for ((key, now), (_, was)) in part.says.iter().zip(&before.says).filter(|(now, was)| now != was) {
                    told.push(format!("{}{key} {} → {}", head(part), escaped(was, SHOWN), escaped(now, SHOWN)));
                }
            }
            // Of a new service it is enough to say that it is new.
            None if !part.name.is_empty() && !part.of.is_empty() && find(&old, &part.of, "").is_none() => {}
            None => told.push(format!("{}new", head(part))),
        }
    }
    for part in &old {
        let with_its_service = !part.name.is_empty() && !part.of.is_empty() && find(&new, &part.of, "").is_none();
        if find(&new, &part.of, &part.name).is_none() && !with_its_service {
            told.push(format!("{}gone", head(part)));
        }
    }
    told
}

fn head(part: &Part) -> String {
    let steps = [part.of.as_str(), part.name.as_str()];
    steps.into_iter().filter(|step| !step.is_empty()).map(|step| format!("{step}: ")).collect()
}

fn parts(config: &Config) -> Vec<Part> {
    // Taken apart whole, so that what is added to the configuration cannot be forgotten here.
    let Config {
        node,
        coordinators,
        tls,
        silent_for,
        services,
        hooks,
        incidents,
        operators,
        metrics,
        socket,
        state_directory,
        files: _,
        masks: _,
        needs: _,
    } = config;
    let Incidents { keep, max_bytes } = incidents;
    let says = vec![
        ("[node] name", node.clone()),
        ("socket", path(socket)),
        ("state_directory", path(state_directory)),
        ("[coordinator] urls", list(coordinators)),
        ("[coordinator] silent_for", span(*silent_for)),
        ("[coordinator] tls.ca", tls.as_ref().map_or_else(none, |files| path(&files.ca))),
        ("[coordinator] tls.cert", tls.as_ref().map_or_else(none, |files| path(&files.cert))),
        ("[coordinator] tls.key", tls.as_ref().map_or_else(none, |files| path(&files.key))),
        ("[control] operators", operators.clone()),
        ("[metrics] listen", metrics.map_or_else(none, |address| address.to_string())),
        ("[incidents] keep", keep.to_string()),
        ("[incidents] max_size", shown_size(*max_bytes)),
    ];
    let mut parts = vec![Part { of: String::new(), name: String::new(), says }];
    parts.extend(hooks.iter().map(hook));
    parts.extend(services.iter().flat_map(service));
    parts
}

fn hook(Hook { name, on, run, timeout }: &Hook) -> Part {
    let (exec, webhook) = match run {
        HookRun::Exec(command) => (list(command), none()),
        HookRun::Webhook(url) => (none(), url.clone()),
    };
    let on = on.iter().map(|event| event.label().to_owned()).collect::<Vec<_>>();
    let says = vec![("on", list(&on)), ("exec", exec), ("webhook", webhook), ("timeout", shown(*timeout))];
    Part { of: String::new(), name: format!("hook {name}"), says }
}

fn service(service: &Service) -> Vec<Part> {
    let Service { unit, place: _, backend, address, policy, probes, patterns, depends } = service;
    let Policy {
        mode,
        warmup,
        probe_during_warmup,
        prove_within,
        probes: probe_policies,
        patterns: pattern_policies,
        depends: depends_policies,
        recycle: RecyclePolicy { max_age, max_age_jitter, above },
        flap_half_life,
        stop: StopPolicy { how, kill_after, drain },
        restart,
        // Both come from [coordinator] and `backend`.
        coordinator_silent_for: _,
        coordinated: _,
    } = policy;
    let says = vec![
        ("backend", text(backend)),
        ("address", text(address)),
        ("mode", if *mode == Mode::Shadow { "shadow" } else { "supervise" }.to_owned()),
        ("warmup", span(*warmup)),
        ("probe_during_warmup", probe_during_warmup.to_string()),
        ("prove_within", span(*prove_within)),
        ("max_age", max_age.map_or_else(none, span)),
        ("max_age_jitter", span(*max_age_jitter)),
        ("recycle_above", above.map_or_else(none, shown_size)),
        ("stop", if *how == Stop::Kill { "kill" } else { "graceful" }.to_owned()),
        ("kill_after", span(*kill_after)),
        ("drain", span(*drain)),
        ("flap_half_life", span(*flap_half_life)),
    ];
    let part = |name: String, says| Part { of: unit.clone(), name, says };
    let mut parts = vec![part(String::new(), says)];
    parts.extend(probes.iter().zip(probe_policies).map(|(of, policy)| part(format!("probe {}", of.name), asked(of, policy))));
    parts.extend(patterns.iter().zip(pattern_policies).map(|(of, policy)| part(format!("pattern {}", of.name), matched(of, policy))));
    parts.extend(depends.iter().zip(depends_policies).map(|(of, policy)| part(format!("depends {}", of.name), asked(of, policy))));
    parts.push(part("restart".to_owned(), restarted(restart)));
    parts
}

fn restarted(policy: &RestartPolicy) -> Vec<(&'static str, String)> {
    let RestartPolicy { first_delay, delay, max_delay, forget_after, limit, window, trial_every } = policy;
    vec![
        ("first_delay", span(*first_delay)),
        ("delay", span(*delay)),
        ("max_delay", span(*max_delay)),
        ("forget_after", span(*forget_after)),
        ("limit", limit.to_string()),
        ("window", span(*window)),
        ("trial_every", span(*trial_every)),
    ]
}

fn matched(pattern: &Pattern, policy: &PatternPolicy) -> Vec<(&'static str, String)> {
    let Pattern { name: _, source, matcher } = pattern;
    let PatternPolicy { means, count, window } = policy;
    let of = |source: Option<String>| source.map_or_else(none, |source| format!("{source}{}", matcher.describe()));
    vec![
        ("journal", of(matches!(source, Source::Journal).then(String::new))),
        ("file", of(if let Source::File(path) = source { Some(format!("{}: ", path.display())) } else { None })),
        ("status", of(matches!(source, Source::Status).then(String::new))),
        ("means", means_word(*means).to_owned()),
        ("count", count.to_string()),
        ("within", span(*window)),
    ]
}

pub(super) const fn means_word(means: Means) -> &'static str {
    match means {
        Means::Fatal => "fatal",
        Means::Suspect => "suspect",
        Means::Recovered => "recovered",
    }
}

fn asked(probe: &Probe, policy: &ProbePolicy) -> Vec<(&'static str, String)> {
    let Probe { name: _, ask, timeout } = probe;
    let ProbePolicy { every, every_in_doubt, timeout: _, failures, of, successes } = policy;
    let mut says = vec![
        ("every", span(*every)),
        ("every_in_doubt", span(*every_in_doubt)),
        ("timeout", shown(*timeout)),
        ("failures", failures.to_string()),
        ("of", of.to_string()),
        ("successes", successes.to_string()),
    ];
    // Every key at every kind, in one order: what changes its kind is compared key by key, too.
    let mut kinds = [("http", none()), ("tcp", none()), ("exec", none()), ("postgres", none())];
    let mut details = [
        ("unix", none()),
        ("ca", none()),
        ("expect", none()),
        ("fatal", none()),
        ("busy", none()),
        ("max_latency", none()),
        ("user", none()),
        ("database", none()),
    ];
    match ask {
        Ask::Http(ask) => {
            let HttpAsk { url, unix, ca, expect, fatal, busy, max_latency } = &**ask;
            kinds[0].1.clone_from(url);
            details = [
                ("unix", unix.as_deref().map_or_else(none, path)),
                ("ca", ca.as_deref().map_or_else(none, path)),
                ("expect", pattern(expect)),
                ("fatal", fatal.as_ref().map_or_else(none, pattern)),
                ("busy", ranges(busy)),
                ("max_latency", max_latency.map_or_else(none, shown)),
                ("user", none()),
                ("database", none()),
            ];
        }
        Ask::Tcp(ask) => kinds[1].1.clone_from(&ask.address),
        Ask::Exec(ask) => {
            kinds[2].1 = list(&ask.command);
            let codes = |codes: &[i32]| list(&codes.iter().map(i32::to_string).collect::<Vec<_>>());
            details[3].1 = codes(&ask.fatal);
            details[4].1 = codes(&ask.busy);
        }
        Ask::Postgres(ask) => {
            kinds[3].1.clone_from(&ask.address);
            details[6].1.clone_from(&ask.user);
            details[7].1.clone_from(&ask.database);
        }
    }
    says.extend(kinds);
    says.extend(details);
    says
}

/// `status 200, body "pong"`
fn pattern(pattern: &probe::Pattern) -> String {
    let probe::Pattern { status, body, body_contains, body_regex, headers } = pattern;
    let mut says = Vec::new();
    if !status.is_empty() {
        says.push(format!("status {}", ranges(status)));
    }
    says.extend(body.as_ref().map(|text| format!("body {text:?}")));
    says.extend(body_contains.as_ref().map(|text| format!("body_contains {text:?}")));
    says.extend(body_regex.as_ref().map(|regex| format!("body_regex {:?}", regex.as_str())));
    says.extend(headers.iter().map(|(name, value)| format!("header {name} {value:?}")));
    says.join(", ")
}

fn ranges(ranges: &[RangeInclusive<u16>]) -> String {
    let one = |range: &RangeInclusive<u16>| {
        if range.start() == range.end() { range.start().to_string() } else { format!("{}-{}", range.start(), range.end()) }
    };
    list(&ranges.iter().map(one).collect::<Vec<_>>())
}

fn none() -> String {
    "none".to_owned()
}

fn text(text: &str) -> String {
    if text.is_empty() { none() } else { text.to_owned() }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn span(span: Span) -> String {
    shown(span.as_duration())
}

fn list(items: &[String]) -> String {
    if items.is_empty() { none() } else { items.join(" ") }
}
