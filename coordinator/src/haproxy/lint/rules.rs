//! The rules, one function each. What they know of HAProxy was measured, or stands in its manual; docs/haproxy.md says why each matters.

use super::proxy::{Proxy, Server, time};
use super::text::{Line, Place, Text};
use super::{Finding, Running, Wanted, Weight};
use std::time::Duration;

/// HAProxy's own default for `inter` and `agent-inter`.
const INTER: Duration = Duration::from_secs(2);
/// A reload must not let a server in for longer than it takes to be asked once.
const AGENT_INTER: Duration = Duration::from_secs(1);
/// Above it, HAProxy's own check is no second opinion in time, and the way back takes `rise` times as long.
const CHECK_INTER: Duration = Duration::from_secs(5);
/// The default of `error-limit`, below which one client's bad address takes everything out.
const ERROR_LIMIT: u32 = 10;
/// HAProxy's own default for `stats maxconn`, and what leaves room.
const STATS_MAXCONN: (u32, u32) = (10, 20);

pub(super) fn all(text: &Text, running: &[Running], wanted: &Wanted) -> Vec<Finding> {
    let mut findings = Vec::new();
    let proxies: Vec<Proxy<'_>> = Proxy::all(text).collect();
    let meant = meant(&proxies, wanted);
    if !text.sections.is_empty() {
        findings.extend(backend_unknown(&proxies, wanted));
        global(text, &meant, wanted, &mut findings);
        let spared = text.sections.iter().flat_map(|section| &section.lines).any(|line| line.is(&["http-request", "disable-l7-retry"]));
        for proxy in &meant {
            of_proxy(proxy, running, spared, &mut findings);
            of_servers(proxy, wanted, &mut findings);
        }
    }
    findings.extend(running.iter().filter_map(socket_level));
    // Each of them sees the same sockets.
    findings.extend(running.first().map(two_masters).unwrap_or_default());
    findings
}

/// Those that the configuration names or that have an agent check; where there are none of either, all.
fn meant<'p, 't>(proxies: &'p [Proxy<'t>], wanted: &Wanted) -> Vec<&'p Proxy<'t>> {
    let asks = |proxy: &&Proxy<'_>| proxy.servers().iter().any(|server| server.on("agent-check"));
    let named = |proxy: &&Proxy<'_>| wanted.backends.iter().any(|name| name == proxy.name);
    let meant: Vec<_> = proxies.iter().filter(|proxy| named(proxy) || asks(proxy)).collect();
    if meant.is_empty() { proxies.iter().filter(|proxy| !proxy.servers().is_empty()).collect() } else { meant }
}

fn finding(
    rule: &'static str,
    weight: Weight,
    place: Option<&Place>,
    about: &str,
    text: impl Into<String>,
    change: impl Into<String>,
) -> Finding {
    Finding { rule, weight, place: place.cloned(), about: about.to_owned(), text: text.into(), change: change.into() }
}

