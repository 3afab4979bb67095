//! Who may report, and who may act from another machine: agents show a certificate, and each speaks for the one node that it names;
//! operators show one with a name that the configuration lists.
//!
//! Guarantees: a report of who may not speak for its node goes no further, whatever it says; one node cannot use up another's share;
//! certificates that were renewed are in use within seconds, without a restart; the end of our own, of the CAs' and of every agent's
//! is a metric, and told two weeks ahead, once a day. Left to others: handshakes (`warden_edge::tls`), the decisions
//! (`warden_logic::trust`), what is in a report (`intake`).

mod record;
#[cfg(test)]
mod tests;

use crate::metrics::Metrics;
use record::{Kind, Record};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use warden_edge::chain::Chain;
use warden_edge::clock::date;
use warden_edge::tls::{Acceptor, Certificate, Files, Identity, Keeper, Look, Refused, Role, Watch, now};
use warden_logic::moment::{Moment, Span};
use warden_logic::trust::callers::{Callers, Denied, Shown, Why};
use warden_logic::trust::expiry::{Expiry, Left};

/// The files are looked at so often: three calls that ask for their dates.
const BEAT: Duration = Duration::from_secs(10);
/// Of one cause of failed handshakes there is a record so often: there are eight causes, and whoever scans ports brings thousands.
const REFUSALS_EVERY: Span = Span::from_secs(60);

/// Who may report.
#[derive(Debug)]
pub struct Trust {
    /// Nothing: whoever is on this machine may speak for any node, as the configuration asks for.
    keeper: Option<Arc<Keeper>>,
    metrics: Arc<Metrics>,
    clock: fn() -> Moment,
    callers: Mutex<Callers>,
    expiry: Mutex<Expiry>,
    refusals: Mutex<BTreeMap<&'static str, Refusals>>,
}

#[derive(Debug)]
struct Refusals {
    told: Moment,
    untold: u64,
}

impl Trust {
    /// By certificates, or by nothing at all. The files are read for the first time; what is wrong with them is told, and they are
    /// taken when they come.
    #[must_use]
    pub fn new(files: Option<Files>, metrics: Arc<Metrics>, clock: fn() -> Moment) -> Self {
        let keeper = files.map(|files| Arc::new(Keeper::new(files, Role::Server)));
        let (callers, expiry, refusals) = (Mutex::default(), Mutex::default(), Mutex::default());
        let trust = Self { keeper, metrics, clock, callers, expiry, refusals };
        if let Some(keeper) = &trust.keeper {
            trust.hear(&keeper.look(now(), true));
        }
        trust
    }

    /// Lets agents in; nothing where no certificate is asked for.
    #[must_use]
    pub fn acceptor(&self) -> Option<Acceptor> {
        self.keeper.as_ref().map(|keeper| Acceptor::new(keeper.current()))
    }

