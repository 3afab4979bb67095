//! A wrong configuration is refused with everything a person needs, and the service does not notice.

use anyhow::{Result, ensure};
use warden_scenarios::Stand;
use warden_scenarios::stand::{PATIENCE, UNIT};

/// A file with one of each: unknown key, length of time without a unit, wrong type, a unit that does not exist.
const WRONG: &str = "[[service]]\nunit = \"nothing.service\"\nbackend = \"bingo\"\nwarm_up = \"30s\"\nprove_within = 60\n\n[service.probe.ping]\nhttp = 5\n";

#[test]
fn lab_wrong_configuration_is_refused() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[0].clone();
    let node = stand.node(&name)?;
    let before = stand.invocation(&name, UNIT)?;
    let file = "/etc/warden/agent.d/90-wrong.toml";
    node.exec_with_input(WRONG, &["sh", "-c", &format!("cat > {file}")])?;

    let check = node.exec(&["warden-agent", "check"])?;
    // A reload refuses the whole of it and goes on; a restart cannot, and says so once instead of trying for ever.
    let reload = node.exec(&["systemctl", "reload", "warden-agent"])?;
    let after_reload = node.run(&["systemctl", "is-active", "warden-agent"]);
    let running = stand.service(&name);
    let restart = node.exec(&["systemctl", "restart", "warden-agent"])?;
    let refused = stand.wait(PATIENCE, |stand| {
        let code = stand.node(&name)?.property("warden-agent.service", "ExecMainStatus")?;
        let state = stand.node(&name)?.property("warden-agent.service", "ActiveState")?;
        ensure!(state == "failed" && code == "64", "the agent is {state}, exit code {code}");
        Ok(())
    });
    let status = stand.haproxy_status(&name)?;
    let journal = node.run(&["journalctl", "-u", "warden-agent", "-n", "50", "-o", "cat", "--no-pager"])?;

    node.run(&["rm", file])?;
    node.run(&["systemctl", "restart", "warden-agent"])?;
    stand.await_whole()?;

    ensure!(check.status.code() == Some(64), "check: exit code {:?}\n{}{}", check.status.code(), check.stdout, check.stderr);
    let said = check.stdout + &check.stderr;
    for part in [
        format!("{file}:4:1: unknown key `warm_up` in [[service]]; did you mean `warmup`?"),
        format!("{file}:5:16: `prove_within` is 60 without a unit; write \"60s\""),
        format!("{file}:8:8: `http` must be text in quotes"),
    ] {
        ensure!(said.contains(&part), "check does not say {part:?}:\n{said}");
    }
    ensure!(after_reload? == "active" && running.is_ok(), "the reload of a wrong configuration ended the agent: {}", reload.stderr);
    ensure!(restart.status.code() != Some(0), "systemd says that the agent started");
    refused?;
    ensure!(journal.contains("90-wrong.toml:4:1"), "the journal does not name the fault:\n{journal}");
    ensure!(status.starts_with("UP"), "HAProxy says {status}");
    ensure!(stand.invocation(&name, UNIT)? == before, "the service was touched");
    Ok(())
}

/// What only systemd and the file system know: a unit that does not exist, a file that cannot be read.
#[test]
fn lab_what_is_missing_is_named() -> Result<()> {
    let stand = Stand::whole()?;
    let node = stand.node(&stand.nodes()[0])?;
    let dir = node.run(&["mktemp", "-d"])?;
    let text = "[[service]]\nunit = \"nothing.service\"\nbackend = \"bingo\"\n[service.probe.ping]\nhttp = \"http://127.0.0.1:9/ping\"\n";
    node.exec_with_input(text, &["sh", "-c", &format!("cat > {dir}/10-a.toml && chmod -R a+rX {dir}")])?;
    let unit = node.exec(&["warden-agent", "check", "--config", &dir])?;
    node.run(&["chmod", "0", &format!("{dir}/10-a.toml")])?;
    let unreadable = node.exec(&["runuser", "-u", "warden-agent", "--", "warden-agent", "check", "--config", &dir])?;
    node.run(&["rm", "-r", &dir])?;

    let said = unit.stdout + &unit.stderr;
    ensure!(unit.status.code() == Some(64) && said.contains("nothing.service"), "exit code {:?}: {said}", unit.status.code());
    ensure!(said.contains(&format!("{dir}/10-a.toml:2")), "the line is not named: {said}");
    let said = unreadable.stdout + &unreadable.stderr;
    ensure!(unreadable.status.code() == Some(64), "exit code {:?}: {said}", unreadable.status.code());
    ensure!(said.contains("10-a.toml: cannot be read") && said.contains("let this program's user read it"), "{said}");
    Ok(())
}
