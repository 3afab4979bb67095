//! What happened to permits, for the journal and for metrics. Pure.

use super::events::{Event, Kind};
use super::knowledge::Knowledge;
use std::collections::BTreeSet;
use std::sync::Arc;
use warden_logic::fleet::permits::{Action, Happened, Lease, News, Void, Wait};

/// The stable word in metrics.
pub(super) const fn change(what: &Happened) -> &'static str {
    match what {
        Happened::Granted => "granted",
        Happened::Begun => "begun",
        Happened::Learned => "learned",
        Happened::Soaking => "soaking",
        Happened::Released => "released",
        Happened::Void(void) => void.label(),
    }
}

/// The line in the journal.
pub(super) fn event(known: &Knowledge, news: &News) -> Event {
    let News { server, lease, what } = news;
    let policy = known.policy.backend(&server.backend);
    let action = purpose(&lease.action);
    let (kind, text) = match what {
        Happened::Granted => (Kind::PermitGranted, format!("a permit for {action}; to be begun within {}", policy.start_by)),
        Happened::Begun => (Kind::PermitBegun, format!("makes use of its permit for {action}")),
        Happened::Learned => (Kind::PermitLearned, format!("holds a permit for {action}, given by a coordinator that is no more")),
        Happened::Soaking => {
            (Kind::PermitSoaking, format!("back from {action}, at its full weight; the next one may go in {}", policy.soak))
        }
        Happened::Released => (Kind::PermitReleased, format!("back from {action} and well for {}; its permit is released", policy.soak)),
        Happened::Void(Void::Expired) => (
            Kind::PermitExpired,
            format!("its permit for {action} is over after {}, and it is not back", lease.expires.since(lease.granted)),
        ),
        Happened::Void(void) => (Kind::PermitVoid, format!("its permit for {action} is void: {void}")),
    };
    Event { permit: Some(lease.id), ..of_holder(known, news, kind, &text, lease) }
}

fn of_holder(known: &Knowledge, news: &News, kind: Kind, text: &str, lease: &Lease) -> Event {
    let event = Event::of_server(known, kind, &news.server, text);
    Event { node: Some(lease.node.clone()), unit: Some(lease.unit.clone()), ..event }
}

fn purpose(action: &Action) -> String {
    match action {
        Action::Planned(word) => word.clone(),
        Action::Suspect => "a restart on suspect evidence".to_owned(),
    }
}

/// Backends where restarts are withheld because too many servers look sick at once: said once when it begins, and once when it ends.
#[derive(Debug, Default)]
pub(super) struct SharedCauses {
    said: BTreeSet<Arc<str>>,
}

impl SharedCauses {
    pub(super) fn news(&mut self, known: &Knowledge, events: &mut Vec<Event>) {
        let mut now = BTreeSet::new();
        for (id, wait) in known.permits.waits().filter(|(_, wait)| matches!(wait, Wait::SharedCause { .. })) {
            if now.insert(Arc::clone(&id.backend)) && !self.said.contains(&id.backend) {
                events.push(Event::of_server(known, Kind::SharedCause, id, format_args!("is not restarted: {wait}")));
            }
        }
        for backend in self.said.difference(&now) {
            events.push(Event::new(Kind::SharedCauseOver, format!("{backend}: restarts are no longer withheld for a shared cause")));
        }
        self.said = now;
    }
}
