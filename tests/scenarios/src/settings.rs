//! How fast bingo starts and how long its warm-up is, changed on one node for a while.

use crate::stand::Stand;
use anyhow::Result;

/// The files that are changed, and put back.
const AGENT: &str = "/etc/warden/agent.d/50-bingo.toml";
const BINGO: &str = "/etc/bingo-standin.env";

/// When bingo dies by itself.
const DIES_AT: &str = "BINGO_STANDIN_FAILURE_AFTER";

/// An address that the lab's switch swallows: the start-up request blocks for 30 s, as it does in the world.
const SWALLOWED: &str = "http://198.19.8.8/";

/// An address that refuses at once: the start takes about a second.
const REFUSED: &str = "http://127.0.0.1:9/";

/// What to set.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// The warm-up, as the configuration writes it.
    pub warmup: &'static str,
    /// True: the process itself takes 30 s until it listens.
    pub slow_start: bool,
    /// True: as many restarts as wanted, and none of them waits because of those before.
    pub restarts_at_will: bool,
}

/// A node with other settings; what was before is put back when this is dropped.
pub struct Settings<'s> {
    stand: &'s Stand,
    node: String,
}

impl<'s> Settings<'s> {
    /// Sets them and restarts the agent. The start-up address takes effect when bingo next starts.
    ///
    /// # Errors
    /// When a file cannot be changed, or the stand does not become whole again; what was changed is put back.
    pub fn apply(stand: &'s Stand, node: &str, speed: Speed) -> Result<Self> {
        let settings = Self { stand, node: node.to_owned() };
        for file in [AGENT, BINGO] {
            // A copy that an earlier run left behind is the true one.
            settings.run(&format!("[ -e {file}.before ] || cp -p {file} {file}.before"))?;
        }
        let warmup = speed.warmup;
        settings.run(&format!(
            "sed -i 's/^warmup .*/warmup = \"{warmup}\"/; s/^probe_during_warmup .*/probe_during_warmup = false/' {AGENT}"
        ))?;
        if speed.restarts_at_will {
            settings.run(&format!("sed -i 's/^limit .*/limit = 1000/; s/^forget_after .*/forget_after = \"1ms\"/' {AGENT}"))?;
            // Nor is anybody restarted by plan, or dies of age, in between.
            settings.run(&format!("sed -i '/^max_age /d' {AGENT}"))?;
            settings.run(&format!("sed -i '/^{DIES_AT}=/d' {BINGO} && echo {DIES_AT}=off >>{BINGO}"))?;
            // Who fails on purpose, again and again, need not show more good probes each time.
            settings.run(&format!("sed -i '/^warmup /a flap_half_life = \"0s\"' {AGENT}"))?;
        }
        let url = if speed.slow_start { SWALLOWED } else { REFUSED };
        settings.run(&format!("sed -i 's|^BINGO_STANDIN_STARTUP_URL=.*|BINGO_STANDIN_STARTUP_URL={url}|' {BINGO}"))?;
        settings.run("systemctl restart warden-agent")?;
        stand.await_whole()?;
        Ok(settings)
    }

    fn run(&self, command: &str) -> Result<String> {
        self.stand.node(&self.node)?.run(&["sh", "-c", command])
    }
}

impl Drop for Settings<'_> {
    #[expect(clippy::print_stderr, reason = "a destructor can only say it")]
    fn drop(&mut self) {
        for command in
            [format!("mv {AGENT}.before {AGENT}"), format!("mv {BINGO}.before {BINGO}"), "systemctl restart warden-agent".to_owned()]
        {
            if let Err(error) = self.run(&command) {
                eprintln!("{}: settings could not be put back: {error:#}", self.node);
            }
        }
    }
}
