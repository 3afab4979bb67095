//! journald is started again, throws away what it has, or is stuck. The agent goes on reading where it was, and is held up by nobody.

use super::{Agent, await_verdict, changes_nothing, goes_on, nobody_noticed};
use crate::harness::under;
use anyhow::{Result, ensure};
use warden_protocol::vocab::ServiceState;
use warden_scenarios::company::{DOOM, unit};
use warden_scenarios::stand::PATIENCE;
use warden_scenarios::timeline::now_micros;
use warden_scenarios::{Companion, Company, Judged, Mix, PutBack, Stand};

const CREW: [Companion; 3] = [
    // Says fatal lines that no probe confirms.
    Companion { name: "talker", ..PLAIN },
    Companion { name: "well", ..PLAIN },
    Companion { name: "failing", begins_with: Some(200), ..PLAIN },
];

const PLAIN: Companion = Companion { name: "", begins_with: None, unit: "", words: "", keys: "", beat: "", tables: "" };

const JOURNALD: &str = "systemd-journald.service";

const CONTINUE: &str = "systemctl kill --signal=CONT --kill-whom=main systemd-journald.service";

#[test]
fn lab_journal_restarted_vacuumed_and_stuck() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[1].clone();
    let node = stand.node(&name)?;
    let (talker, failing) = (unit("talker"), unit("failing"));
    let mut from = 0;
    let seen = under(Mix::steady(), |stand, _| {
        let company = Company::gather(stand, &name, &CREW)?;
        for member in &CREW {
            await_verdict(stand, &name, &unit(member.name), ServiceState::Serving, |_| true)?;
        }
        from = now_micros();
        let shell = |command: &str| node.run(&["sh", "-c", command]).map(drop);
        // A line is found, judged and dismissed, and all of that is in the journal.
        let is_read = |count: u64| -> Result<()> {
            company.says("talker", DOOM)?;
            heard(stand, &name, &talker, count)
        };
        is_read(1)?;
        changes_nothing(stand, &name, "a restart of journald", Agent::Same, || shell("systemctl restart systemd-journald"))?;
        is_read(2)?;
        let vacuum = "journalctl --sync && journalctl --rotate --vacuum-size=1K && journalctl --rotate --vacuum-time=1us";
        changes_nothing(stand, &name, "a vacuum of the journal", Agent::Same, || shell(vacuum))?;
        is_read(3)?;
        // What the agent has read last is gone when it comes back.
        let away =
            "systemctl stop warden-agent && journalctl --sync && journalctl --rotate --vacuum-time=1us && systemctl start warden-agent";
        changes_nothing(stand, &name, "a vacuum of the journal while the agent was away", Agent::Replaced, || shell(away))?;
        is_read(4)?;

        let goes_on_again = PutBack::by(&node, CONTINUE);
        node.pause(JOURNALD)?;
        let before = Judged::by(stand, &name)?;
        // More records than any socket's queue holds: each order that is refused is one.
        let many = format!(
            "curl -sS --fail-early -o /dev/null --unix-socket /run/warden/agent.sock -d '{{}}' 'http://agent/v1/services/{}/undrain?[1-1500]'",
            unit("well")
        );
        shell(&many)?;
        goes_on(stand, &name, &before, Agent::Same)?;
        company.says("talker", DOOM)?;
        // It is seen, restarted and seen again without a journal.
        company.answers("failing", 500)?;
        let mended = await_verdict(stand, &name, &failing, ServiceState::Serving, |verdict| verdict.restarts.0 == 1)?;
        ensure!(mended.restarts == (1, 0, 1), "{mended}");
        drop(goes_on_again);
        // What was said meanwhile is not lost, and what is said now is heard.
        heard(stand, &name, &talker, 5)?;
        is_read(6)?;

        let goes_on_again = PutBack::by(&node, CONTINUE);
        node.pause(JOURNALD)?;
        shell(&many)?;
        let stuck = "a restart of the agent while journald is stuck";
        changes_nothing(stand, &name, stuck, Agent::Replaced, || shell("systemctl restart warden-agent"))?;
        drop(goes_on_again);
        is_read(7)?;
        Ok(now_micros())
    })?;
    nobody_noticed(&seen, from, seen.value, &[talker, failing])
}

/// The agent has dismissed so many lines in all, and the last of it is in its journal.
fn heard(stand: &Stand, node: &str, unit: &str, count: u64) -> Result<()> {
    let verdict = await_verdict(stand, node, unit, ServiceState::Serving, |verdict| verdict.dismissed >= count)?;
    ensure!(verdict.dismissed == count && verdict.restarts == (0, 0, 0), "{verdict}");
    let unit_is = format!("WARDEN_UNIT={unit}");
    let asked = ["journalctl", "-o", "json", "--no-pager", "-n", "1", "-u", "warden-agent.service", "WARDEN_EVENT=state_changed", &unit_is];
    stand.wait(PATIENCE, |stand| {
        let text = stand.node(node)?.run(&asked)?;
        let record: serde_json::Value = serde_json::from_str(&text)?;
        let field = |name: &str| record.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let since = field("WARDEN_SINCE_USEC").parse::<u64>()?;
        ensure!(field("WARDEN_STATE_TO") == "serving" && verdict.since.may_be_micros(since), "the agent's last word: {text}");
        Ok(())
    })
}
