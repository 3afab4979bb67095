//! Configurations, good and bad: what is read, and what a person is told.

use std::fs;
use std::path::Path;
use std::time::Duration;
use warden_agent::config::{self, Config, Incidents, Source};
use warden_agent::hook::{HookEvent, HookRun};
use warden_agent::journal::matcher::{Matcher, Message};
use warden_agent::probe::{Ask, Probe, TcpAsk};
use warden_edge::config::Directories;
use warden_logic::moment::Span;
use warden_logic::service::input::Means;
use warden_logic::service::policy::{Mode, Stop};

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
    assert_eq!((config.node.as_str(), &config.coordinators[..]), ("bingo-1", &["https://lb-1:7443".to_owned()][..]));
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
    assert_eq!(service.probes[0].timeout, Duration::from_secs(2));
    let Ask::Http(ask) = &service.probes[0].ask else { panic!("{service:?}") };
    assert_eq!(ask.expect.body.as_deref(), Some("pong"));
    assert_eq!(ask.busy, [429..=429]);
    assert_eq!(service.policy.patterns[0].means, Means::Fatal);
    assert!(service.patterns[0].matcher.matches(&Message::of(b"We all gonna die")));
}

#[test]
fn what_is_left_out_is_the_documented_default() {
    let written = good(include_str!("../fixtures/50-bingo.toml"));
    let service = &good(SERVICE).services[0];
    assert_eq!(service.policy.restart, written.services[0].policy.restart);
    assert_eq!(service.policy.probes, written.services[0].policy.probes);
    assert_eq!(service.policy.coordinator_silent_for, Span::from_secs(30));
    assert_eq!((service.policy.warmup, service.policy.prove_within), (Span::ZERO, Span::from_secs(60)));
    let Ask::Http(ask) = &service.probes[0].ask else { panic!("{service:?}") };
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
        ("failures = 0", "a.toml:5:12: `failures` must be from 1 to 64, and is 0"),
        ("failures = \"3\"", "a.toml:5:12: `failures` must be a whole number, and is text"),
        ("expect = { status = 2000 }", "`status` must be from 100 to 599, and is 2000"),
        ("expect = { stats = 200 }", "unknown key `stats` in [service.probe.p.expect]; did you mean `status`?"),
        ("fatal = {}", "`fatal` must name at least one of `status`, `body`, `body_contains`"),
        ("busy = { status = [200] }", "200 is both expected and busy"),
        ("of = 2", "a.toml:5:6: `of` must not be less than `failures`: 3 bad ones among the last 2"),
        ("failures = 65", "a.toml:5:12: `failures` must be from 1 to 64, and is 65"),
        ("unix = \"run/x\"", "a.toml:5:8: `unix` must be an absolute path, as in \"/run/bingo/admin.sock\", and is \"run/x\""),
        ("ca = \"/ca.pem\"", "a.toml:5:6: `ca` says whose certificates are trusted, and `http` is no https:// URL"),
        ("max_latency = \"2s\"", "a.toml:5:15: `max_latency` must be longer than nothing and shorter than `timeout`: 2s and 2s"),
        ("expect.body_regex = \"(\"", "a.toml:5:21: `body_regex` does not compile: unclosed group"),
        ("expect.body_contains = \"\"", "`body_contains` is empty, and every body contains nothing"),
        ("expect.headers = { \"a b\" = \"c\" }", "\"a b\" is no name of a header"),
        ("expect.headers = { a = 1 }", "`a` in `headers` must be text in quotes, and is a whole number"),
        ("expect.status = \"2xx\"", "`status` must be whole numbers or ranges, as in 100 or \"100-599\", and is text"),
        ("busy = {}", "`status` is missing; name the statuses that mean overload"),
        ("fatal = { exit = 2 }", "unknown key `exit` in [service.probe.p.fatal]"),
        ("tcp = \"a:1\"", "a.toml:5:1: `http` and `tcp` exclude each other; make two tables of them"),
        ("[service.probe.q]\nevery = \"2s\"", "a.toml:5:1: [service.probe.q] does not say what is asked; give it one of `http`, `tcp`"),
        ("[service.probe.q]\ntcp = \"a\"", "a.toml:6:7: `tcp` must be a host and a port, as in \"127.0.0.1:6379\", and is \"a\""),
        (
            "[service.probe.q]\ntcp = \"a:1\"\nexpect = { status = 200 }",
            "a.toml:7:1: `expect` belongs to `http` and means nothing to `tcp`",
        ),
        ("[service.probe.q]\ntcp = \"a:1\"\nfatal = {}", "`fatal` belongs to `http` and `exec` and means nothing to `tcp`; leave it out"),
        ("[service.probe.q]\nexec = \"test -e /run/x\"", "a.toml:6:8: `exec` runs no shell; write a list of the program and its arguments"),
        ("[service.probe.q]\nexec = [\"test\"]", "`exec` must begin with an absolute path"),
        ("[service.probe.q]\nexec = []", "`exec` is an empty list; it must begin with a program"),
        (
            "[service.probe.q]\nexec = [\"/bin/true\"]\nfatal.exit = 2\nbusy.exit = [2]",
            "2 is both fatal and busy; leave it out of one of them",
        ),
        ("[service.probe.q]\nexec = [\"/bin/true\"]\nfatal.exit = 0", "`exit` must be from 1 to 255, and is 0"),
        ("[service.probe.\"q r\"]\ntcp = \"a:1\"", "\"q r\" is no name: it must be made of letters, digits, `-`, `_` and `.`"),
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
        (
            "[service.pattern.x]\nmeans = \"fatal\"",
            "a.toml:5:1: [service.pattern.x] needs one of `journal`, `file` and `status`, as in `journal = { line = \"We all gonna die\" }`",
        ),
        (
            "[service.pattern.x]\njournal.line = \"a\"\nstatus.line = \"a\"\nmeans = \"suspect\"",
            "a.toml:7:1: `journal` and `status` exclude each other; make two patterns of them",
        ),
        (
            "[service.pattern.x]\nfile = \"/var/log/x\"\nmeans = \"suspect\"",
            "`file` must be a table, as in [service.pattern.x.file], and is text",
        ),
        (
            "[service.pattern.x]\nfile.line = \"a\"\nmeans = \"suspect\"",
            "`path` is missing; say which file, as in \"/var/log/bingo/main.log\"",
        ),
        ("[service.pattern.x]\nfile = { path = \"x\", line = \"a\" }\nmeans = \"suspect\"", "`path` must be an absolute path"),
        (
            "[service.pattern.x]\nfile = { path = \"/x\", line = \"a\" }\nmeans = \"fatal\"",
            "a.toml:7:9: `file` cannot be \"fatal\": a line in a file does not say which process wrote it; write \"suspect\"",
        ),
        (
            "[service.pattern.x]\nstatus.line = \"a\"\nmeans = \"fatal\"",
            "a.toml:7:9: `status` cannot be \"fatal\": a status can be older than what is wrong",
        ),
        ("[service.pattern.x]\njournal.line = \"a\"\nmeans = \"suspect\"\ncount = 0", "`count` must be from 1 to 1000, and is 0"),
        ("[service.pattern.x]\njournal.line = \"a\"\nmeans = \"suspect\"\nwithin = \"0s\"", "`within` must be longer than nothing"),
        ("[service.restart]\ndelay = \"2m\"\nmax_delay = \"60s\"", "a.toml:7:13: `max_delay` must not be shorter than `delay`: 60s < 2m"),
        ("[service.restart]\nlimit = 0", "a.toml:6:9: `limit` must be from 1 to 1000, and is 0"),
        ("[service.depends.d]\npostgres = \"db-1\"", "`postgres` must be a host and a port, as in \"db-1:5432\", and is \"db-1\""),
        ("[service.depends.d]\ntcp = \"a:1\"\nbusy = {}", "unknown key `busy` in [service.depends.d]"),
        ("[service.depends.d]\ntcp = \"a:1\"\nevery_in_doubt = \"3s\"", "`every_in_doubt` must not be longer than `every`: 3s > 2s"),
        ("[hook.x]\ntimeout = \"1s\"", "a.toml:5:1: [hook.x] needs `exec`, a program and its arguments, or `webhook`, a URL"),
        (
            "[hook.x]\nexec = [\"/a\"]\nwebhook = \"http://a/\"",
            "a.toml:7:11: `exec` and `webhook` exclude each other; make two hooks of them",
        ),
        ("[hook.x]\nwebhook = \"a\"", "a.toml:6:11: \"a\" is not a URL"),
        ("[hook.x]\nexec = [\"/a\"]\non = [\"dead\"]", "a.toml:7:7: there is no event \"dead\"; known are \"incident\", \"recovered\""),
        ("[hook.x]\nexec = [\"/a\"]\non = [\"held\", \"held\"]", "a.toml:7:15: \"held\" is listed twice"),
        ("[hook.x]\nexec = [\"/a\"]\non = []", "`on` is an empty list, so the hook would never run; leave out `on` or the hook"),
        ("[incidents]\nkeep = 0", "a.toml:6:8: `keep` must be from 1 to 10000, and is 0"),
        ("[incidents]\nmax_size = \"1K\"", "a.toml:6:12: `max_size` must be at least \"1M\""),
        ("[incidents]\nmax_size = 64", "`max_size` is 64 without a unit; write \"64M\" if megabytes are meant"),
        ("[control]\noperators = \"a b\"", "`operators` must be the name of a group, as in \"warden-admin\", and is \"a b\""),
        (
            "[metrics]\nlisten = \"9843\"",
            "`listen` must be an address and a port, as in \"127.0.0.1:9843\" or \"[::1]:9843\", and is \"9843\"",
        ),
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
            "[coordinator]\nurls = [\"https://lb-1:7443\", \"https://lb-2:7443\"]",
            "a.toml:5:1: in [coordinator]: `tls` is missing; say who this node is, as in tls = { ca = \"/etc/warden/tls/ca.pem\", cert = ",
        ),
        (
            "[coordinator]\nurls = \"http://lb-1:7443\"",
            "a.toml:6:8: \"http://lb-1:7443\": reports go over TLS, except to this machine itself; write it as in \"https://lb-1:7443\"",
        ),
        ("[coordinator]\nurls = \"http://127.0.0.1.example.org:1\"", "reports go over TLS"),
        ("[coordinator]\nurls = \"http://[::2]:1\"", "reports go over TLS"),
        ("[coordinator]\nurls = [\"lb-1\"]", "a.toml:6:9: \"lb-1\" is not a coordinator's URL; write it as in \"https://lb-1:7443\""),
        (
            "[coordinator]\ntls = { ca = \"/a\", key = \"/b\" }",
            "a.toml:6:7: in [coordinator.tls]: `cert` is missing; set it to the file of this node's certificate, as in \"/etc/warden/tls/node.pem\"",
        ),
        (
            "[coordinator]\ntls = { ca = \"a.pem\" }",
            "a.toml:6:14: `ca` must be an absolute path, as in \"/etc/warden/tls/ca.pem\", and is \"a.pem\"",
        ),
        ("[coordinator]\ntls = { ca = \"/a\", crt = \"/b\" }", "unknown key `crt` in [coordinator.tls]; did you mean `cert`?"),
        ("[coordinator]\ntls = true", "a.toml:6:7: `tls` must be a table, as in [coordinator.tls], and is true or false"),
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
        (
            "unit = \"a.service\"\nmax_age = \"20m\"\nmax_age_jitter = \"20m\"",
            "a.toml:4:18: `max_age_jitter` must be shorter than `max_age`: 20m ≥ 20m",
        ),
        ("unit = \"a.service\"\nmax_age_jitter = \"2m\"", "a.toml:3:18: `max_age_jitter` means nothing without `max_age`"),
        (
            "unit = \"a.service\"\nwarmup = \"30s\"\nmax_age = \"100s\"",
            "a.toml:4:11: `max_age` less `max_age_jitter` must be longer than `warmup` and `prove_within` together, or it is restarted before \
             it has served: 90s ≤ 90s",
        ),
        ("unit = \"a.service\"\nrecycle_above = 120", "a.toml:3:17: `recycle_above` is 120 without a unit; write \"120M\" if megabytes"),
        ("unit = \"a.service\"\nrecycle_above = \"0K\"", "`recycle_above` must be more than nothing"),
        ("unit = \"a.service\"\nmode = \"dry\"", "a.toml:3:8: `mode` must be \"supervise\" or \"shadow\", and is \"dry\""),
        ("unit = \"a.service\"\nstop = \"hard\"", "a.toml:3:8: `stop` must be \"graceful\" or \"kill\", and is \"hard\""),
        ("unit = \"a.service\"\nkill_after = \"0s\"", "`kill_after` must be longer than nothing"),
        ("unit = \"a.service\"\nflap_half_life = 10", "`flap_half_life` is 10 without a unit"),
        ("unit = \"a.service\"\nbackend = \"b c\"", "`backend` must be a backend's name as in HAProxy's configuration, and is \"b c\""),
        ("unit = \"a.service\"\naddress = \"10.0.0.1\"", "as in \"10.0.0.11:28940\", and is \"10.0.0.1\""),
        ("unit = \"a.service\"\nprobe_during_warmup = 1", "`probe_during_warmup` must be true or false, and is a whole number"),
    ];
    for (text, wanted) in cases {
        let told = faults(&format!("[[service]]\n{text}\n[service.probe.p]\nhttp = \"http://127.0.0.1:1/\"\n"));
        assert_eq!(told.lines().count(), 1, "one mistake, one line: {told}");
        assert!(told.contains(wanted), "wanted {wanted}\ntold   {told}");
    }
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