fn backend_unknown(proxies: &[Proxy<'_>], wanted: &Wanted) -> Vec<Finding> {
    let known: Vec<&str> = proxies.iter().map(|proxy| proxy.name).collect();
    let missing = wanted.backends.iter().filter(|name| !known.contains(&name.as_str()));
    let told = |name: &String| {
        let text = "the coordinator is told to look after it, and HAProxy has no such backend";
        let change = match known.as_slice() {
            [] => format!("backend {name}, in HAProxy's configuration"),
            known => format!("[backend.NAME] in the coordinator's configuration, to one of: {}", known.join(", ")),
        };
        finding("backend_unknown", Weight::Fault, None, name, text, change)
    };
    missing.map(told).collect()
}

/// `global`, and what holds for everything.
fn global(text: &Text, meant: &[&Proxy<'_>], wanted: &Wanted, findings: &mut Vec<Finding>) {
    let globals: Vec<_> = text.sections.iter().filter(|section| section.kind == "global").collect();
    let place = globals.first().map(|section| &section.place);
    let lines: Vec<&Line> = globals.iter().flat_map(|section| &section.lines).collect();
    let last = |words: &[&str]| lines.iter().rev().find(|line| line.is(words));
    for path in wanted.sockets.iter().map(|path| path.display().to_string()) {
        let ours = lines.iter().find(|line| line.is(&["stats", "socket"]) && line.words.get(2).is_some_and(|word| *word == path));
        findings.extend(socket(ours.copied(), &path, place));
    }
    let maxconn = last(&["stats", "maxconn"]).and_then(|line| line.words.get(2)?.parse().ok()).unwrap_or(STATS_MAXCONN.0);
    if maxconn < STATS_MAXCONN.1 {
        let text = format!(
            "{maxconn} connections for all runtime sockets together: the next one waits without an error, and what it asked for is done when its client has given up"
        );
        findings.push(finding("stats_maxconn", Weight::Advice, place, "", text, "stats maxconn 64"));
    }
    let spread = last(&["max-spread-checks"]).and_then(|line| line.words.get(1)).and_then(|word| time(word));
    let asks = meant.iter().any(|proxy| proxy.servers().iter().any(|server| server.on("agent-check")));
    if asks && spread.is_none_or(|spread| spread > AGENT_INTER) {
        let text = "after a reload the first questions to the coordinator are spread over the longest check interval, and a server that is out gets traffic until then";
        findings.push(finding("max_spread_checks", Weight::Fault, place, "", text, "max-spread-checks 100ms"));
    }
}

/// The line of a runtime socket, or that there is none.
fn socket(line: Option<&Line>, path: &str, global: Option<&Place>) -> Vec<Finding> {
    let change = format!("stats socket {path} user root group haproxy-warden mode 660 level admin");
    let Some(line) = line else {
        let text = format!("there is no runtime socket {path}, over which the coordinator does everything");
        return vec![finding("socket", Weight::Fault, global, "", text, change)];
    };
    let mut findings = Vec::new();
    let level = line.after("level").unwrap_or("operator");
    if level != "admin" {
        let text = format!("the socket's level is {level}, which may not change a server");
        findings.push(finding("socket_level", Weight::Fault, Some(&line.place), "", text, change.clone()));
    }
    if line.after("mode").is_some_and(|mode| mode.ends_with(['2', '3', '6', '7'])) {
        let text = "everybody on this machine can take servers out, and stop HAProxy";
        findings.push(finding("socket", Weight::Fault, Some(&line.place), "", text, change));
    }
    findings
}

fn of_proxy(proxy: &Proxy<'_>, running: &[Running], spared: bool, findings: &mut Vec<Finding>) {
    let Proxy { name, place, .. } = proxy;
    let checked = proxy.servers().iter().any(|server| server.on("check"));
    let by_http =
        proxy.option("httpchk").is_some() || proxy.last(&["http-check", "expect"]).is_some() || proxy.option("external-check").is_some();
    if proxy.http() && checked && !by_http {
        let text = "its check only connects, and a server that is sick but alive passes it";
        let change = "option httpchk, with http-check send meth GET uri /PATH and http-check expect status 200";
        findings.push(finding("check_tcp", Weight::Fault, Some(place), name, text, change));
    }
    if let Some((line, words)) = proxy.replays() {
        if !spared {
            let text =
                format!("`retry-on {}` sends POST and DELETE a second time, when the first may have been carried out", words.join(" "));
            let change = "http-request disable-l7-retry unless { method GET HEAD }, and the same for answers that are slow by nature";
            findings.push(finding("replays", Weight::Fault, Some(&line.place), name, text, change));
        }
        if running.iter().any(|running| before_3(&running.version)) {
            for server in proxy.servers().iter().filter(|server| server.value("observe") == Some("layer7")) {
                let text = "`observe layer7` does not see the answers that `retry-on` sends elsewhere, before HAProxy 3.0";
                let about = format!("{name}/{}", server.name);
                findings.push(finding(
                    "observe",
                    Weight::Fault,
                    Some(server.place),
                    &about,
                    text,
                    "leave out `observe`: the coordinator sees the retries",
                ));
            }
        }
    }
    if proxy.option("redispatch").is_none() {
        let replays = proxy.replays().is_some();
        let text = if replays {
            "a request that failed is tried again on the server that failed it: four times the load, and the same answer"
        } else {
            "a connection that could not be made is tried again on the same server"
        };
        let weight = if replays { Weight::Fault } else { Weight::Advice };
        findings.push(finding("redispatch", weight, Some(place), name, text, "option redispatch 1"));
    }
    if proxy.last(&["load-server-state-from-file"]).is_none_or(|line| line.words.get(1).is_some_and(|word| word == "none")) {
        let text = "a reload forgets operators' marks (`maint`, `drain`) and lets those servers in";
        let change = "server-state-file /var/lib/haproxy-state/servers in global, load-server-state-from-file global in defaults, and `show servers state` written there before each reload";
        findings.push(finding("server_state", Weight::Advice, Some(place), name, text, change));
    }
}

fn of_servers(proxy: &Proxy<'_>, wanted: &Wanted, findings: &mut Vec<Finding>) {
    let port = wanted.agent_port;
    let drained = wanted.drained.iter().any(|name| name == proxy.name);
    for server in proxy.servers() {
        let about = format!("{}/{}", proxy.name, server.name);
        let mut tell = |rule, weight, text: String, change: String| {
            findings.push(finding(rule, weight, Some(server.place), &about, text, change));
        };
        if let Some(text) = agent_check(&server, &about, port) {
            let change = format!(
                "server {} … agent-check agent-addr 127.0.0.1 agent-port {port} agent-inter 200ms agent-send \"{about}\\n\"",
                server.name
            );
            if drained {
                let text =
                    "it is moved by `lever = \"drain\"`, which shares a mark with people: one that is set at the wrong moment is lost";
                tell("agent_check", Weight::Advice, text.to_owned(), format!("{change}, and `lever = \"agent\"`"));
            } else {
                tell("agent_check", Weight::Fault, text, change);
            }
        } else if server.value("track").is_none() && server.time("agent-inter", INTER).is_some_and(|inter| inter > AGENT_INTER) {
            let text =
                "after a reload a server that is out gets traffic until HAProxy has asked the coordinator, which it does seldom".to_owned();
            tell("agent_inter", Weight::Advice, text, "agent-inter 200ms".to_owned());
        }
        if server.value("track").is_some() {
            continue;
        }
        if server.on("check") {
            let (inter, fall) = (server.time("inter", INTER), server.number("fall", 3));
            if let (Some(inter), Some(fall)) = (inter, fall)
                && inter > CHECK_INTER
            {
                let text = format!("its check needs {} s to find it down, and is no second opinion in time", (inter * fall).as_secs());
                tell("check_slow", Weight::Advice, text, "inter 1s fall 2 rise 2".to_owned());
            }
        } else {
            let text = "without `check` nothing but its agent's word proves it before it gets traffic again".to_owned();
            tell("check", Weight::Fault, text, "check inter 1s fall 2 rise 2".to_owned());
        }
        if server.value("slowstart").is_none() {
            let text = "a server that comes back cold gets its full share at once".to_owned();
            tell("slowstart", Weight::Advice, text, "slowstart 10s".to_owned());
        }
        if server.value("on-marked-down") == Some("shutdown-sessions") {
            let text = "whenever it is taken out, the requests that it is answering are cut".to_owned();
            tell("cuts_in_flight", Weight::Fault, text, "leave out `on-marked-down shutdown-sessions`".to_owned());
        }
        let limit = server.number("error-limit", ERROR_LIMIT);
        if server.value("observe").is_some() && limit.is_some_and(|limit| limit < ERROR_LIMIT) {
            let text =
                "so few errors in a row take it out, and one client that asks for something broken makes them on every server".to_owned();
            tell("observe", Weight::Fault, text, format!("leave out `observe`, or error-limit {ERROR_LIMIT}"));
        }
    }
}

/// What is wrong with the lever, if anything is.
fn agent_check(server: &Server<'_>, about: &str, port: u16) -> Option<String> {
    if server.value("track").is_some() {
        return None;
    }
    if !server.on("agent-check") {
        return Some("without `agent-check` the coordinator cannot take it out, nor keep it out over a reload".to_owned());
    }
    match server.value("agent-port").map(str::parse::<u16>) {
        None => return Some("its `agent-check` has no port, and is never asked".to_owned()),
        Some(Ok(other)) if other != port => {
            return Some(format!("its `agent-check` asks port {other}, and the coordinator answers on {port}"));
        }
        Some(Ok(_) | Err(_)) => {}
    }
    match server.value("agent-send") {
        // One line for many servers has one text for all of them.
        _ if server.template => Some("of a `server-template` all servers ask the coordinator for the same name".to_owned()),
        None => Some("its `agent-check` does not say which server it asks for".to_owned()),
        Some(said) if said.trim_end_matches('\n') != about || !said.ends_with('\n') => {
            Some(format!("its `agent-check` asks for {:?}, and the coordinator knows it as {:?}", said, format!("{about}\n")))
        }
        Some(_) => None,
    }
}

fn socket_level(running: &Running) -> Option<Finding> {
    (running.level != "admin").then(|| {
        let text = format!("over {} we are {:?}, who may not change a server", running.socket.display(), running.level);
        let change = format!("stats socket {} user root group haproxy-warden mode 660 level admin", running.socket.display());
        finding("socket_level", Weight::Fault, None, "", text, change)
    })
}

fn two_masters(running: &Running) -> Vec<Finding> {
    let told = |(address, sockets): (&String, &usize)| {
        let text =
            format!("{sockets} sockets listen on {address} and share its connections: what the other process answers is beyond our reach");
        let change = "end the HAProxy that systemd does not know: systemctl status haproxy, ss -ltnp".to_owned();
        finding("two_masters", Weight::Fault, None, "", text, change)
    };
    running.shared.iter().map(told).collect()
}

fn before_3(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major < 3)
}
