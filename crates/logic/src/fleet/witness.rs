//! The second witness: what live traffic, and HAProxy's own check, say of a server whose agent says that it is well.
//!
//! Counted are requests and failures of one instance over a sliding window: answers 5xx, failed connections, broken answers, and retries,
//! behind which HAProxy hides a sick server's answers. A share above the limit is told to the agent as suspect evidence; it is shown as a
//! disagreement for as long as the two differ. When too many servers of a backend look sick at once it is not the server: one request
//! that fails everywhere has all of them fail. Then nobody is told, and it is shown all the same.
//!
//! Guarantees: too few requests say nothing; what an older instance answered says nothing of the one that runs; counters that went back
//! (a new HAProxy) begin anew; nothing here takes out or restarts anybody.

use super::observed::{Outcome, ServerId};
use super::{BackendPolicy, Scene};
use crate::moment::{Moment, Span};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{Evidence, ServiceState, Traffic};

/// Readings are kept at least so far apart: more in between say nothing new.
const APART: Span = Span::from_millis(450);
/// The longest window has so many of them.
const MOST: usize = 140;

/// From when on live traffic counts as suspect evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WitnessPolicy {
    /// The part of a server's requests that fails.
    pub share: super::budget::Share,
    /// Fewer requests within the window say nothing.
    pub requests: u64,
    /// How far back is looked. At most a minute.
    pub window: Span,
}

impl Default for WitnessPolicy {
    fn default() -> Self {
        Self { share: super::budget::Share::from_thousandths(200), requests: 20, window: Span::from_secs(5) }
    }
}

/// What one server has counted since HAProxy began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Requests.
    pub requests: u64,
    /// Those that failed, or were sent elsewhere because they did.
    pub failed: u64,
}

/// What live traffic says of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// The instance that had it.
    pub invocation: String,
    /// Requests within the window.
    pub requests: u64,
    /// Those that failed; never more than there were requests.
    pub failed: u64,
    /// How far back that reaches.
    pub window: Span,
    /// It is suspect evidence.
    pub suspect: bool,
}

/// Two that should say the same do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// Its agent says that it is well, and its requests fail.
    Traffic {
        /// Requests within the window.
        requests: u64,
        /// Those that failed.
        failed: u64,
        /// The window.
        window: Span,
        /// So many of its backend look so that it is no fault of one server's; then nobody is told.
        shared: bool,
    },
    /// Its agent says that it is well, and HAProxy's own check has failed for so long.
    Check {
        /// For so long.
        lasts: Span,
    },
}

impl Disagreement {
    /// The stable word for its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Traffic { .. } => "traffic",
            Self::Check { .. } => "check",
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Traffic { requests, failed, window, shared } => {
                write!(f, "its agent says that it is well, and {failed} of {requests} requests to it failed within {window}")?;
                if *shared { f.write_str("; so do those to others: look at the requests, or at what they share") } else { Ok(()) }
            }
            Self::Check { lasts } => write!(f, "its agent says that it is well, and HAProxy's own check has failed for {lasts}"),
        }
    }
}

/// What is remembered of one server.
#[derive(Clone, Debug, Default)]
struct Record {
    invocation: String,
    readings: VecDeque<(Moment, Counted)>,
    suspect: bool,
    shared: bool,
    /// HAProxy's check has failed since, while its agent said that it is well.
    check_fails: Option<Moment>,
    /// In which reading of the counters it was last.
    listed: u64,
}

/// What is remembered of every server.
#[derive(Clone, Debug, Default)]
pub struct Witnesses {
    servers: HashMap<ServerId, Record>,
    /// Readings so far.
    counted: u64,
}

impl Witnesses {
    /// Enters a reading of HAProxy's counters. Servers that are no longer listed are forgotten.
    pub fn count(&mut self, scene: &Scene<'_>, counters: impl IntoIterator<Item = (ServerId, Counted)>) {
        self.counted += 1;
        let mut listed = 0;
        for (id, counted) in counters {
            listed += 1;
            let runs = said(scene, &id).map(|said| said.invocation.as_str()).unwrap_or_default();
            let policy = scene.policy.backend(&id.backend);
            let record = self.servers.entry(id).or_default();
            record.listed = self.counted;
            record.count(scene.now, policy, runs, counted);
        }
        if self.servers.len() > listed {
            self.servers.retain(|_, record| record.listed == self.counted);
        }
        for (name, servers) in scene.observed.backends() {
            let policy = scene.policy.backend(name);
            let suspects = servers.iter().filter(|server| self.servers.get(&server.id).is_some_and(|record| record.suspect)).count();
            let shared = suspects > 1 && policy.max_suspect_share.exceeded_by(suspects, servers.len());
            for server in servers {
                if let Some(record) = self.servers.get_mut(&server.id) {
                    record.shared = shared;
                }
            }
        }
    }

