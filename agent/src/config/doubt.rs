//! What is allowed and probably not meant: pure, from the configuration and, where systemd was asked, from the units' settings.

use super::difference::means_word;
use super::node::is_https;
use super::values::{shown, shown_size};
use super::{Config, Pattern, Service};
use crate::journal::matcher::Matcher;
use crate::systemd::Settings;
use std::time::Duration;
use warden_logic::moment::Span;
use warden_logic::service::input::{Means, RestartSetting};

/// What the configuration alone gives reason to doubt, one sentence each.
#[must_use]
pub(super) fn of_config(config: &Config) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(address) = config.metrics.filter(|address| !address.ip().is_loopback()) {
        doubts.push(format!("[metrics] listens on {address}: whoever reaches it reads the state of every service here"));
    }
    if config.tls.is_some() && !config.coordinators.iter().any(|url| is_https(url)) {
        doubts.push("[coordinator] `tls` is of no use without an https:// URL in `urls`".to_owned());
    }
    for service in &config.services {
        let unit = &service.unit;
        if !service.backend.is_empty() && config.coordinators.is_empty() {
            doubts.push(format!("{unit}: `backend` is set, and without `urls` in [coordinator] nobody moves its traffic"));
        }
        for (pattern, policy) in service.patterns.iter().zip(&service.policy.patterns) {
            doubts.extend(forgeable(pattern, policy.means).map(|text| format!("{unit}: pattern {}: {text}", pattern.name)));
        }
        doubts.extend(recycling(service).and_then(|recycling| recycling.doubt()).map(|text| format!("{unit}: {text}")));
    }
    doubts
}

/// What a unit's settings give reason to doubt.
#[must_use]
pub(super) fn of_unit(service: &Service, settings: &Settings) -> Vec<String> {
    let mut doubts = Vec::new();
    let unit = &service.unit;
    let mut doubt = |text: String| doubts.push(format!("{unit}: {text}"));
    if !settings.id.is_empty() && settings.id != *unit {
        doubt(format!("this is another name of {id}, and its log is kept under that; write unit = \"{id}\"", id = settings.id));
    }
    let restart = settings.restart.as_str();
    if settings.restart != RestartSetting::Always {
        doubt(format!(
            "Restart={restart}: when it ends with success nobody starts it again, and that counts as wanted; set Restart=always if it must not end"
        ));
    }
    if let Some((burst, interval)) = settings.start_limit
        && settings.restart_after.saturating_mul(burst) < interval
    {
        doubt(format!(
            "StartLimitBurst={burst} within {}: who crashes that often is not started again by systemd until the agent lifts the limit; set \
             StartLimitIntervalSec=0, because the agent has a limit of its own",
            shown(interval)
        ));
    }
    if let Some(watchdog) = settings.watchdog
        && matches!(settings.restart, RestartSetting::No | RestartSetting::OnSuccess)
    {
        doubt(format!("WatchdogSec={} with Restart={restart}: systemd ends it when it hangs and does not start it again", shown(watchdog)));
    }
    if settings.kind == "oneshot" {
        doubt(
            "Type=oneshot: it has no process of its own to supervise; Type=exec or Type=notify is meant for services that stay".to_owned(),
        );
    }
    if let Some(runtime_max) = settings.runtime_max {
        let remedy = match service.policy.recycle.max_age {
            Some(age) if age.as_duration() < runtime_max => None,
            Some(age) => Some(format!("before `max_age`, {}, is reached; set `max_age` below it", shown(age.as_duration()))),
            None => Some("without taking it out of rotation; set `max_age` below it".to_owned()),
        };
        if let Some(remedy) = remedy {
            doubt(format!("RuntimeMaxSec={}: systemd ends it at that age {remedy}", shown(runtime_max)));
        }
    }
    if let (Some(most), Some(above)) = (settings.memory_max, service.policy.recycle.above)
        && above >= most
    {
        doubt(format!(
            "MemoryMax={}: the kernel ends it before `recycle_above`, {}, is reached; set `recycle_above` below it",
            shown_size(most),
            shown_size(above)
        ));
    }
    doubts
}

fn forgeable(pattern: &Pattern, means: Means) -> Option<String> {
    let what = match &pattern.matcher {
        Matcher::Line(_) => return None,
        Matcher::Contains(_) => "`contains`",
        Matcher::Regex(regex) if is_whole(regex.as_str()) => return None,
        Matcher::Regex(_) => "a `regex` that does not fix the whole line",
    };
    let cost = match means {
        Means::Fatal => "take the service out of rotation",
        Means::Suspect => "make it count as sick",
        Means::Recovered => "hide that it is sick",
    };
    Some(format!(
        "{what} for \"{}\": whoever gets text into the log can {cost}; use `line`, or `regex` from ^ to $ without .*",
        means_word(means)
    ))
}