/// Everything that a service can be asked and told by, at once.
#[test]
fn several_services_with_several_probes_of_every_kind() {
    let config = good(
        r#"
        [[service]]
        unit = "a.service"
        mode = "shadow"
        max_age = "20m"
        recycle_above = "1.5G"
        stop = "kill"
        kill_after = "5s"
        drain = "0s"
        flap_half_life = "0s"
        [service.probe.tls]
        http = "https://127.0.0.1:1/x"
        ca = "/ca.pem"
        expect = { status = [200, "300-399"], body_regex = "^ok", headers = { x-a = "b" } }
        max_latency = "500ms"
        failures = 3
        of = 10
        [service.probe.socket]
        http = "http://localhost/x"
        unix = "/run/x.sock"
        busy = { status = "500-599" }
        [service.probe.port]
        tcp = "[::1]:80"
        [service.probe.script]
        exec = ["/bin/test", "-e", "/x"]
        fatal = { exit = "2-4" }
        busy = { exit = [75, 99] }
        [service.pattern.a]
        file = { path = "/var/log/a", contains = "x" }
        means = "suspect"
        [service.pattern.b]
        status = { regex = "x" }
        means = "recovered"
        count = 2
        within = "5s"
        [service.depends.db]
        postgres = "db-1:5432"
        [service.depends.cache]
        tcp = "cache:6379"
        timeout = "5s"

        [[service]]
        unit = "b.service"
        [service.probe.sql]
        postgres = "127.0.0.1:5432"
        "#,
    );
    let [a, b] = &config.services[..] else { panic!("{config:?}") };
    let names = |probes: &[Probe]| probes.iter().map(|probe| probe.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&a.probes), names(&a.depends)),
        (vec!["port".into(), "script".into(), "socket".into(), "tls".into()], vec!["cache".into(), "db".into()])
    );
    assert_eq!((a.policy.probes.len(), a.policy.patterns.len(), a.policy.depends.len()), (4, 2, 2));
    assert_eq!(a.probes[0].ask, Ask::Tcp(TcpAsk { address: "[::1]:80".to_owned() }));
    let Ask::Exec(script) = &a.probes[1].ask else { panic!("{a:?}") };
    assert_eq!((script.command.len(), &script.fatal[..], &script.busy[..]), (3, &[2, 3, 4][..], &[75, 99][..]));
    let (Ask::Http(socket), Ask::Http(tls)) = (&a.probes[2].ask, &a.probes[3].ask) else { panic!("{a:?}") };
    assert_eq!(
        (socket.unix.as_deref(), &socket.busy[..], &socket.expect.status[..]),
        (Some(Path::new("/run/x.sock")), &[500..=599][..], &[200..=200][..])
    );
    assert_eq!(
        (tls.ca.as_deref(), &tls.expect.status[..], &tls.busy[..]),
        (Some(Path::new("/ca.pem")), &[200..=200, 300..=399][..], &[429..=429][..])
    );
    assert_eq!(tls.expect.headers, [("x-a".to_owned(), "b".to_owned())]);
    assert_eq!((tls.expect.body_regex.as_ref().unwrap().as_str(), tls.max_latency), ("^ok", Some(Duration::from_millis(500))));
    assert_eq!((a.policy.probes[3].failures, a.policy.probes[3].of, a.policy.probes[0].of), (3, 10, 3));
    assert_eq!((&a.patterns[0].source, &a.patterns[1].source), (&Source::File("/var/log/a".into()), &Source::Status));
    let [suspect, recovered] = a.policy.patterns[..] else { panic!("{a:?}") };
    assert_eq!((suspect.means, suspect.count, suspect.window), (Means::Suspect, 3, Span::from_secs(60)));
    assert_eq!((recovered.means, recovered.count, recovered.window), (Means::Recovered, 2, Span::from_secs(5)));
    assert_eq!((a.policy.mode, a.policy.stop.how, a.policy.stop.kill_after), (Mode::Shadow, Stop::Kill, Span::from_secs(5)));
    assert_eq!((a.policy.stop.drain, a.policy.flap_half_life), (Span::ZERO, Span::ZERO));
    assert_eq!((a.policy.recycle.max_age, a.policy.recycle.max_age_jitter), (Some(Span::from_secs(1200)), Span::from_secs(120)));
    assert_eq!(a.policy.recycle.above, Some(3 << 29));
    assert_eq!((a.policy.depends[0].every, a.policy.depends[0].timeout), (Span::from_secs(2), Span::from_secs(5)));
    assert_eq!((b.probes.len(), b.policy.recycle.max_age, b.policy.recycle.max_age_jitter), (1, None, Span::ZERO));
}

