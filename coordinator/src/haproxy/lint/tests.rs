//! A configuration with nothing to say about, and one fault at a time put into it.

use super::*;
use std::collections::BTreeSet;

const GOOD: &str = r#"
global
    stats socket /run/haproxy/warden.sock user root group haproxy-warden mode 660 level admin
    stats maxconn 64
    max-spread-checks 100ms
    server-state-file /var/lib/haproxy-state/servers
defaults
    mode http
    load-server-state-from-file global
    retry-on all-retryable-errors
    option redispatch 1
    option httpchk
    default-server check inter 1s fall 2 rise 2 slowstart 10s
frontend www
    bind :80
    default_backend app
backend app
    http-request disable-l7-retry unless { method GET HEAD }
    default-server agent-check agent-addr 127.0.0.1 agent-port 7481 agent-inter 200ms
    server s1 10.0.0.1:80 agent-send "app/s1\n"
    server s2 10.0.0.2:80 agent-send "app/s2\n"
backend other
    server x 10.0.0.9:80 no-check
"#;

fn wanted() -> Wanted {
    Wanted { agent_port: 7481, sockets: vec!["/run/haproxy/warden.sock".into()], backends: Vec::new(), drained: Vec::new() }
}

fn running() -> Running {
    Running { socket: "/run/haproxy/warden.sock".into(), version: "3.0.11".to_owned(), level: "admin".to_owned(), shared: BTreeMap::new() }
}

fn found(config: &str) -> Vec<Finding> {
    let backends = if config.contains("backend app") { vec!["app".to_owned()] } else { Vec::new() };
    lint(&[("h.cfg".to_owned(), config.to_owned())], &[running()], &Wanted { backends, ..wanted() })
}

#[test]
fn there_is_nothing_to_say_of_what_is_well() {
    assert_eq!(found(GOOD), []);
    assert_eq!(lint(&[("h.cfg".to_owned(), GOOD.to_owned())], &[], &wanted()), []);
    let named = Wanted { backends: vec!["app".to_owned()], ..wanted() };
    assert_eq!(lint(&[("h.cfg".to_owned(), GOOD.to_owned())], &[], &named), []);
    assert_eq!(lint(&[], &[], &named), [], "what was not seen is not judged");
}

