//! `[service.probe.NAME]` and `[service.depends.NAME]`: how a service, or what it depends on, is asked.

use super::answer;
use super::need::{Need, Needs};
use super::values::{absolute, command, count, host_port, later, positive, shown};
use crate::probe::http::check_url;
use crate::probe::{Ask, ExecAsk, HttpAsk, PostgresAsk, Probe, TcpAsk};
use std::path::PathBuf;
use std::time::Duration;
use warden_edge::config::{Found, Section};
use warden_logic::moment::Span;
use warden_logic::service::policy::ProbePolicy;

/// The machine remembers so many of the last verdicts.
const MOST_REMEMBERED: u32 = 64;
/// No proof asks for more.
const MOST_SUCCESSES: u32 = 1000;

/// Who is asked.
#[derive(Clone, Copy)]
pub(super) enum Role<'a> {
    /// The service itself, which has so long to prove that it is fit.
    Service(&'a Found<Duration>),
    /// What it depends on.
    Dependency,
}

/// The defaults of a role.
struct Defaults {
    every: Duration,
    every_in_doubt: Duration,
    timeout: Duration,
    failures: u32,
    successes: u32,
}

impl Role<'_> {
    const fn defaults(self) -> Defaults {
        let every_in_doubt = Duration::from_millis(250);
        match self {
            Self::Service(_) => {
                Defaults { every: Duration::from_secs(1), every_in_doubt, timeout: Duration::from_secs(2), failures: 3, successes: 2 }
            }
            Self::Dependency => {
                Defaults { every: Duration::from_secs(2), every_in_doubt, timeout: Duration::from_secs(1), failures: 2, successes: 2 }
            }
        }
    }

    const fn is_service(self) -> bool {
        matches!(self, Self::Service(_))
    }
}

/// The kinds of questions: the key, and the keys that belong to it alone.
const KINDS: [(&str, &[&str]); 4] = [
    ("http", &["unix", "ca", "expect", "fatal", "busy", "max_latency"]),
    ("tcp", &[]),
    ("exec", &["fatal", "busy"]),
    ("postgres", &["user", "database"]),
];

/// Takes one probe apart. `None` without a usable question; faults are noted in any case.
pub(super) fn read(name: Found<String>, section: Section<'_>, role: Role<'_>, needs: &mut Needs) -> Option<(Probe, ProbePolicy)> {
    let (policy, timeout) = beat(&section, role);
    let kind = kind(&section);
    let ask = match kind {
        Some("http") => http(&section, role, timeout, needs).map(|ask| Ask::Http(Box::new(ask))),
        Some("tcp") => host_port(&section, "tcp", "127.0.0.1:6379").map(|found| Ask::Tcp(TcpAsk { address: found.value })),
        Some("postgres") => postgres(&section).map(Ask::Postgres),
        Some("exec") => exec(&section, role, needs).map(Ask::Exec),
        _ => None,
    };
    know_the_rest(&section, role, kind);
    section.finish();
    Some((Probe { name: name.value, ask: ask?, timeout }, policy))
}

/// The one kind that is given.
fn kind(section: &Section<'_>) -> Option<&'static str> {
    let given: Vec<&'static str> = KINDS.iter().map(|(kind, _)| *kind).filter(|kind| section.has(kind)).collect();
    match given[..] {
        [kind] => Some(kind),
        [one, other, ..] => {
            section.fault(section.place_of(other), format!("`{one}` and `{other}` exclude each other; make two tables of them"));
            None
        }
        [] => {
            let text = format!(
                "{} does not say what is asked; give it one of `http`, `tcp`, `exec` and `postgres`, as in http = \"http://127.0.0.1:8080/ping\"",
                section.name()
            );
            section.fault(section.place(), text);
            None
        }
    }
}

/// Every key of every kind is known in every table, so that one at the wrong kind is told as that and not as a stranger.
fn know_the_rest(section: &Section<'_>, role: Role<'_>, kind: Option<&str>) {
    let own = KINDS.iter().find(|(name, _)| Some(*name) == kind).map_or(&[][..], |(_, own)| *own);
    let only_service = ["fatal", "busy", "max_latency"];
    for key in KINDS.iter().flat_map(|(name, keys)| std::iter::once(name).chain(*keys)) {
        if own.contains(key) || Some(*key) == kind || (!role.is_service() && only_service.contains(key)) {
            continue;
        }
        section.know(key);
        if let (Some(kind), true) = (kind, section.has(key) && KINDS.iter().all(|(name, _)| name != key)) {
            let of = KINDS.iter().filter(|(_, keys)| keys.contains(key)).map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>();
            section.fault(
                section.place_of(key),
                format!("`{key}` belongs to {} and means nothing to `{kind}`; leave it out", of.join(" and ")),
            );
        }
    }
}

/// A login that is begun and never made.
fn postgres(section: &Section<'_>) -> Option<PostgresAsk> {
    let address = host_port(section, "postgres", "db-1:5432");
    let name = |key: &'static str, default: &str| match section.text(key) {
        Some(found) if found.value.is_empty() || found.value.contains('\0') || found.value.len() > 63 => {
            section.fault(
                found.place,
                format!("`{key}` must be a name of PostgreSQL's, 1 to 63 bytes, as in \"bingo\", and is {:?}", found.value),
            );
            default.to_owned()
        }
        Some(found) => found.value,
        None => default.to_owned(),
    };
    let (user, database) = (name("user", "postgres"), name("database", ""));
    Some(PostgresAsk { address: address?.value, user, database })
}

