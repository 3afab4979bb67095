//! `[hook.NAME]`: whom to tell when a person is needed.

use super::need::{Need, Needs};
use super::values::{command, positive};
use crate::hook::{Hook, HookEvent, HookRun};
use crate::probe::http::check_url;
use std::path::PathBuf;
use std::time::Duration;
use warden_edge::config::{Found, Section};

/// What does not mend itself.
const ON: [HookEvent; 4] = [HookEvent::Parked, HookEvent::Held, HookEvent::RestartFailed, HookEvent::StartLimit];

/// Takes one hook apart. `None` when nobody can be told; faults are noted in any case.
pub(super) fn read(name: Found<String>, section: Section<'_>, needs: &mut Needs) -> Option<Hook> {
    let on = events(&section);
    let timeout = positive(&section, "timeout", Duration::from_secs(10)).value;
    let (exec, webhook) = (command(&section, "exec"), section.text("webhook"));
    let run = match (exec, webhook) {
        (_, Some(webhook)) if section.has("exec") => {
            section.fault(webhook.place, "`exec` and `webhook` exclude each other; make two hooks of them");
            None
        }
        (_, Some(webhook)) => {
            if let Err(why) = check_url(&webhook.value) {
                section.fault(webhook.place, why);
            }
            Some(HookRun::Webhook(webhook.value))
        }
        (Some(exec), None) => {
            needs.add(Need::HookProgram, &exec.place, PathBuf::from(exec.value.first()?));
            Some(HookRun::Exec(exec.value))
        }
        (None, None) => {
            if !section.has("exec") && !section.has("webhook") {
                let text = format!("{} needs `exec`, a program and its arguments, or `webhook`, a URL", section.name());
                section.fault(section.place(), text);
            }
            None
        }
    };
    section.finish();
    Some(Hook { name: name.value, on, run: run?, timeout })
}

fn events(section: &Section<'_>) -> Vec<HookEvent> {
    let Some(names) = section.texts("on") else { return ON.to_vec() };
    if names.value.is_empty() {
        section.fault(names.place, "`on` is an empty list, so the hook would never run; leave out `on` or the hook");
    }
    let mut events = Vec::new();
    for name in names.value {
        match HookEvent::of(&name.value) {
            Some(event) if events.contains(&event) => section.fault(name.place, format!("\"{}\" is listed twice", event.label())),
            Some(event) => events.push(event),
            None => {
                let known = HookEvent::ALL.map(|event| format!("\"{}\"", event.label())).join(", ");
                section.fault(name.place, format!("there is no event {:?}; known are {known}", name.value));
            }
        }
    }
    events
}