#[test]
fn what_belongs_to_the_node() {
    let config = good(
        "[control]\noperators = \"wheel\"\n[metrics]\nlisten = \"[::1]:9843\"\n[incidents]\nkeep = 3\nmax_size = \"2M\"\n\
         [hook.a]\nexec = [\"/bin/a\", \"b\"]\n[hook.b]\nwebhook = \"http://a/\"\non = \"incident\"\ntimeout = \"1s\"\n",
    );
    assert_eq!((config.operators.as_str(), config.metrics), ("wheel", Some("[::1]:9843".parse().unwrap())));
    assert_eq!(config.incidents, Incidents { keep: 3, max_bytes: 2 << 20 });
    let [a, b] = &config.hooks[..] else { panic!("{config:?}") };
    assert_eq!((a.name.as_str(), &a.run), ("a", &HookRun::Exec(vec!["/bin/a".to_owned(), "b".to_owned()])));
    assert_eq!((a.on.len(), a.timeout), (4, Duration::from_secs(10)));
    assert_eq!((&b.run, &b.on[..]), (&HookRun::Webhook("http://a/".to_owned()), &[HookEvent::Incident][..]));
    let plain = good("");
    assert_eq!((plain.operators.as_str(), plain.metrics, plain.hooks.len()), ("warden-admin", None, 0));
    assert_eq!(plain.incidents, Incidents { keep: 50, max_bytes: 64 << 20 });
}

#[test]
fn a_program_that_a_probe_needs_must_be_there_to_begin() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("50-a.toml");
    fs::write(&file, "[[service]]\nunit = \"a.service\"\n[service.probe.p]\nexec = [\"/nowhere/x\"]\n[hook.h]\nexec = [\"/nowhere/y\"]\n")
        .unwrap();
    let told = config::load(&Directories(vec![directory.path().to_owned()])).unwrap_err().to_string();
    assert_eq!(
        told,
        format!("{}:4:8: /nowhere/x cannot be run: there is no such file; install it or correct `exec`", file.display()),
        "a hook that is missing harms no service"
    );
}
