//! What a reload says that changed.

use warden_agent::config::{self, Config, difference};

const OLD: &str = r#"
    [node]
    name = "bingo-1"
    [coordinator]
    urls = ["https://lb-1:7443"]
    tls = { ca = "/tls/ca.pem", cert = "/tls/node.pem", key = "/tls/node.key" }
    [hook.pager]
    exec = ["/bin/true"]
    [[service]]
    unit = "bingo.service"
    backend = "bingo"
    warmup = "30s"
    [service.probe.ping]
    http = "http://127.0.0.1:28940/ping"
    expect = { status = 200, body = "pong" }
    [service.pattern.doom]
    journal.line = "We all gonna die"
    means = "fatal"
    [service.depends.database]
    postgres = "db-1:5432"
"#;

fn parsed(text: &str) -> Config {
    config::parse("test.toml", text).unwrap_or_else(|faults| panic!("{text}\n{faults}"))
}

fn told(from: &str, to: &str) -> Vec<String> {
    assert!(OLD.contains(from), "{from}");
    difference(&parsed(OLD), &parsed(&OLD.replace(from, to)))
}

#[test]
fn what_means_the_same_is_no_difference() {
    let old = parsed(OLD);
    assert_eq!(difference(&old, &old), Vec::<String>::new());
    let elsewhere = config::parse("other.toml", &format!("\n\n{OLD}")).unwrap();
    assert_eq!(difference(&old, &elsewhere), Vec::<String>::new(), "where it stands does not matter");
    assert_eq!(told("warmup = \"30s\"", "warmup = \"30000ms\"\nprove_within = \"1m\""), Vec::<String>::new());
}

#[test]
fn every_difference_is_told_by_service_and_key() {
    let cases = [
        ("bingo-1", "bingo-2", "[node] name bingo-1 → bingo-2"),
        ("lb-1", "lb-2", "[coordinator] urls https://lb-1:7443 → https://lb-2:7443"),
        ("urls = [\"https://lb-1:7443\"]", "", "[coordinator] urls https://lb-1:7443 → none"),
        ("ca.pem", "new.pem", "[coordinator] tls.ca /tls/ca.pem → /tls/new.pem"),
        ("node.pem", "new.pem", "[coordinator] tls.cert /tls/node.pem → /tls/new.pem"),
        ("node.key", "new.key", "[coordinator] tls.key /tls/node.key → /tls/new.key"),
        ("[coordinator]", "[coordinator]\nsilent_for = \"10s\"", "[coordinator] silent_for 30s → 10s"),
        ("\"/bin/true\"", "\"/bin/true\", \"-x\"", "hook pager: exec /bin/true → /bin/true -x"),
        (
            "exec = [\"/bin/true\"]",
            "exec = [\"/bin/true\"]\non = [\"held\"]",
            "hook pager: on parked held restart_failed start_limit → held",
        ),
        ("30s", "10s", "bingo.service: warmup 30s → 10s"),
        ("warmup", "mode = \"shadow\"\nwarmup", "bingo.service: mode supervise → shadow"),
        ("warmup", "recycle_above = \"120M\"\nwarmup", "bingo.service: recycle_above none → 120M"),
        ("[service.probe.ping]", "[service.probe.ping]\nevery = \"500ms\"", "bingo.service: probe ping: every 1s → 500ms"),
        (
            "\"http://127.0.0.1:28940/ping\"",
            "\"http://127.0.0.1:28940/pong\"",
            "bingo.service: probe ping: http http://127.0.0.1:28940/ping → http://127.0.0.1:28940/pong",
        ),
        ("\"pong\"", "\"pang\"", "bingo.service: probe ping: expect status 200, body \"pong\" → status 200, body \"pang\""),
        ("die", "live", "bingo.service: pattern doom: journal \"We all gonna die\" → \"We all gonna live\""),
        ("\"fatal\"", "\"recovered\"", "bingo.service: pattern doom: means fatal → recovered"),
        ("db-1", "db-2", "bingo.service: depends database: postgres db-1:5432 → db-2:5432"),
        ("[service.depends.database]", "[service.restart]\nlimit = 3\n[service.depends.database]", "bingo.service: restart: limit 5 → 3"),
        ("[service.depends.database]", "[service.probe.port]\ntcp = \"a:1\"\n[service.depends.database]", "bingo.service: probe port: new"),
        ("[hook.pager]", "[hook.chat]\nwebhook = \"http://a/\"\n[hook.pager]", "hook chat: new"),
    ];
    for (from, to, wanted) in cases {
        assert_eq!(told(from, to), [wanted], "{from} → {to}");
    }
}

#[test]
fn what_came_and_what_went_is_told_once() {
    assert_eq!(told("unit = \"bingo.service\"", "unit = \"other.service\""), ["other.service: new", "bingo.service: gone"]);
    assert_eq!(
        told("[service.pattern.doom]", "[service.pattern.gloom]"),
        ["bingo.service: pattern gloom: new", "bingo.service: pattern doom: gone"]
    );
    assert_eq!(told("    [hook.pager]\n    exec = [\"/bin/true\"]\n", ""), ["hook pager: gone"]);
}

#[test]
fn another_kind_of_probe_is_told_key_by_key() {
    let told = told("http = \"http://127.0.0.1:28940/ping\"\n    expect = { status = 200, body = \"pong\" }", "tcp = \"127.0.0.1:28940\"");
    assert_eq!(
        told,
        [
            "bingo.service: probe ping: http http://127.0.0.1:28940/ping → none",
            "bingo.service: probe ping: tcp none → 127.0.0.1:28940",
            "bingo.service: probe ping: expect status 200, body \"pong\" → none",
            "bingo.service: probe ping: busy 429 → none",
        ]
    );
}

#[test]
fn foreign_text_is_shown_not_obeyed() {
    let told = told("We all gonna die", "\\u001b[2J");
    assert!(told.len() == 1 && !told[0].contains('\u{1b}'), "{told:?}");
}