/// One fault at a time: what is put in the place of what, and what is then said, of whom, and where.
#[test]
fn each_fault_is_told_with_its_place_and_the_line_to_change() {
    let faults = [
        ("agent-check agent-addr", "agent-addr", "agent_check", "app/s1, app/s2", "cannot take it out, nor keep it out over a reload"),
        (" agent-port 7481", "", "agent_check", "app/s1, app/s2", "has no port"),
        ("agent-port 7481", "agent-port 7000", "agent_check", "app/s1, app/s2", "asks port 7000, and the coordinator answers on 7481"),
        (" agent-send \"app/s1\\n\"", "", "agent_check", "app/s1", "does not say which server it asks for"),
        ("app/s2\\n", "app/s1\\n", "agent_check", "app/s2", "asks for \"app/s1\\n\", and the coordinator knows it as \"app/s2\\n\""),
        ("app/s2\\n", "app/s2", "agent_check", "app/s2", "asks for \"app/s2\""),
        ("server s1 10.0.0.1:80", "server-template s 3 10.0.0.1:80", "agent_check", "app/s", "ask the coordinator for the same name"),
        (" agent-inter 200ms", "", "agent_inter", "app/s1, app/s2", "gets traffic until HAProxy has asked"),
        ("    max-spread-checks 100ms\n", "", "max_spread_checks", "", "spread over the longest check interval"),
        ("max-spread-checks 100ms", "max-spread-checks 5s", "max_spread_checks", "", "spread over the longest check interval"),
        ("check inter 1s fall 2 rise 2 slow", "slow", "check", "app/s1, app/s2", "nothing but its agent's word proves it"),
        ("10.0.0.2:80 agent", "10.0.0.2:80 no-check agent", "check", "app/s2", "nothing but its agent's word proves it"),
        ("inter 1s fall 2", "inter 31s fall 1", "check_slow", "app/s1, app/s2", "needs 31 s to find it down"),
        ("    option httpchk\n", "", "check_tcp", "app", "sick but alive passes it"),
        ("option httpchk", "no option httpchk", "check_tcp", "app", "sick but alive passes it"),
        (" slowstart 10s", "", "slowstart", "app/s1, app/s2", "its full share at once"),
        ("slowstart 10s", "slowstart 10s on-marked-down shutdown-sessions", "cuts_in_flight", "app/s1, app/s2", "are cut"),
        ("slowstart 10s", "slowstart 10s observe layer7 error-limit 1 on-error mark-down", "observe", "app/s1, app/s2", "one client"),
        ("    http-request disable-l7-retry unless { method GET HEAD }\n", "", "replays", "app", "sends POST and DELETE a second time"),
        ("option redispatch 1", "no option redispatch", "redispatch", "app", "on the server that failed it"),
        ("load-server-state-from-file global", "load-server-state-from-file none", "server_state", "app", "forgets operators' marks"),
        ("level admin", "level operator", "socket_level", "", "the socket's level is operator"),
        (" level admin", "", "socket_level", "", "the socket's level is operator"),
        ("mode 660", "mode 666", "socket", "", "everybody on this machine"),
        ("/run/haproxy/warden.sock", "/run/haproxy/admin.sock", "socket", "", "there is no runtime socket /run/haproxy/warden.sock"),
        ("stats maxconn 64", "stats maxconn 10", "stats_maxconn", "", "10 connections for all runtime sockets"),
    ];
    let mut told = BTreeSet::new();
    for (well, ill, rule, about, text) in faults {
        assert!(GOOD.contains(well), "{well}");
        let findings = found(&GOOD.replace(well, ill));
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let [finding] = findings.as_slice() else { panic!("{well} → {ill}: {shown:#?}") };
        assert_eq!((finding.rule, finding.about.as_str()), (rule, about), "{shown:#?}");
        assert!(finding.text.contains(text) && finding.place.is_some() && !finding.change.is_empty(), "{shown:#?}");
        told.insert(rule);
    }
    // Those that the files alone do not show.
    let of = |running: &Running, wanted: &Wanted| lint(&[("h.cfg".to_owned(), GOOD.to_owned())], std::slice::from_ref(running), wanted);
    let low = of(&Running { level: "user".to_owned(), ..running() }, &wanted());
    let twins = of(&Running { shared: BTreeMap::from([("0.0.0.0:80".to_owned(), 2)]), ..running() }, &wanted());
    let unknown = of(&running(), &Wanted { backends: vec!["app".to_owned(), "ap".to_owned()], ..wanted() });
    let observes = GOOD.replace("slowstart 10s", "slowstart 10s observe layer7");
    let old =
        lint(&[("h.cfg".to_owned(), observes.clone())], &[Running { version: "2.6.12-1+deb12u4".to_owned(), ..running() }], &wanted());
    assert_eq!(found(&observes), [], "3.0 sees what is sent elsewhere");
    for (findings, rule) in [(low, "socket_level"), (twins, "two_masters"), (unknown, "backend_unknown"), (old, "observe")] {
        assert_eq!(findings.iter().map(|finding| finding.rule).collect::<Vec<_>>(), [rule]);
        told.insert(rule);
    }
    assert_eq!(told, BTreeSet::from(RULES), "a rule that no test has seen to tell anything");
}

/// Whoever chose the second lever is told the way to the first, and not that something is broken.
#[test]
fn the_second_lever_needs_no_agent_check() {
    let without = GOOD.replace("agent-check agent-addr", "agent-addr");
    let wanted = Wanted { backends: vec!["app".to_owned()], drained: vec!["app".to_owned()], ..wanted() };
    let findings = lint(&[("h.cfg".to_owned(), without)], &[running()], &wanted);
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!((finding.rule, finding.weight), ("agent_check", Weight::Advice));
    assert!(finding.change.ends_with("agent-send \"app/s1\\n\", and `lever = \"agent\"`"), "{}", finding.change);
}

#[test]
fn what_is_said_reads_well() {
    let shown: Vec<String> = found(&GOOD.replace(" agent-send \"app/s1\\n\"", "")).iter().map(ToString::to_string).collect();
    let wanted = "h.cfg:20: app/s1: its `agent-check` does not say which server it asks for [fault agent_check]\n    change: server s1 … agent-check agent-addr 127.0.0.1 agent-port 7481 agent-inter 200ms agent-send \"app/s1\\n\"";
    assert_eq!(shown, [wanted]);
}

/// Debian's own file as it comes: everything at once, and nothing that panics.
#[test]
fn a_plain_configuration_has_much_to_be_told() {
    let plain = "global\n\tstats socket /run/haproxy/admin.sock mode 660 level admin\ndefaults\n\tmode\thttp\nlisten web\n\tbind :80\n\tserver a 10.0.0.1:80 check\n\tserver b 10.0.0.2:80 check\n";
    let rules: BTreeSet<&str> = found(plain).iter().map(|finding| finding.rule).collect();
    let wanted = ["agent_check", "check_tcp", "redispatch", "server_state", "slowstart", "socket", "stats_maxconn"];
    assert_eq!(rules, BTreeSet::from(wanted));
    assert!(found(plain).is_sorted_by_key(|finding| finding.weight));
}

/// docs/haproxy.md has a paragraph for each, and for nothing else.
#[test]
fn the_page_knows_the_same_rules() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/haproxy.md"));
    let on_the_page: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(rule, _)| rule)).collect();
    assert_eq!(on_the_page, RULES);
}
