//! What the control loop shows to everybody else: written by it alone, read by reports and status at any time.

use std::collections::VecDeque;
use tokio::sync::watch;
use warden_logic::moment::Moment;
use warden_logic::service::View;
use warden_logic::service::input::Probed;
use warden_protocol::v1::Reason;
use warden_protocol::v1::report::TrafficStatus;
use warden_protocol::vocab::Verdict;

/// As many answers as fit a line of `agentctl status`.
const RECENT: usize = 20;

/// Reads the board.
pub type Reader = watch::Receiver<Board>;

/// All services and all coordinators, as of now.
#[derive(Clone, Debug)]
pub struct Board {
    /// Grows with every change that a coordinator must hear of at once.
    pub revision: u64,
    /// In the configuration's order.
    pub services: Vec<OnBoard>,
    /// In the configuration's order.
    pub links: Vec<Link>,
}

/// One service.
#[derive(Clone, Debug)]
pub struct OnBoard {
    /// As its machine sees it.
    pub view: View,
    /// What its probes said, in the policy's order.
    pub probes: Vec<Probes>,
    /// What was said by what it depends on, in the policy's order.
    pub depends: Vec<Probes>,
    /// Log lines that matched.
    pub log_hits: u64,
    /// What the balancer does with it: the word of the first coordinator that knows it.
    pub traffic: Option<TrafficStatus>,
    /// Why it asks for a permit and has none, as a coordinator says it.
    pub waits: Option<Reason>,
}

/// A probe's record since the agent began.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    /// Good verdicts.
    pub good: u64,
    /// Bad verdicts.
    pub bad: u64,
    /// Busy answers.
    pub busy: u64,
    /// The last answer, and when it came.
    pub last: Option<(Moment, Probed)>,
    /// The last answers' times in microseconds, oldest first.
    pub recent_usec: VecDeque<u64>,
}

/// The connection to one coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// As configured.
    pub url: String,
    /// The last report was answered.
    pub connected: bool,
    /// When the last answer came.
    pub last_answer: Option<Moment>,
    /// What went wrong last, while not connected.
    pub error: Option<String>,
}

impl Probes {
    pub(super) fn record(&mut self, now: Moment, probed: Probed) {
        match probed.verdict {
            Verdict::Good => self.good += 1,
            Verdict::Bad => self.bad += 1,
            Verdict::Busy => self.busy += 1,
        }
        if self.recent_usec.len() == RECENT {
            self.recent_usec.pop_front();
        }
        self.recent_usec.push_back(probed.usec);
        self.last = Some((now, probed));
    }
}

/// Whether a coordinator must hear at once that `before` became `after`. A sentence alone can wait for the heartbeat.
pub(super) fn differs(before: &View, after: &View) -> bool {
    let told = |view: &View| (view.state, view.reason.label, view.evidence, view.traffic, view.restart, view.instance);
    let planned = |view: &View| (view.planned_action, view.permit);
    told(before) != told(after) || planned(before) != planned(after) || before.incident != after.incident
}