/// Whether an expression says what the whole line is: from `^` to `$`, one alternative at the top, nothing that matches anything.
/// A guess for people: it is said too often rather than too rarely.
fn is_whole(text: &str) -> bool {
    // (?i) before the rest changes nothing here; (?m) makes ^ and $ match inside, (?s) makes . match more.
    let text = match text.strip_prefix("(?").and_then(|rest| rest.split_once(')')) {
        Some((flags, rest)) if flags.bytes().all(|flag| b"iux".contains(&flag)) => rest,
        Some((flags, _)) if flags.bytes().all(|flag| flag.is_ascii_alphabetic() || flag == b'-') => return false,
        _ => text,
    };
    let begins = text.starts_with('^') || text.starts_with(r"\A");
    let ends = (text.ends_with('$') && !text.ends_with(r"\$")) || text.ends_with(r"\z");
    let (mut depth, mut in_class, mut escaped) = (0_i32, false, false);
    let mut top_level_choice = false;
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => in_class = false,
            _ if in_class => {}
            '[' => in_class = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => top_level_choice = true,
            _ => {}
        }
    }
    let anything = [".*", ".+", ".{"].iter().any(|any| text.replace(r"\\", "").replace(r"\.", "").contains(any));
    begins && ends && !top_level_choice && !anything
}

/// What a planned restart at an age comes to.
pub(super) struct Recycling {
    /// The ages between which it is restarted.
    from: Duration,
    to: Duration,
    /// How long it is out for each time, at most as far as this node knows.
    out: Duration,
    parts: String,
}

/// `None`: it is not restarted for its age.
pub(super) fn recycling(service: &Service) -> Option<Recycling> {
    let policy = &service.policy;
    let to = policy.recycle.max_age?.as_duration();
    let (drain, stop, warmup) = (policy.stop.drain.as_duration(), policy.stop.kill_after.as_duration(), policy.warmup.as_duration());
    // Every probe has to be content; they are asked side by side.
    let proof =
        policy.probes.iter().map(|probe| probe.every_in_doubt.as_duration().saturating_mul(probe.successes)).max().unwrap_or_default();
    let parts = format!("up to {} drain, up to {} stop, {} warm-up, {} proof", said(drain), said(stop), said(warmup), said(proof));
    let out = [drain, stop, warmup, proof].into_iter().fold(Duration::ZERO, Duration::saturating_add);
    Some(Recycling { from: to.saturating_sub(policy.recycle.max_age_jitter.as_duration()), to, out, parts })
}

impl Recycling {
    /// How many nodes can take turns, one at a time: each is out once in its shortest age.
    fn turns(&self) -> u128 {
        self.from.as_micros() / self.out.as_micros().max(1)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let (from, to, out, turns) = (said(self.from), said(self.to), said(self.out), self.turns());
        format!(
            "restarted at an age of {from} to {to}, out for at most {out} ({}); one at a time that is enough for {turns} nodes",
            self.parts
        )
    }

    fn doubt(&self) -> Option<String> {
        (self.turns() < 2).then(|| {
            format!(
                "`max_age` leaves {} between two planned restarts that take up to {} each ({}): not even two nodes can take turns; raise `max_age`",
                said(self.from),
                said(self.out),
                self.parts
            )
        })
    }
}

