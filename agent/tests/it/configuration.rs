//! Configurations, good and bad: what is read, and what a person is told.

use std::fs;
use std::path::Path;
use std::time::Duration;
use warden_agent::config::{self, Config};
use warden_agent::journal::matcher::Matcher;
use warden_agent::probe::Ask;
use warden_edge::config::Directories;
use warden_logic::moment::Span;
use warden_logic::service::input::Means;

/// Starts every case; line 1 to 4.
const SERVICE: &str = "[[service]]\nunit = \"a.service\"\n[service.probe.p]\nhttp = \"http://127.0.0.1:1/\"\n";

fn good(text: &str) -> Config {
    config::parse("a.toml", text).unwrap_or_else(|faults| panic!("{text}\n{faults}"))
}

/// What a person is told of `text`, one line a fault.
fn faults(text: &str) -> String {
    config::parse("a.toml", text).expect_err(text).to_string()
}

#[test]
fn the_stand_s_configuration_means_what_it_says() {
    let config = good(include_str!("../fixtures/50-bingo.toml"));
    assert_eq!((config.node.as_str(), &config.coordinators[..]), ("bingo-1", &["http://lb-1:7443".to_owned()][..]));
    let [service] = &config.services[..] else { panic!("{config:?}") };
    assert_eq!(
        (service.unit.as_str(), service.backend.as_str(), service.address.as_str()),
        ("bingo.service", "bingo", "198.18.0.11:28940")
    );
    assert_eq!(service.policy.warmup, Span::from_secs(30));
    assert_eq!(service.policy.prove_within, Span::from_secs(60));
    assert!(service.policy.coordinated && !service.policy.probe_during_warmup);
    assert_eq!(service.policy.probes[0].every_in_doubt, Span::from_millis(250));
    assert_eq!((service.policy.probes[0].failures, service.policy.probes[0].successes), (3, 2));
    assert_eq!(service.policy.restart.trial_every, Span::from_secs(300));
    assert_eq!(service.probe.timeout, Duration::from_secs(2));
    let Ask::Http(ask) = &service.probe.ask else { panic!("{:?}", service.probe) };
    assert_eq!(ask.expect.body.as_deref(), Some("pong"));
    assert_eq!(ask.busy, [429..=429]);
    assert_eq!(service.patterns[0].means, Means::Fatal);
    assert!(service.patterns[0].matcher.matches(b"We all gonna die"));
}

#[test]
fn what_is_left_out_is_the_documented_default() {
    let written = good(include_str!("../fixtures/50-bingo.toml"));
    let service = &good(SERVICE).services[0];
    assert_eq!(service.policy.restart, written.services[0].policy.restart);
    assert_eq!(service.policy.probes, written.services[0].policy.probes);
    assert_eq!(service.policy.coordinator_silent_for, Span::from_secs(30));
    assert_eq!((service.policy.warmup, service.policy.prove_within), (Span::ZERO, Span::from_secs(60)));
    let Ask::Http(ask) = &service.probe.ask else { panic!("{:?}", service.probe) };
    assert_eq!((&ask.expect.status[..], &ask.busy[..]), (&[200..=200][..], &[429..=429][..]));
    assert!(!service.policy.coordinated && service.backend.is_empty() && service.patterns.is_empty());
    assert!(good("").services.is_empty(), "an agent may have nothing to do");
}