fn http(section: &Section<'_>, role: Role<'_>, timeout: Duration, needs: &mut Needs) -> Option<HttpAsk> {
    let url = section.text("http");
    if let Some(found) = &url
        && let Err(why) = check_url(&found.value)
    {
        section.fault(found.place.clone(), why);
    }
    let unix = absolute(section, "unix", "/run/bingo/admin.sock");
    let ca = absolute(section, "ca", "/etc/ssl/certs/ca-certificates.crt");
    let https = url.as_ref().is_some_and(|found| found.value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")));
    match &ca {
        Some(ca) if !https => {
            section.fault(
                ca.place.clone(),
                "`ca` says whose certificates are trusted, and `http` is no https:// URL; leave out one or mend the other",
            );
        }
        Some(ca) => needs.add(Need::Certificates, &ca.place, PathBuf::from(&ca.value)),
        None => {}
    }
    let expect = answer::expect(section);
    let (mut fatal, mut busy, mut max_latency) = (None, vec![429..=429], None);
    if role.is_service() {
        fatal = answer::fatal(section);
        busy = answer::busy(section);
        max_latency = section.duration("max_latency");
    }
    if let Some(status) = answer::common(&expect.status, &busy) {
        section.fault(
            section.place_of("busy"),
            format!("{status} is both expected and busy; a busy answer proves nothing, so leave it out of one of them"),
        );
    }
    if let Some(found) = &max_latency
        && (found.value.is_zero() || found.value >= timeout)
    {
        let text =
            format!("`max_latency` must be longer than nothing and shorter than `timeout`: {} and {}", shown(found.value), shown(timeout));
        section.fault(found.place.clone(), text);
    }
    Some(HttpAsk {
        url: url?.value,
        unix: unix.map(|found| PathBuf::from(found.value)),
        ca: ca.map(|found| PathBuf::from(found.value)),
        expect,
        fatal,
        busy,
        max_latency: max_latency.map(|found| found.value),
    })
}

fn exec(section: &Section<'_>, role: Role<'_>, needs: &mut Needs) -> Option<ExecAsk> {
    let command = command(section, "exec");
    let (mut fatal, mut busy) = (Vec::new(), Vec::new());
    if role.is_service() {
        (fatal, busy) = (answer::exits(section, "fatal"), answer::exits(section, "busy"));
    }
    if let Some(code) = fatal.iter().find(|code| busy.contains(code)) {
        section.fault(section.place_of("busy"), format!("{code} is both fatal and busy; leave it out of one of them"));
    }
    let command = command?;
    needs.add(Need::ProbeProgram, &command.place, PathBuf::from(command.value.first()?));
    Some(ExecAsk { command: command.value, fatal, busy })
}

/// The beat and the thresholds, and what must hold between them.
fn beat(section: &Section<'_>, role: Role<'_>) -> (ProbePolicy, Duration) {
    let defaults = role.defaults();
    let every = positive(section, "every", defaults.every);
    let every_in_doubt = positive(section, "every_in_doubt", every.value.min(defaults.every_in_doubt));
    let timeout = positive(section, "timeout", defaults.timeout);
    let failures = count(section, "failures", MOST_REMEMBERED, defaults.failures);
    let of = count(section, "of", MOST_REMEMBERED, failures.value);
    let successes = count(section, "successes", MOST_SUCCESSES, defaults.successes).value;
    if of.value < failures.value {
        let text = format!("`of` must not be less than `failures`: {} bad ones among the last {}", failures.value, of.value);
        section.fault(later(&[&of.place, &failures.place]), text);
    }
    let proof = every_in_doubt.value.saturating_mul(successes);
    let prove_within = if let Role::Service(found) = role { found.value } else { Duration::MAX };
    // One mistake, one sentence: the first that does not hold.
    let relations = [
        (every.value >= prove_within, &every.place, ["every", "must be shorter than `prove_within`"], every.value, "≥", prove_within),
        (
            every_in_doubt.value > every.value,
            &every_in_doubt.place,
            ["every_in_doubt", "must not be longer than `every`"],
            every_in_doubt.value,
            ">",
            every.value,
        ),
        (
            timeout.value >= prove_within,
            &timeout.place,
            ["timeout", "must be shorter than `prove_within`"],
            timeout.value,
            "≥",
            prove_within,
        ),
    ];
    if let Some((_, place, [key, must], one, than, other)) = relations.into_iter().find(|relation| relation.0) {
        section.fault(place.clone(), format!("`{key}` {must}: {} {than} {}", shown(one), shown(other)));
    } else if proof >= prove_within {
        let text = format!(
            "`prove_within` leaves no time for {successes} good probes every {}: {} ≥ {}",
            shown(every_in_doubt.value),
            shown(proof),
            shown(prove_within)
        );
        section.fault(later(&[&every_in_doubt.place, &section.place()]), text);
    }
    let policy = ProbePolicy {
        every: Span::from(every.value),
        every_in_doubt: Span::from(every_in_doubt.value),
        timeout: Span::from(timeout.value),
        failures: failures.value,
        of: of.value,
        successes,
    };
    (policy, timeout.value)
}
