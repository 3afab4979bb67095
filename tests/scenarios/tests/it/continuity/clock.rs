//! The wall clock steps, forwards and backwards, under the agent: nothing is reckoned by it.
//!
//! The machines share this computer's clock, so it is the agent alone for which it steps: libfaketime stands between.

use super::{Agent, always, await_verdict, changes_nothing, is_up, nobody_noticed};
use crate::harness::under;
use anyhow::{Context, Result, ensure};
use warden_protocol::vocab::ServiceState;
use warden_scenarios::company::unit;
use warden_scenarios::timeline::now_micros;
use warden_scenarios::{Companion, Company, Judged, Mix, PutBack, Stand};

const CREW: [Companion; 3] = [
    // All of these would be over after two hours.
    Companion { name: "warming", keys: "warmup = \"1h\"", ..PLAIN },
    Companion { name: "parked", begins_with: Some(500), tables: "[service.restart]\nlimit = 1\ntrial_every = \"1h\"", ..PLAIN },
    Companion { name: "maintained", ..PLAIN },
];

const PLAIN: Companion = Companion { name: "", begins_with: None, unit: "", words: "", keys: "", beat: "", tables: "" };

const FOLDER: &str = "/run/warden-scenario-clock";

#[test]
fn lab_clock_steps() -> Result<()> {
    let stand = Stand::whole()?;
    let name = stand.nodes()[0].clone();
    let node = stand.node(&name)?;
    let mut from = 0;
    let seen = under(Mix::steady(), |stand, _| {
        let company = Company::gather(stand, &name, &CREW)?;
        await_verdict(stand, &name, &unit("maintained"), ServiceState::Serving, |_| true)?;
        company.shell(&format!("systemctl restart {}; agentctl maintenance on {} --for 90m", unit("warming"), unit("maintained")))?;
        for (member, state) in
            [("warming", ServiceState::Warming), ("parked", ServiceState::Parked), ("maintained", ServiceState::Maintenance)]
        {
            await_verdict(stand, &name, &unit(member), state, |_| true)?;
        }
        // Unpacked, not installed: it goes with its folder.
        let drop_in = "/run/systemd/system/warden-agent.service.d/90-scenario-clock.conf";
        let away = format!(
            "rm -rf {drop_in} {FOLDER}; rmdir --ignore-fail-on-non-empty \"$(dirname {drop_in})\"; \
             systemctl daemon-reload; systemctl restart warden-agent"
        );
        let _as_it_was = PutBack::by(&node, away);
        company.shell(&format!("mkdir -p {FOLDER} && dpkg-deb -x /opt/warden-lab-packages/libfaketime_*.deb {FOLDER}"))?;
        let library = company.shell(&format!("ls {FOLDER}/usr/lib/*/faketime/libfaketimeMT.so.1"))?;
        let clock = format!("{FOLDER}/clock");
        company.write(&clock, "+0\n")?;
        let settings = format!(
            "LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={clock} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1"
        );
        company.write(drop_in, &format!("[Service]\nEnvironment={settings}\n"))?;
        from = now_micros();
        let restarted = |what: &str| {
            let command = "systemctl daemon-reload && systemctl restart warden-agent";
            changes_nothing(stand, &name, what, Agent::Replaced, || company.shell(command).map(drop))
        };
        restarted("a clock of its own")?;
        let maps = company.shell("cat /proc/$(systemctl show --value --property=MainPID warden-agent)/maps")?;
        ensure!(maps.contains(&library), "the agent's clock cannot be stepped");

        let step = |to: i64| -> Result<()> {
            company.write(&clock, &format!("{to:+}\n"))?;
            let shown = company.shell(&format!("echo $(( $(env {settings} date +%s) - $(date +%s) ))"))?.parse::<i64>()?;
            ensure!((to - 2..=to + 2).contains(&shown), "the clock was stepped by {shown} s");
            Ok(())
        };
        let steps = |what: &str, to: i64| changes_nothing(stand, &name, what, Agent::Same, || step(to));
        steps("a step of the clock by two hours", 7_200)?;
        restarted("a restart of the agent after the step")?;
        steps("a step of the clock back by two hours", 0)?;
        restarted("a restart of the agent after the step back")?;
        // Before anything that has a date on it: a certificate is not good yet then, and the agent may be on its own.
        let before = Judged::by(stand, &name)?;
        step(-100 * 86_400)?;
        company.shell("systemctl restart warden-agent")?;
        always(
            stand,
            |now: &Judged| {
                now.same_as(&before)?;
                is_up(stand, &name)
            },
            |stand| Judged::by(stand, &name),
            |now| {
                ensure!(now.began.after(before.began), "the agent is not back yet");
                now.judges_on_after(&before)
            },
        )
        .context("a restart of the agent long ago")?;
        steps("the right time again", 0)?;
        Ok(now_micros())
    })?;
    nobody_noticed(&seen, from, seen.value, &[])
}