#[test]
fn every_fault_names_place_and_remedy() {
    let cases: &[(&str, &str)] = &[
        ("warm_up = \"30s\"", "a.toml:5:1: unknown key `warm_up` in [service.probe.p]"),
        ("every = \"90s\"", "a.toml:5:9: `every` must be shorter than `prove_within`: 90s ≥ 60s"),
        ("every = 1", "a.toml:5:9: `every` is 1 without a unit; write \"1s\" if seconds are meant"),
        ("every = \"30\"", "a.toml:5:9: `every` must be a length of time in quotes, as in \"30s\", \"250ms\" or \"1m30s\", and is \"30\""),
        ("every = \"0s\"", "a.toml:5:9: `every` must be longer than nothing"),
        ("every_in_doubt = \"2s\"", "a.toml:5:18: `every_in_doubt` must not be longer than `every`: 2s > 1s"),
        ("timeout = \"60s\"", "a.toml:5:11: `timeout` must be shorter than `prove_within`: 60s ≥ 60s"),
        (
            "timeout = true",
            "a.toml:5:11: `timeout` must be a length of time in quotes, as in \"30s\", \"250ms\" or \"1m30s\", and is true or false",
        ),
        ("successes = 240", "`prove_within` leaves no time for 240 good probes every 250ms: 60s ≥ 60s"),
        ("failures = 0", "a.toml:5:12: `failures` must be from 1 to 1000, and is 0"),
        ("failures = \"3\"", "a.toml:5:12: `failures` must be a whole number, and is text"),
        ("expect = { status = 2000 }", "`status` must be from 100 to 599, and is 2000"),
        ("expect = { stats = 200 }", "unknown key `stats` in [service.probe.p.expect]; did you mean `status`?"),
        ("fatal = {}", "`fatal` must name at least one of `status`, `body` and `body_contains`"),
        ("busy = { status = [200] }", "200 is both expected and busy"),
        ("of = 10", "a.toml:5:1: unknown key `of` in [service.probe.p]"),
        ("[service.probe.q]\nhttp = \"http://b/\"", "a service has one probe for now; leave out \"q\" or the other"),
        ("[service.pattern.x]\njournal = { regex = \"(\" }\nmeans = \"fatal\"", "a.toml:6:21: `regex` does not compile: unclosed group"),
        (
            "[service.pattern.x]\njournal = { line = \"a\", contains = \"b\" }\nmeans = \"fatal\"",
            "`line` and `contains` exclude each other; keep one",
        ),
        ("[service.pattern.x]\njournal = {}\nmeans = \"fatal\"", "`journal` needs one of `line`, `contains` and `regex`"),
        ("[service.pattern.x]\njournal = { line = \" \" }\nmeans = \"fatal\"", "a pattern must have between 1 and 1024 characters"),
        (
            "[service.pattern.x]\njournal = { line = \"a\" }\nmeans = \"deadly\"",
            "`means` must be \"fatal\", \"suspect\" or \"recovered\", and is \"deadly\"",
        ),
        ("[service.pattern.x]\njournal = { line = \"a\" }", "`means` is missing; say what such a line means"),
        ("[service.pattern.x]\nfile = \"/var/log/x\"\nmeans = \"suspect\"", "unknown key `file` in [service.pattern.x]"),
        ("[service.restart]\ndelay = \"2m\"\nmax_delay = \"60s\"", "a.toml:7:13: `max_delay` must not be shorter than `delay`: 60s < 120s"),
        ("[service.restart]\nlimit = 0", "a.toml:6:9: `limit` must be from 1 to 1000, and is 0"),
        ("[service.depends.database]\npostgres = \"db-1:5432\"", "unknown key `depends` in [[service]]"),
        (
            "[[service]]\nunit = \"a.service\"\n[service.probe.p]\nhttp = \"http://b/\"",
            "a.toml:6:8: a.service is configured a second time; the first is at a.toml:2:8; keep one of them",
        ),
        (
            "[[service]]\nunit = \"b.service\"",
            "a.toml:5:1: in [[service]]: `probe` is missing; say how the service is asked whether it is well",
        ),
        (
            "[[service]]\nbackend = \"b\"\n[service.probe.p]\nhttp = \"http://b/\"",
            "`unit` is missing; set it to the unit's whole name, as in \"bingo.service\"",
        ),
        (
            "[coordinator]\nurls = [\"https://lb-1:7443\"]",
            "a.toml:6:9: \"https://lb-1:7443\": TLS to the coordinator is not supported yet; write it as in \"http://lb-1:7443\"",
        ),
        ("[coordinator]\nurls = [\"lb-1\"]", "a.toml:6:9: \"lb-1\" is not a coordinator's URL; write it as in \"http://lb-1:7443\""),
        ("[coordinator]\nsilent_fr = \"3s\"", "a.toml:6:1: unknown key `silent_fr` in [coordinator]; did you mean `silent_for`?"),
        ("[node]\nname = \"a b\"", "a.toml:6:8: `name` must be made of letters"),
        ("[cordinator]", "a.toml:5:2: unknown key `cordinator`; did you mean `coordinator`?"),
        ("[service", "a.toml:5:9: not TOML: "),
    ];
    for (text, wanted) in cases {
        let told = faults(&format!("{SERVICE}{text}\n"));
        assert!(told.lines().any(|line| line.contains(wanted)), "for {text}\nwanted {wanted}\ntold   {told}");
        assert!(told.lines().all(|line| line.starts_with("a.toml:")), "{told}");
    }
}

