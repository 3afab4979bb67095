//! Who this node is to its coordinators: a certificate that is kept as its files are, and told of.
//!
//! Guarantees: files that were renewed are in use within seconds, without a restart and without a report lost to it; files that
//! are of no use change nothing and are told once; the end of a certificate is told two weeks ahead, once a day. Whatever is wrong
//! here, the services are judged all the same. Left to others: reading and checking (`warden_edge::tls`), when a warning is due
//! (`warden_logic::trust`).

use crate::config::Config;
use crate::message_id;
use crate::metrics::Metrics;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{error, info, warn};
use warden_edge::chain::Chain;
use warden_edge::clock::date;
use warden_edge::tls::{Current, Identity, Keeper, Look, Role, now};
use warden_logic::trust::expiry::{Expiry, Left};

/// The files are looked at so often: three calls that ask for their dates.
const BEAT: Duration = Duration::from_secs(10);

/// The node's certificate, as configured. It outlives a reload, and so does the one in use when its files are just being replaced.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    keeper: Mutex<Option<Arc<Keeper>>>,
    expiry: Mutex<Expiry>,
}

impl Trust {
    /// For this configuration; nothing where none is configured. Reads the files, so that the first report can go.
    pub(crate) fn begin(self: &Arc<Self>, config: &Config, metrics: &Metrics) -> Option<Identified> {
        let role = Role::Client { name: config.node.clone() };
        let mut held = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        *held = config.tls.as_ref().map(|files| match held.take() {
            Some(keeper) if keeper.files() == files && *keeper.role() == role => keeper,
            _ => Arc::new(Keeper::new(files.clone(), role)),
        });
        let identified = Identified { trust: Arc::clone(self), keeper: held.clone()?, metrics: metrics.clone() };
        identified.hear(&identified.keeper.look(now(), false));
        Some(identified)
    }

    /// Has the files looked at at once, because somebody asked for it.
    pub(crate) fn look_again(&self) {
        if let Some(keeper) = &*self.keeper.lock().unwrap_or_else(PoisonError::into_inner) {
            keeper.look_again();
        }
    }
}

/// The certificate while a configuration is in force.
pub(crate) struct Identified {
    trust: Arc<Trust>,
    keeper: Arc<Keeper>,
    metrics: Metrics,
}

impl Identified {
    /// The one in use, now and later.
    pub(crate) fn current(&self) -> Current {
        self.keeper.current()
    }

    /// Keeps it as its files are, for ever.
    pub(crate) async fn keep(self) {
        match self.keeper.watch() {
            Ok(watch) => watch.run(BEAT, |look| self.hear(&look)).await,
            Err(error) => error!("no thread for certificates: {}; they are renewed with a reload only", Chain(&error)),
        }
    }

    fn hear(&self, look: &Look) {
        for record in self.records(look, now()) {
            record.write();
        }
        if let Some(identity) = &*self.keeper.current().borrow() {
            self.metrics.certificates(&certificates(identity));
        }
    }

    /// What is worth a record, after a look at the files.
    fn records(&self, look: &Look, now: i64) -> Vec<Record> {
        let (files, current) = (self.keeper.files(), self.keeper.current().borrow().clone());
        let until = |identity: &Identity| date(identity.certificate().not_after);
        let mut records = Vec::new();
        match (look, &current) {
            (Look::Same, _) => {}
            (Look::Renewed(identity), _) => {
                records.push(Record::Taken(format!(
                    "the certificate in {} is in use; it is good until {}",
                    files.cert.display(),
                    until(identity)
                )));
            }
            (Look::Unfit(unfit), Some(identity)) => {
                records.push(Record::Unfit(format!("{unfit}; the one before stays in use, until {}", until(identity))));
            }
            (Look::Unfit(unfit), None) => {
                let so = "until then no coordinator hears of this node's services, which are judged all the same";
                records.push(Record::Unfit(format!("{unfit}; {so}")));
            }
        }
        let Some(identity) = current else { return records };
        let all = certificates(&identity).into_iter().map(|(of, name, end)| match of {
            "ca" => (format!("the CA {name} in {}", files.ca.display()), end),
            _ => (format!("this node's certificate in {}", files.cert.display()), end),
        });
        let all: Vec<_> = all.collect();
        let mut expiry = self.trust.expiry.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, end, left) in expiry.due(all.iter().map(|(what, end)| (what.as_str(), *end)), now) {
            let text = format!("{what} {}: {}; put a new one in place, no restart is needed", left.words(), date(end));
            records.push(Record::Expires(left, text));
        }
        records
    }
}

/// What is in use: whether it is our own or a CA's, whose, and when it runs out.
fn certificates(identity: &Identity) -> Vec<(&'static str, &str, i64)> {
    let own = identity.certificate();
    let own = ("own", own.names.first().unwrap_or(&own.subject).as_str(), own.not_after);
    std::iter::once(own).chain(identity.authorities().iter().map(|ca| ("ca", ca.subject.as_str(), ca.not_after))).collect()
}

/// A line in the journal.
#[derive(Debug, PartialEq, Eq)]
enum Record {
    Taken(String),
    Unfit(String),
    Expires(Left, String),
}

impl Record {
    fn write(&self) {
        match self {
            Self::Taken(text) => info!(MESSAGE_ID = message_id::CERTIFICATE_TAKEN, WARDEN_EVENT = "certificate_taken", "{text}"),
            Self::Unfit(text) => error!(MESSAGE_ID = message_id::CERTIFICATE_UNFIT, WARDEN_EVENT = "certificate_unfit", "{text}"),
            Self::Expires(Left::Days(_), text) => {
                warn!(MESSAGE_ID = message_id::CERTIFICATE_EXPIRES, WARDEN_EVENT = "certificate_expires", "{text}");
            }
            Self::Expires(Left::Nothing, text) => {
                error!(MESSAGE_ID = message_id::CERTIFICATE_EXPIRES, WARDEN_EVENT = "certificate_expires", "{text}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