    /// Looks after the files; nothing where there are none.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn watch(&self) -> std::io::Result<Option<Watch>> {
        self.keeper.as_ref().map(Keeper::watch).transpose()
    }

    /// Has the files looked at at once, because somebody asked for it.
    pub fn look_again(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.look_again();
        }
    }

    /// Keeps everything as it is outside, for ever.
    pub async fn keep(self: Arc<Self>, watch: Option<Watch>) {
        match watch {
            Some(watch) => watch.run(BEAT, |look| self.hear(&look)).await,
            None => loop {
                tokio::time::sleep(BEAT).await;
                locked(&self.callers).forget((self.clock)());
            },
        }
    }

    /// Whether somebody may speak for `node`; `shown` is the certificate that came with the call.
    ///
    /// # Errors
    /// Why not, for the caller; the record of it is written.
    pub fn admit(&self, node: &str, shown: Option<&Certificate>) -> Result<(), Denied> {
        let shown = match (&self.keeper, shown) {
            (None, _) => None,
            (Some(_), Some(certificate)) => Some(Shown { names: &certificate.names, not_after: certificate.not_after }),
            // Nobody comes here without one. If it happened all the same, he would be nobody.
            (Some(_), None) => Some(Shown { names: &[], not_after: i64::MAX }),
        };
        let admitted = locked(&self.callers).admit(node, shown, (self.clock)(), now());
        if let Err(Denied { why, text, complain: true }) = &admitted {
            let kind = match why {
                Why::OtherName | Why::RunOut => Kind::Denied,
                Why::TooOften => Kind::TooOften,
            };
            let who = shown.and_then(|shown| shown.names.first()).map_or("somebody", String::as_str);
            self.write(&Record {
                kind,
                node: Some(node.to_owned()),
                text: format!("a report of {who:?} for node {node:?} was refused: {text}"),
            });
        }
        admitted
    }

    /// Whether somebody may act as one of the `operators` from another machine.
    ///
    /// # Errors
    /// Why not, for the caller; the record of it is written.
    pub fn operator(&self, shown: &Certificate, operators: &[String]) -> Result<(), Denied> {
        let seen = Shown { names: &shown.names, not_after: shown.not_after };
        let let_in = locked(&self.callers).operator(seen, operators, (self.clock)(), now());
        if let Err(Denied { text, complain: true, .. }) = &let_in {
            let who = shown.names.first().map_or("somebody", String::as_str);
            let text = format!("what {who:?} asked for as an operator was refused: {text}");
            self.write(&Record { kind: Kind::OperatorDenied, node: None, text });
        }
        let_in
    }

    /// A handshake came to nothing.
    pub fn refused(&self, from: SocketAddr, why: &Refused) {
        self.metrics.handshake_refused(why.label());
        if let Some(untold) = self.tells(why.label()) {
            let more = if untold > 0 { format!(" ({untold} more of these in the last minutes)") } else { String::new() };
            let text = format!("{} was not let in: {}{more}", from.ip(), Chain(why));
            self.write(&Record { kind: Kind::HandshakeRefused, node: None, text });
        }
    }

    /// How many of a cause were not told since it was told last; nothing while it is too early to tell it again.
    fn tells(&self, cause: &'static str) -> Option<u64> {
        let now = (self.clock)();
        let mut refusals = locked(&self.refusals);
        let Some(known) = refusals.get_mut(cause) else {
            refusals.insert(cause, Refusals { told: now, untold: 0 });
            return Some(0);
        };
        if now.since(known.told) < REFUSALS_EVERY {
            known.untold += 1;
            return None;
        }
        known.told = now;
        Some(std::mem::take(&mut known.untold))
    }

    /// What came of a look at the files, and what time has brought.
    fn hear(&self, look: &Look) {
        locked(&self.callers).forget((self.clock)());
        for record in self.records(look, now()) {
            self.write(&record);
        }
        let all = self.certificates();
        self.metrics.certificates(all.iter().map(|one| (one.of, one.name.as_str(), one.end)));
    }

    fn records(&self, look: &Look, now: i64) -> Vec<Record> {
        let Some(keeper) = &self.keeper else { return Vec::new() };
        let files = keeper.files();
        let until = |identity: &Identity| date(identity.certificate().not_after);
        let record = |kind, text| Record { kind, node: None, text };
        let mut records = Vec::new();
        match (look, keeper.current().borrow().as_deref()) {
            (Look::Same, _) => {}
            (Look::Renewed(identity), _) => {
                let text = format!("the certificate in {} is in use; it is good until {}", files.cert.display(), until(identity));
                records.push(record(Kind::CertificateTaken, text));
            }
            (Look::Unfit(unfit), Some(identity)) => {
                records.push(record(Kind::CertificateUnfit, format!("{unfit}; the one before stays in use, until {}", until(identity))));
            }
            (Look::Unfit(unfit), None) => {
                records.push(record(Kind::CertificateUnfit, format!("{unfit}; until then no agent is let in, and traffic stays as it is")));
            }
        }
        let all = self.certificates();
        let keys: Vec<_> = all.iter().map(|one| format!("{} {}", one.of, one.name)).collect();
        let due = locked(&self.expiry).due(keys.iter().map(String::as_str).zip(all.iter().map(|one| one.end)), now);
        for (key, end, left) in due {
            let (of, name) = key.split_once(' ').unwrap_or((key, ""));
            let what = match of {
                "node" => format!("the certificate of node {name}"),
                "ca" => format!("the CA {name} in {}", files.ca.display()),
                _ => format!("the coordinator's certificate in {}", files.cert.display()),
            };
            let text = format!("{what} {}: {}; put a new one in place, no restart is needed", left.words(), date(end));
            let kind = if left == Left::Nothing { Kind::CertificateOver } else { Kind::CertificateExpires };
            records.push(Record { kind, node: (of == "node").then(|| name.to_owned()), text });
        }
        records
    }

    /// Everything that runs out some day.
    fn certificates(&self) -> Vec<Ending> {
        let mut all = Vec::new();
        if let Some(identity) = self.keeper.as_ref().and_then(|keeper| keeper.current().borrow().clone()) {
            let own = identity.certificate();
            let name = own.names.first().unwrap_or(&own.subject).clone();
            all.push(Ending { of: "own", name, end: own.not_after });
            all.extend(identity.authorities().iter().map(|ca| Ending { of: "ca", name: ca.subject.clone(), end: ca.not_after }));
        }
        all.extend(locked(&self.callers).certificates().map(|(name, end)| Ending { of: "node", name: name.to_owned(), end }));
        all
    }

    fn write(&self, record: &Record) {
        self.metrics.event(record.kind.label(), None);
        record.write();
    }
}

/// A certificate, whose it is, and when it runs out.
struct Ending {
    of: &'static str,
    name: String,
    end: i64,
}

/// What a panic left behind is as good as before: every change is made whole under the lock.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
