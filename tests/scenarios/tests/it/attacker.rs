//! Somebody who means harm: another machine on the nodes' network, a node that was taken over, a user of a machine, a client whose
//! text ends up in logs. Whatever they try, nobody is moved, nobody is restarted, and clients see nothing.

use crate::harness::{Seen, under};
use anyhow::{Context, Result, ensure};
use warden_lab::Node;
use warden_protocol::vocab::ServiceState;
use warden_scenarios::company::{DOOM, unit};
use warden_scenarios::stand::{BALANCER, PATIENCE, UNIT};
use warden_scenarios::{Companion, Company, Judged, Mix, PutBack, Stand};

/// Not one of the machines that have business with the coordinator.
const ELSEWHERE: &str = "db-1";

/// Where a stolen key lies.
const LOOT: &str = "/run/chaos-loot";

/// Every node has the process and the traffic that it had.
fn nothing_came_of_it<T>(seen: &Seen<T>) -> Result<()> {
    let moved = seen.timeline.0.iter().find(|record| matches!(record.field("WARDEN_EVENT"), "out" | "back" | "traffic_ended"));
    ensure!(moved.is_none(), "somebody was moved:\n{}", seen.timeline);
    let restarted = seen.timeline.0.iter().find(|record| record.field("WARDEN_STATE_TO") == "restarting");
    ensure!(restarted.is_none(), "somebody was restarted:\n{}", seen.timeline);
    seen.nothing_failed()
}

/// curl's status for a request to the coordinator's port for agents, and what it was told; 000: no HTTP came about.
fn ask(from: &Node, credentials: &str, words: &str) -> Result<(String, String)> {
    let command = format!("curl -s -m 10 -w '\\n%{{http_code}}' --path-as-is {credentials} {words}");
    let out = from.exec(&["sh", "-c", &command])?.stdout;
    let (body, status) = out.rsplit_once('\n').context("curl says a status")?;
    Ok((status.trim().to_owned(), body.to_owned()))
}

/// From a machine of the network, without a certificate, with one of one's own making, and with one that was stolen.
#[test]
fn lab_attacker_on_the_network() -> Result<()> {
    let stand = Stand::whole()?;
    let (victim, thief) = (stand.nodes()[0].clone(), stand.nodes()[1].clone());
    let elsewhere = stand.node(ELSEWHERE)?;
    let loot = PutBack::by(&elsewhere, format!("rm -rf {LOOT}"));
    elsewhere.run(&["sh", "-c", &format!("umask 077; mkdir -p {LOOT}")])?;
    let taken = stand.node(&thief)?;
    for (file, from) in [("ca.pem", "ca.pem"), ("stolen.pem", "node.pem"), ("stolen.key", "node.key")] {
        let text = taken.run(&["cat", &format!("/etc/warden/tls/{from}")])?;
        elsewhere.exec_with_input(&format!("{text}\n"), &["tee", &format!("{LOOT}/{file}")])?.text()?;
    }
    let own = format!(
        "cd {LOOT} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out own.pem -days 2 \
         -subj /CN={victim} -addext subjectAltName=DNS:{victim} 2>&1"
    );
    elsewhere.run(&["sh", "-c", &own])?;
    let seen = under(Mix::steady(), |stand, _| {
        let invocation = stand.invocation(&victim, UNIT)?;
        let report = format!("https://{BALANCER}:7443/v1/nodes/{victim}/report");
        let trusting = format!("--cacert {LOOT}/ca.pem");
        for nobody in [trusting.clone(), format!("{trusting} --cert {LOOT}/own.pem --key {LOOT}/own.key")] {
            for words in [format!("-T /etc/hostname {report}"), format!("https://{BALANCER}:7443/v1/fleet")] {
                let (status, body) = ask(&elsewhere, &nobody, &words)?;
                ensure!(status == "000", "{words}: {status} {body}");
            }
        }
        // Its own name is all that a node's certificate is good for; what else a name may be made to look like does not help.
        let stolen = format!("{trusting} --cert {LOOT}/stolen.pem --key {LOOT}/stolen.key");
        let at = |path: &str| format!("https://{BALANCER}:7443{path}");
        let tricks = [
            (format!("-T /etc/hostname {report}"), "403"),
            (at("/v1/fleet"), "403"),
            (format!("-X POST -d '{{}}' {}", at("/v1/fleet/pause")), "403"),
            (format!("-X POST -d '{{}}' {}", at(&format!("/v1/servers/{victim}/drain"))), "403"),
            (format!("-T /etc/hostname {}", at(&format!("/v1/nodes/{thief}%2f..%2f{victim}/report"))), "40"),
            (format!("-T /etc/hostname {}", at(&format!("/v1/nodes/{thief}/../{victim}/report"))), "40"),
            (format!("-T /etc/hostname {}", at(&format!("/v1/nodes/{thief}%00/report"))), "40"),
            (at("/v1/../../../../etc/shadow"), "40"),
            // It may speak for itself; nonsense is refused with a sentence.
            (format!("-T /etc/hostname {}", at(&format!("/v1/nodes/{thief}/report"))), "400"),
        ];
        for (words, wanted) in tricks {
            let (status, body) = ask(&elsewhere, &stolen, &words)?;
            ensure!(status.starts_with(wanted), "{words}: {status} {body}");
            ensure!(!body.contains("root:"), "{words}: {body}");
        }
        for path in ["/../../etc/shadow", "/v1/nodes/x/report", "/%2e%2e/%2e%2e/etc/shadow"] {
            let (status, body) = ask(&elsewhere, "", &format!("http://{BALANCER}:7480{path}"))?;
            ensure!(status.starts_with("40") && !body.contains("root:"), "{path}: {status} {body}");
        }
        stand.await_whole()?;
        ensure!(stand.invocation(&victim, UNIT)? == invocation, "{victim}'s bingo was restarted");
        Ok(())
    })?;
    drop(loot);
    let denied = seen.timeline.0.iter().any(|record| record.field("WARDEN_EVENT") == "report_denied");
    ensure!(denied, "nobody was told of the stolen certificate:\n{}", seen.timeline);
    nothing_came_of_it(&seen)
}