/// As a person says it, where it is no value of a key.
fn said(duration: Duration) -> Span {
    Span::from(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const SERVICE: &str = "[[service]]\nunit = \"a.service\"\n[service.probe.p]\nhttp = \"http://127.0.0.1:1/\"\n";

    #[test]
    fn an_expression_is_whole_from_begin_to_end() {
        for text in [r"^a$", r"(?i)^\W*we all gonna die\W*$", r"\Aa\z", r"^(a|b)$", r"^[|]$", r"^a\|b$", r"^v1\.+$"] {
            assert!(is_whole(text), "{text}");
        }
        for text in [r"a", r"^a", r"a$", r"^a\$", r"^a$|b", r"^.*die.*$", r"(?m)^a$", r"(?im)^a$", r"(?s)^a$", r"^a.{0,9}$", r"^.+$"] {
            assert!(!is_whole(text), "{text}");
        }
    }

    #[test]
    fn what_the_configuration_alone_gives_reason_to_doubt() {
        let doubts = |text: &str| of_config(&parse("a.toml", text).unwrap());
        assert_eq!(doubts(SERVICE), Vec::<String>::new());
        let patterns = "[service.pattern.x]\njournal.contains = \"die\"\nmeans = \"fatal\"\n[service.pattern.y]\njournal.line = \"die\"\nmeans = \"fatal\"\n";
        assert_eq!(
            doubts(&format!("{SERVICE}{patterns}")),
            [
                "a.service: pattern x: `contains` for \"fatal\": whoever gets text into the log can take the service out of rotation; use `line`, \
              or `regex` from ^ to $ without .*"
            ]
        );
        let alone = SERVICE.replace("unit", "backend = \"b\"\nunit");
        assert_eq!(doubts(&alone), ["a.service: `backend` is set, and without `urls` in [coordinator] nobody moves its traffic"]);
        let here = format!("{alone}[coordinator]\nurls = [\"http://localhost:7443\"]\n");
        assert_eq!(doubts(&here), Vec::<String>::new());
        let tls = "tls = { ca = \"/a\", cert = \"/b\", key = \"/c\" }\n";
        assert_eq!(doubts(&format!("{here}{tls}")), ["[coordinator] `tls` is of no use without an https:// URL in `urls`"]);
        assert_eq!(doubts(&format!("{alone}[coordinator]\nurls = [\"HTTPS://lb-1:7443\"]\n{tls}")), Vec::<String>::new());
        assert_eq!(
            doubts("[metrics]\nlisten = \"0.0.0.0:9843\"\n"),
            ["[metrics] listens on 0.0.0.0:9843: whoever reaches it reads the state of every service here"]
        );
        let often = SERVICE.replace("unit", "max_age = \"80s\"\nunit");
        assert_eq!(
            doubts(&often),
            [
                "a.service: `max_age` leaves 1 min 12 s between two planned restarts that take up to 40.5 s each (up to 30 s drain, up to 10 s stop, 0 ms \
              warm-up, 500 ms proof): not even two nodes can take turns; raise `max_age`"
            ]
        );
    }

    #[test]
    fn what_a_unit_s_settings_give_reason_to_doubt() {
        let calm = Settings {
            unfit: None,
            id: "a.service".to_owned(),
            kind: "exec".to_owned(),
            restart: RestartSetting::Always,
            restart_after: Duration::from_millis(100),
            start_limit: None,
            watchdog: None,
            runtime_max: None,
            memory_max: None,
        };
        let config = parse("a.toml", &SERVICE.replace("unit", "max_age = \"20m\"\nrecycle_above = \"120M\"\nunit")).unwrap();
        let told = |settings: &Settings| of_unit(&config.services[0], settings).join("\n");
        assert_eq!(told(&calm), "");
        let ten = Duration::from_secs(10);
        assert_eq!(told(&Settings { start_limit: Some((5, ten)), restart_after: Duration::from_secs(2), ..calm.clone() }), "");
        let cases = [
            (Settings { restart: RestartSetting::OnFailure, ..calm.clone() }, "a.service: Restart=on-failure: when it ends with success"),
            (Settings { start_limit: Some((5, ten)), ..calm.clone() }, "a.service: StartLimitBurst=5 within 10s: who crashes that often"),
            (
                Settings { watchdog: Some(ten), restart: RestartSetting::No, ..calm.clone() },
                "a.service: WatchdogSec=10s with Restart=no: systemd ends it when it hangs and does not start it again",
            ),
            (Settings { id: "b.service".to_owned(), ..calm.clone() }, "a.service: this is another name of b.service"),
            (Settings { kind: "oneshot".to_owned(), ..calm.clone() }, "a.service: Type=oneshot: it has no process"),
            (
                Settings { runtime_max: Some(Duration::from_secs(600)), ..calm.clone() },
                "a.service: RuntimeMaxSec=10m: systemd ends it at that age before `max_age`, 20m, is reached",
            ),
            (
                Settings { memory_max: Some(64 << 20), ..calm.clone() },
                "a.service: MemoryMax=64M: the kernel ends it before `recycle_above`, 120M",
            ),
        ];
        for (settings, wanted) in cases {
            assert!(told(&settings).lines().any(|line| line.starts_with(wanted)), "wanted {wanted}\ntold   {}", told(&settings));
        }
        assert_eq!(told(&Settings { runtime_max: Some(Duration::from_secs(1800)), memory_max: Some(1 << 30), ..calm }), "");
    }
}
