//! Live traffic sees what a probe does not.

use crate::harness::under;
use anyhow::{Context, Result, ensure};
use warden_protocol::vocab::{Confirmed, ServiceState};
use warden_scenarios::stand::{PATIENCE, UNIT};
use warden_scenarios::{Judgement, Mix, PutBack, Stand};

/// Asks whether it answers, and nothing else: neither its log nor its database.
const ANSWER_ALONE: &str = "timeout = \"2s\"\nexpect = { status = 200, body = \"pong\" }\nevery = \"500ms\"\nevery_in_doubt = \"250ms\"\n\
                            failures = 3\nsuccesses = 2\n";

/// One node loses its database, and its probe does not ask for that: its own requests fail, HAProxy's retries hide it, and the agent is
/// told. It looks more closely and restarts nothing; two differ, and that is shown until it is over.
#[test]
fn lab_witness() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.nodes()[0].clone();
    let _judgement = Judgement::apply(&stand, &node, ANSWER_ALONE)?;
    let before = stand.invocation(&node, UNIT)?;
    let database = stand.node("db-1")?.address();
    under(Mix::steady(), |stand, _| {
        let machine = stand.node(&node)?;
        let cut = PutBack::by(&machine, "nft delete table inet witness 2>/dev/null || true");
        let rules = format!(
            "table inet witness {{\n chain out {{\n type filter hook output priority filter\n ip daddr {database} tcp dport 5432 reject with tcp reset\n }}\n}}\n"
        );
        let out = machine.exec_with_input(&rules, &["nft", "-f", "-"])?;
        ensure!(out.status.success(), "nft: {}", out.stderr.trim());
        stand.wait(PATIENCE, |stand| {
            let service = stand.service(&node)?;
            ensure!(service.reason.label == "witness", "{node} is {}: {}", service.state, service.reason.text);
            ensure!(service.state == ServiceState::Suspect, "{node} is {}", service.state);
            let server = stand.server(&node)?;
            let note = server.note.context("nothing is noted on it")?;
            ensure!(note.label == "disagreement", "{}: {}", note.label, note.text);
            ensure!(server.traffic.confirmed == Confirmed::In, "it was taken out for it");
            Ok(())
        })?;
        drop(cut);
        stand.wait(PATIENCE, |stand| {
            ensure!(stand.server(&node)?.note.is_none(), "two still differ");
            let service = stand.service(&node)?;
            ensure!(service.state == ServiceState::Serving, "{node} is {}: {}", service.state, service.reason.text);
            Ok(())
        })
    })?;
    ensure!(stand.invocation(&node, UNIT)? == before, "it was restarted for what its database did");
    Ok(())
}