/// A user of a node: outside of the group nothing answers; in it one may ask and not act; names lead nowhere.
#[test]
fn lab_attacker_on_a_node() -> Result<()> {
    let name = Stand::whole()?.nodes()[0].clone();
    let seen = under(Mix::steady(), |stand, _| {
        let as_user = |machine: &str, group: &str, words: &[&str]| {
            let who = ["setpriv", "--reuid=nobody", "--clear-groups", group];
            stand.node(machine)?.exec(&[&who[..], words].concat())
        };
        let (outside, inside) = ("--regid=nogroup", "--regid=warden");
        for (machine, ask, act) in [
            (name.as_str(), ["agentctl", "status", "--json"], &["agentctl", "drain", UNIT, "--reason", "mine"][..]),
            (BALANCER, ["agentctl", "fleet", "status"], &["agentctl", "fleet", "pause", "--reason", "mine"][..]),
        ] {
            let out = as_user(machine, outside, &ask)?;
            ensure!(!out.ok() && out.stdout.is_empty() && out.stderr.contains("group"), "{machine}: {}{}", out.stdout, out.stderr);
            let out = as_user(machine, inside, &ask)?;
            ensure!(out.ok(), "{machine}: who is in the group may ask: {}", out.stderr);
            for group in [outside, inside] {
                let out = as_user(machine, group, act)?;
                ensure!(!out.ok() && out.stderr.contains("group"), "{machine}, {group}: {}{}", out.stdout, out.stderr);
            }
        }
        for id in ["../../../../etc/shadow", "..%2f..%2fstate.json", "/etc/shadow", "x\ny", ""] {
            let out = stand.node(&name)?.exec(&["agentctl", "incident", "show", id])?;
            ensure!(!out.ok() && !out.stdout.contains("root:"), "incident show {id:?}: {}", out.stdout);
        }
        for unit in ["../bingo.service", "bingo.service;reboot", "bingo.service\nx", "-f"] {
            for machine in [name.as_str(), BALANCER] {
                let act = if machine == BALANCER { ["agentctl", "fleet", "drain"] } else { ["agentctl", "restart", "--now"] };
                let out = stand.node(machine)?.exec(&[&act[..], &["--", unit]].concat())?;
                ensure!(!out.ok() && !out.stderr.is_empty(), "{machine}: {act:?} {unit:?}: {}", out.stdout);
            }
        }
        Ok(())
    })?;
    nothing_came_of_it(&seen)
}

