//! A wrong configuration is refused with everything a person needs, and the service does not notice.

use anyhow::{Result, ensure};
use warden_scenarios::stand::{PATIENCE, UNIT};
use warden_scenarios::{PutBack, Stand};

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

/// More services than fit into one notification to systemd: the agent begins, is reloaded, and says how they stand.
#[test]
fn lab_an_agent_of_a_hundred_services_begins_and_is_reloaded() -> Result<()> {
    const SERVICES: usize = 100;
    const FILE: &str = "/run/warden/agent.d/70-many.toml";
    let stand = Stand::whole()?;
    let name = &stand.nodes()[0];
    let node = stand.node(name)?;
    let units: Vec<_> = (1..=SERVICES).map(|number| format!("many@{number}.service")).collect();
    let back = PutBack::by(
        &node,
        format!(
            "rm -f {FILE}; systemctl restart warden-agent; warden-agent polkit --install >/dev/null; systemctl stop 'many@*.service'; \
             rm -f /run/systemd/system/many@.service; systemctl daemon-reload"
        ),
    );
    node.exec_with_input("[Service]\nExecStart=/bin/sleep infinity\n", &["sh", "-c", "cat >/run/systemd/system/many@.service"])?.text()?;
    node.run(&["systemctl", "daemon-reload"])?;
    node.run(&[&["systemctl", "start"][..], &units.iter().map(String::as_str).collect::<Vec<_>>()].concat())?;
    // Answered by nobody: none of them comes to serve, so each has something to say.
    let text: String = units
        .iter()
        .map(|unit| format!("[[service]]\nunit = \"{unit}\"\nmode = \"shadow\"\n[service.probe.ping]\ntcp = \"127.0.0.1:9\"\n"))
        .collect();
    node.exec_with_input(&text, &["sh", "-c", &format!("cat >{FILE} && chmod 644 {FILE}")])?.text()?;
    // Both wait until systemd was told that it is done.
    let restarted = node.exec(&["systemctl", "restart", "warden-agent"])?;
    let reloaded = node.exec(&["systemctl", "reload", "warden-agent"])?;
    let said = stand.wait(PATIENCE, |stand| {
        let said = stand.node(name)?.property("warden-agent.service", "StatusText")?;
        ensure!(said.starts_with(&format!("1 of {} services serve; many@", SERVICES + 1)), "the agent says {said:?}");
        Ok(())
    });
    back.now()?;
    stand.await_whole()?;
    ensure!(restarted.status.success(), "systemctl restart: {}", restarted.stderr);
    ensure!(reloaded.status.success(), "systemctl reload: {}", reloaded.stderr);
    said
}
