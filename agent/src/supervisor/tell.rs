//! What is written down of a turn, and who is told: the journal, the metrics, the incident's folder, the hooks.

use super::ports::Ports;
use super::{Supervisor, record, watched};
use crate::hook::{HookEvent, ledger};
use crate::incident::Capture;
use warden_logic::moment::Moment;
use warden_logic::reason::Reason;
use warden_logic::service::View;
use warden_logic::service::input::Effect;
use warden_protocol::vocab::ServiceState;

impl<P: Ports> Supervisor<P> {
    pub(super) fn tell(&mut self, service: usize, now: Moment, effects: &[Effect], before: &View, after: &View) {
        // The incident that is open as the effects go by, one after the other.
        let mut open = before.incident.clone();
        for effect in effects {
            let unit = self.services[service].unit.clone();
            let metrics = self.setup.metrics.clone();
            match effect {
                Effect::Changed { from, to, because, evidence, incident } => {
                    metrics.changed(&unit, *from, *to, because.label);
                    if let Some(took) = watched::warmed_up(*from, *to, before, now) {
                        metrics.warmed_up(&unit, took);
                    }
                    if let Some(span) = self.services[service].held_for(*to == ServiceState::Held, now) {
                        metrics.held(&unit, span);
                    }
                    let of = incident.as_deref().or(open.as_deref());
                    let change = record::Change { from: *from, to: *to, because, evidence: *evidence, at: now };
                    record::changed(record::About { incident: of, ..self.about(service) }, &change);
                    for event in ledger::events(*to, because.label, open.is_some(), incident.is_some()) {
                        let of = incident.as_deref().or(open.as_deref()).map(ToOwned::to_owned);
                        self.hook_of(service, event, of.as_deref(), &because.text);
                    }
                    let begun = incident.is_some() && *incident != open;
                    self.incident_goes_on(service, now, open.as_deref(), incident.as_deref(), because);
                    if let (Some(kept), Some(of)) = (&self.setup.incidents, incident.as_deref().or(open.as_deref())) {
                        kept.note(of, now, format!("{from} → {to}: {}", because.text));
                    }
                    if let (Some(kept), Some(of), None) = (&self.setup.incidents, &open, incident) {
                        kept.ended(of, now, because.text.clone());
                    }
                    if begun && after.instance.is_none() {
                        // It ended by itself: its last words are all that is left of it.
                        self.capture(service, incident.as_deref().unwrap_or_default(), now);
                    }
                    open.clone_from(incident);
                }
                Effect::Restart { cause, incident, .. } => {
                    metrics.restarting(&unit, cause.label);
                    if let Some(kept) = self.setup.incidents.as_ref().filter(|_| !incident.is_empty()) {
                        kept.restart(incident, now, format!("a restart is asked for: {}", cause.text));
                    }
                }
                Effect::Kill { .. } => {
                    metrics.killing(&unit);
                    record::killing(self.about(service));
                    self.note(service, now, "the stop takes too long: its processes are ended by SIGKILL");
                }
                Effect::Dismissed { because } => {
                    metrics.dismissed(&unit);
                    let of = before.incident.as_deref();
                    record::dismissed(record::About { incident: of, ..self.about(service) }, because);
                    if let (Some(kept), Some(of)) = (&self.setup.incidents, of) {
                        kept.note(of, now, because.text.clone());
                    }
                }
                Effect::Anomaly { what } => {
                    metrics.anomaly(&unit);
                    record::anomaly(self.about(service), what);
                }
                Effect::WouldRestart { cause, .. } => {
                    metrics.would_restart(&unit, cause.label);
                    record::would_restart(self.about(service), cause);
                    self.note(service, now, &format!("in shadow mode: here it would have been restarted: {}", cause.text));
                }
                Effect::Probe { .. } => {}
            }
        }
    }

    /// Opens what has begun; one that another takes the place of is over.
    fn incident_goes_on(&mut self, service: usize, now: Moment, open: Option<&str>, incident: Option<&str>, because: &Reason) {
        let (Some(id), true) = (incident, incident != open) else { return };
        let watched = &self.services[service];
        self.setup.metrics.incident(&watched.unit);
        let Some(kept) = &self.setup.incidents else { return };
        if let Some(before) = open {
            kept.ended(before, now, format!("incident {id} began"));
        }
        kept.began(id, &watched.unit, because, watched.evidence_at());
    }

    /// A line of the timeline of the incident that is open, or was last while its restart still goes on.
    pub(super) fn note(&self, service: usize, now: Moment, text: &str) {
        if let (Some(kept), Some(id)) = (&self.setup.incidents, &self.services[service].incident) {
            kept.note(id, now, text);
        }
    }

    /// Evidence that a restart destroys. Without an incident there is nothing to find out later.
    pub(super) fn capture(&self, service: usize, incident: &str, now: Moment) {
        let Some(kept) = self.setup.incidents.as_ref().filter(|_| !incident.is_empty()) else { return };
        let watched = &self.services[service];
        let (pid, invocation) = (watched.main_pid, watched.invocation);
        let answer = watched.last_bad.as_ref().filter(|(of, _)| invocation == Some(*of)).map(|(_, text)| text.as_str());
        kept.capture(&Capture { id: incident, unit: &watched.unit, pid, invocation, answer, at: now });
    }

    pub(super) fn hook(&self, service: usize, event: HookEvent, text: &str) {
        let incident = self.board.borrow().services[service].view.incident.clone();
        self.hook_of(service, event, incident.as_deref(), text);
    }

    fn hook_of(&self, service: usize, event: HookEvent, incident: Option<&str>, text: &str) {
        if let Some(hooks) = &self.setup.hooks {
            hooks.event(event, &self.services[service].unit, incident, text);
        }
    }

    pub(super) fn about(&self, service: usize) -> record::About<'_> {
        let watched = &self.services[service];
        record::About { node: &self.setup.node, unit: &watched.unit, invocation: watched.invocation, incident: watched.incident.as_deref() }
    }
}