/// What looks like a verdict, or like a record of Warden's, and was written by somebody else.
#[test]
fn lab_attacker_writes_into_logs() -> Result<()> {
    let name = Stand::whole()?.nodes()[0].clone();
    let seen = under(Mix::steady(), |stand, _| {
        let node = stand.node(&name)?;
        let before = Judged::by(stand, &name)?;
        let there = || -> Result<usize> {
            let text = node.run(&["journalctl", "-q", "-b", "-o", "cat", "--no-pager", "WARDEN_EVENT=forged_by_somebody"])?;
            Ok(text.lines().count())
        };
        // An earlier run's may be in the journal as well.
        let forged_before = there()?;
        let client = stand.node(ELSEWHERE)?;
        // A client's text, in everything that bingo might log.
        for words in [
            "http://lb-1/We%20all%20gonna%20die",
            "http://lb-1/%0aWe%20all%20gonna%20die%0a",
            "-H 'User-Agent: We all gonna die' http://lb-1/",
            "-H 'Referer: We all gonna die' -d '{\"operation\": \"\\nWe all gonna die\\n\"}' http://lb-1/operation",
        ] {
            client.exec(&["sh", "-c", &format!("for i in $(seq 6); do curl -s -o /dev/null -m 5 {words}; done")])?;
        }
        // A user's own records, with every field that a user may set.
        let forged = "for unit in bingo.service warden-agent.service; do \
             printf 'MESSAGE=We all gonna die\\nUNIT=%s\\nOBJECT_SYSTEMD_UNIT=%s\\nSYSLOG_IDENTIFIER=bingo\\nWARDEN_UNIT=bingo.service\\n\
             WARDEN_EVENT=forged_by_somebody\\nWARDEN_STATE_TO=sick\\nWARDEN_INCIDENT=20260101T000000-forged\\n\
             MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5\\nPRIORITY=2\\n' $unit $unit | logger --journald; done; \
             echo 'We all gonna die' | systemd-cat -t bingo; logger -t bingo 'We all gonna die'; \
             logger -t warden-agent 'bingo.service is sick: We all gonna die'";
        let out = node.exec(&["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh", "-c", forged])?;
        ensure!(out.ok(), "{}", out.stderr);
        node.run(&["journalctl", "--sync"])?;
        ensure!(there()? == forged_before + 2, "what was forged is not in the journal");
        // Judging has gone on since, and is what it was.
        stand.wait(PATIENCE, |stand| Judged::by(stand, &name)?.goes_on_after(&before))?;
        Judged::by(stand, &name)?.of(UNIT)?.same_as(before.of(UNIT)?)?;
        let events = node.exec(&["agentctl", "events", "--since", "10m"])?.stdout;
        ensure!(!events.contains("forged"), "agentctl events tells what somebody else wrote:\n{events}");
        Ok(())
    })?;
    nothing_came_of_it(&seen)
}

/// A service that logs what makes terminals do things: wherever `agentctl` prints it, it is shown and not obeyed.
#[test]
fn lab_attacker_writes_to_terminals() -> Result<()> {
    const PLAIN: Companion = Companion { name: "", begins_with: None, unit: "", words: "", keys: "", beat: "", tables: "" };
    let stand = Stand::whole()?;
    let name = stand.nodes()[0].clone();
    let company = Company::gather(&stand, &name, &[Companion { name: "talker", begins_with: Some(200), ..PLAIN }])?;
    let talker = unit("talker");
    let serves = |restarts: u64| {
        stand.wait(PATIENCE, |stand| {
            let verdict = Judged::by(stand, &name)?.of(&talker)?.clone();
            ensure!(verdict.state == ServiceState::Serving && verdict.restarts.0 == restarts, "{verdict}");
            Ok(())
        })
    };
    serves(0)?;
    // A title, a colour, a cleared screen, a line above, an answer asked for; the same in eight bits; text that reads backwards. journald
    // keeps what has control characters as a blob, and tells its length; the other line is there as it was written.
    let escapes = "\u{1b}]0;title\u{7} \u{1b}[31mred\u{1b}[2J\u{1b}[1A\u{1b}[5n \u{9b}31m \r\u{8}\u{8}";
    company.says("talker", &format!("before {escapes} after"))?;
    company.says("talker", "owned \u{202e}txet")?;
    company.answers("talker", 500)?;
    company.says("talker", DOOM)?;
    serves(1)?;
    let node = stand.node(&name)?;
    let id = {
        let text = node.run(&["agentctl", "incident", "list", "--json"])?;
        let list: serde_json::Value = serde_json::from_str(&text)?;
        let all = list.as_array().or_else(|| list.get("incidents").and_then(|all| all.as_array())).context("a list of incidents")?;
        let its = all.iter().find(|one| one.get("unit").and_then(|unit| unit.as_str()) == Some(&talker)).context("its incident")?;
        its.get("id").and_then(|id| id.as_str()).context("its id")?.to_owned()
    };
    // What the journal had is the last of it that is kept.
    let kept = |text: &str| text.contains("owned") && text.contains("blob data");
    stand.wait(PATIENCE, |_| {
        let shown = node.exec(&["agentctl", "incident", "show", &id])?.stdout;
        ensure!(kept(&shown), "incident {id} has no lines of the journal yet:\n{}", shown.escape_debug());
        Ok(())
    })?;
    for words in [
        vec!["incident", "show", &id],
        vec!["incident", "show", &id, "--json"],
        vec!["events", "--since", "10m"],
        vec!["events", "--since", "10m", "--json"],
        vec!["status"],
        vec!["explain", &talker],
    ] {
        let out = node.exec(&[&["agentctl"][..], &words].concat())?;
        let text = format!("{}{}", out.stdout, out.stderr);
        let obeyed = text.chars().find(|char| char.is_control() && *char != '\n' || matches!(char, '\u{202a}'..='\u{202e}'));
        ensure!(obeyed.is_none(), "agentctl {words:?} prints {obeyed:?}:\n{}", text.escape_debug());
    }
    Ok(())
}