#[test]
fn a_key_of_the_service_itself_is_checked_too() {
    let cases = [
        ("unit = \"bingo\"", "a.toml:2:8: `unit` is \"bingo\" without its suffix; write \"bingo.service\""),
        ("unit = \"bingo.timer\"", "only services can be supervised"),
        ("unit = \"bingo@.service\"", "a template; name one instance of it, as in \"bingo@1.service\""),
        ("unit = \"a b.service\"", "\"a b.service\" is no name that systemd accepts"),
        ("unit = \"a.service\"\nwarm_up = \"30s\"", "a.toml:3:1: unknown key `warm_up` in [[service]]; did you mean `warmup`?"),
        ("unit = \"a.service\"\nmax_age = \"18m\"", "a.toml:3:1: unknown key `max_age` in [[service]]"),
        ("unit = \"a.service\"\nbackend = \"b c\"", "`backend` must be a backend's name as in HAProxy's configuration, and is \"b c\""),
        ("unit = \"a.service\"\naddress = \"10.0.0.1\"", "as in \"10.0.0.11:28940\", and is \"10.0.0.1\""),
        ("unit = \"a.service\"\nprobe_during_warmup = 1", "`probe_during_warmup` must be true or false, and is a whole number"),
    ];
    for (text, wanted) in cases {
        let told = faults(&format!("[[service]]\n{text}\n[service.probe.p]\nhttp = \"http://127.0.0.1:1/\"\n"));
        assert_eq!(told.lines().count(), 1, "one mistake, one line: {told}");
        assert!(told.contains(wanted), "wanted {wanted}\ntold   {told}");
    }
    let told = faults("[[service]]\nunit = \"a.service\"\n[service.probe.p]\nhttp = \"ftp://a/\"\n");
    assert_eq!(told, "a.toml:4:8: \"ftp://a/\": `ftp` cannot be asked; write it as in \"http://127.0.0.1:8080/ping\"");
}

#[test]
fn all_faults_come_at_once_in_order() {
    let told = faults("[[service]]\nunit = \"a\"\nwarm_up = \"30s\"\n[service.probe.p]\nhttp = \"http://a/\"\nevery = 30\nfailures = 0\n");
    let lines: Vec<&str> = told.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["a.toml:2:8:", "a.toml:3:1:", "a.toml:6:9:", "a.toml:7:12:"], "{told}");
}

#[test]
fn drop_ins_add_up_and_a_fault_names_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("10-defaults.toml", "[coordinator]\nsilent_for = \"10s\"\n");
    write("50-a.toml", SERVICE);
    write("60-b.toml", &SERVICE.replace("a.service", "b.service"));
    write("notes.txt", "not ours");
    let directories = Directories(vec![directory.path().to_owned()]);
    let config = config::load(&directories).unwrap();
    assert_eq!(config.services.iter().map(|service| service.unit.as_str()).collect::<Vec<_>>(), ["a.service", "b.service"]);
    assert_eq!(config.services[0].policy.coordinator_silent_for, Span::from_secs(10));
    assert_eq!(config.files.len(), 3);

    write("60-b.toml", SERVICE);
    let told = config::load(&directories).unwrap_err().to_string();
    let path = |name: &str| directory.path().join(name).display().to_string();
    assert_eq!(
        told,
        format!(
            "{}:2:8: a.service is configured a second time; the first is at {}:2:8; keep one of them",
            path("60-b.toml"),
            path("50-a.toml")
        )
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("50-a.toml");
    fs::write(&file, [0xff, 0xfe]).unwrap();
    let told = config::load(&Directories(vec![directory.path().to_owned()])).unwrap_err().to_string();
    assert!(told.starts_with(&format!("{}: cannot be read: ", file.display())) && told.ends_with("; save it as UTF-8"), "{told}");
    // Root reads everything, so lack of permission is shown by a directory in a file's place.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let told = config::load(&Directories(vec![directory.path().to_owned()])).unwrap_err().to_string();
    assert!(told.contains("cannot be read"), "{told}");
}

#[test]
fn patterns_are_what_they_are_called() {
    let pattern = |journal: &str| {
        let text = format!("{SERVICE}[service.pattern.x]\njournal = {{ {journal} }}\nmeans = \"suspect\"\n");
        good(&text).services.remove(0).patterns.remove(0)
    };
    assert_eq!(pattern("line = \"  We all gonna die \"").matcher, Matcher::Line("We all gonna die".to_owned()));
    assert_eq!(pattern("contains = \"die\"").matcher, Matcher::Contains("die".to_owned()));
    assert!(matches!(pattern("regex = \"^x$\"").matcher, Matcher::Regex(_)));
    assert_eq!(pattern("line = \"x\"").name, "x");
}

/// The shipped sample with every key commented in must be a configuration: it is the page that people copy from.
#[test]
fn the_shipped_sample_parses_as_shipped_and_with_every_key_in_force() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../units/etc/warden/agent.d/10-defaults.toml");
    let sample = fs::read_to_string(&path).unwrap();
    assert!(good(&sample).services.is_empty(), "as shipped it changes nothing");
    let in_force: Vec<&str> =
        sample.lines().filter(|line| !line.starts_with("##")).map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    let config = good(&in_force.join("\n"));
    assert_eq!(config.services.len(), 1);
    let known = include_str!("../fixtures/50-bingo.toml");
    for key in known.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim()) {
        assert!(in_force.iter().any(|line| line.trim_start().starts_with(key)), "the sample lacks `{key}`");
    }
}