    /// Looks at HAProxy's own checks.
    pub fn look(&mut self, scene: &Scene<'_>) {
        for server in &scene.observed.servers {
            let fails = server.check.enabled && server.check.outcome == Outcome::Failed && server.mark().is_none();
            let differs = fails && said(scene, &server.id).is_some_and(is_well);
            let record = self.servers.get_mut(&server.id);
            match (differs, record) {
                (true, Some(record)) => record.check_fails = record.check_fails.or(Some(scene.now)),
                (true, None) => {
                    let record = Record { check_fails: Some(scene.now), ..Record::default() };
                    self.servers.insert(server.id.clone(), record);
                }
                (false, Some(record)) => record.check_fails = None,
                (false, None) => {}
            }
        }
    }

    /// What live traffic says of the instance that runs, where there is enough of it.
    #[must_use]
    pub fn testimony(&self, scene: &Scene<'_>, id: &ServerId) -> Option<Testimony> {
        let policy = scene.policy.backend(&id.backend).witness?;
        let record = self.servers.get(id)?;
        let runs = said(scene, id).is_some_and(|said| said.invocation == record.invocation);
        let (requests, failed, window) = record.within()?;
        let suspect = record.suspect && !record.shared;
        (runs && requests >= policy.requests).then(|| Testimony {
            invocation: record.invocation.clone(),
            requests,
            failed,
            window,
            suspect,
        })
    }

    /// Where two differ that should say the same.
    #[must_use]
    pub fn disagreement(&self, scene: &Scene<'_>, id: &ServerId) -> Option<Disagreement> {
        let record = self.servers.get(id).filter(|record| record.suspect || record.check_fails.is_some())?;
        let said = said(scene, id).filter(|said| is_well(said))?;
        let by_traffic = || {
            // An instance that has just begun is told of before its traffic is counted.
            let (requests, failed, window) = record.within().filter(|_| record.suspect && record.invocation == said.invocation)?;
            Some(Disagreement::Traffic { requests, failed, window, shared: record.shared })
        };
        let by_check = || {
            let lasts = scene.now.since(record.check_fails?);
            (lasts >= scene.policy.backend(&id.backend).disagree_after).then_some(Disagreement::Check { lasts })
        };
        by_check().or_else(by_traffic)
    }
}

impl Record {
    fn count(&mut self, now: Moment, policy: &BackendPolicy, runs: &str, counted: Counted) {
        let Some(witness) = policy.witness else {
            (self.suspect, self.shared) = (false, false);
            self.readings.clear();
            return;
        };
        let back = self.readings.back().is_some_and(|(_, last)| counted.requests < last.requests || counted.failed < last.failed);
        if back || self.invocation != runs {
            self.readings.clear();
            runs.clone_into(&mut self.invocation);
        }
        if self.readings.back().is_none_or(|(at, _)| now.since(*at) >= APART) {
            self.readings.push_back((now, counted));
        }
        // One that is just older than the window is where it begins.
        while self.readings.len() > MOST || self.readings.get(1).is_some_and(|(at, _)| now.since(*at) >= witness.window) {
            self.readings.pop_front();
        }
        self.suspect = self.within().is_some_and(|(requests, failed, _)| {
            // What has begun ends at half of it, so that a share around the limit does not come and go.
            let limit = if self.suspect { witness.share.half() } else { witness.share };
            requests >= witness.requests && limit.reached_by(failed, requests)
        });
    }

    /// Requests and failures over the window, and how far back it reaches. Nothing before two readings.
    fn within(&self) -> Option<(u64, u64, Span)> {
        let ((begin, first), (end, last)) = (self.readings.front()?, self.readings.back()?);
        let window = end.since(*begin);
        let requests = last.requests.saturating_sub(first.requests);
        // A request may be retried more than once.
        let failed = last.failed.saturating_sub(first.failed).min(requests);
        (!window.is_zero()).then_some((requests, failed, window))
    }
}

fn said<'a>(scene: &Scene<'a>, id: &ServerId) -> Option<&'a ServiceReport> {
    let claim = scene.matches.claims.get(id)?;
    let node = scene.roster.speaker(claim).filter(|node| node.fresh(scene.now, scene.policy.lease))?;
    node.services.get(claim.service)
}

/// Its agent has no fault to find with it, or only what it was told from here.
fn is_well(said: &ServiceReport) -> bool {
    let told = said.state == ServiceState::Suspect && said.reason.label == "witness" && said.evidence == Some(Evidence::Suspect);
    said.wants.traffic == Traffic::In && (said.state == ServiceState::Serving || told)
}
