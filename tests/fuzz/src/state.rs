//! A saved machine: refused, or resumed into one that goes on and can be saved again.

use warden_logic::moment::{Moment, Span};
use warden_logic::service::Machine;
use warden_logic::service::Saved;
use warden_logic::service::input::Input;
use warden_logic::service::input::Means;
use warden_logic::service::policy::{Mode, PatternPolicy, Policy, ProbePolicy, RecyclePolicy, RestartPolicy, Stop, StopPolicy};

/// Reads the bytes as a saved machine, resumes it in another policy, and lets its timers run.
pub fn run(bytes: &[u8]) {
    let Ok(saved) = serde_json::from_slice::<Saved>(bytes) else { return };
    for saved in [saved.clone().after_reboot(), saved] {
        let mut now = saved.at.plus(Span::from_secs(1));
        let mut machine = Machine::resume(policy(), now, saved);
        for roll in 0..50 {
            let _ = machine.view(now);
            let Some(wake) = machine.next_wake() else { break };
            now = wake.max(now);
            // What could not come within ten years is not waited for.
            if now > Moment::default().plus(Span::from_secs(10 * 365 * 86_400)) {
                break;
            }
            let _ = machine.handle(now, roll, Input::Timer);
            assert!(machine.next_wake().is_none_or(|next| next > now), "a timer that does not advance: {:?}", machine.view(now));
        }
        let text = serde_json::to_vec(&machine.save(now)).unwrap_or_default();
        assert!(serde_json::from_slice::<Saved>(&text).is_ok(), "what was saved cannot be read: {}", String::from_utf8_lossy(&text));
    }
}

/// One of everything.
#[must_use]
pub fn policy() -> Policy {
    let probe = ProbePolicy {
        every: Span::from_secs(1),
        every_in_doubt: Span::from_millis(250),
        timeout: Span::from_secs(2),
        failures: 3,
        of: 3,
        successes: 2,
    };
    Policy {
        mode: Mode::Supervise,
        warmup: Span::from_secs(30),
        probe_during_warmup: false,
        prove_within: Span::from_secs(60),
        probes: vec![probe],
        patterns: vec![PatternPolicy { means: Means::Fatal, count: 1, window: Span::from_secs(60) }],
        depends: vec![probe],
        recycle: RecyclePolicy { max_age: Some(Span::from_secs(1080)), max_age_jitter: Span::from_secs(120), above: Some(120 << 20) },
        flap_half_life: Span::from_secs(600),
        stop: StopPolicy { how: Stop::Graceful, kill_after: Span::from_secs(10), drain: Span::from_secs(30) },
        restart: RestartPolicy {
            first_delay: Span::ZERO,
            delay: Span::from_secs(1),
            max_delay: Span::from_secs(60),
            forget_after: Span::from_secs(600),
            limit: 5,
            window: Span::from_secs(600),
            trial_every: Span::from_secs(300),
        },
        coordinator_silent_for: Span::from_secs(30),
        coordinated: true,
    }
}
