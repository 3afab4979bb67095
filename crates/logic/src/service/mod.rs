//! The machine that judges one supervised service.
//!
//! Told facts ([`Input`]), it answers with what it wants done ([`Effect`]). It reads no clock and rolls no dice: the moment
//! and a random number come with every input, so a trace of inputs replays to the same effects.
//!
//! It guarantees, whatever comes in: at most one restart outstanding; never more restarts in the window than the policy
//! allows, then one trial at a time; nothing from an older instance has an effect; no failing verdict counts in the
//! warm-up; an operator's stop is never overruled; a fresh machine asks for nothing until it has evidence; a handled timer
//! always moves on. The invariants of `tests/it/service/watch.rs` hold it to that.
//!
//! It leaves to others: when the facts arrive, what is done about the traffic (it only says what it wants), deadlines on
//! probes and jobs (their edges answer every one of them).
//!
//! Two decisions that are not obvious:
//!
//! * **An agent that has just begun** finds a service running. It stays `unknown`, traffic as it is, until enough good
//!   probes make it `serving` or enough bad ones `sick`. That holds for a process younger than its warm-up too (a good probe
//!   may have ended the warm-up early, and nobody here knows), unless its traffic is confirmed to be out already: then it is
//!   `warming`, which changes nothing either and asks for the full proof.
//! * **A busy answer is no evidence**, so it neither counts nor resets, and while proving, the time since the answer before
//!   does not count against `prove_within`. A service that is only ever busy stays where it is.

pub mod backoff;
mod beat;
mod chance;
mod depends;
mod flap;
mod gates;
mod incident;
pub mod input;
mod judge;
mod limits;
mod marks;
mod mend;
mod pattern;
mod planned;
pub mod policy;
mod precedence;
mod saved;
mod state;
mod tally;
mod traffic;
mod unit;
mod view;
mod window;

pub use saved::Saved;
pub use view::{DependsView, Gate, GateStatus, LastRestart, Mark, MarkKind, Next, Recycle, Tally, View, Warmup};

use crate::moment::Moment;
use crate::reason::Reason;
use beat::Beat;
use depends::Dependency;
use flap::Penalty;
use input::{Effect, Input, Invocation, PermitId, Ticket, TrafficSeen, UnitSeen};
use limits::Starts;
use marks::Marks;
use pattern::{Early, Hits};
use policy::Policy;
use serde::{Deserialize, Serialize};
use state::State;
use warden_protocol::vocab::{Evidence, ServiceState};
use window::Window;

/// One supervised service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    policy: Policy,
    /// When it was told something last.
    at: Moment,
    state: State,
    since: Moment,
    reason: Reason,
    evidence: Option<Evidence>,
    incident: Option<String>,
    /// The last reading of the unit.
    unit: Option<UnitSeen>,
    /// False while systemd cannot be asked: `unit` may be out of date.
    visible: bool,
    instance: Option<Instance>,
    /// A main process that is known to have ended: a reading made before its end does not bring it back.
    ended: Option<(Invocation, u32)>,
    early: Early,
    /// In the policy's order, as the two that follow.
    probes: Vec<Probe>,
    hits: Vec<Hits>,
    depends: Vec<Dependency>,
    penalty: Penalty,
    /// What the instance held when it was read last.
    memory: Option<u64>,
    /// The restart that is outstanding.
    job: Option<Job>,
    /// Tickets given out so far.
    tickets: u64,
    traffic: Option<TrafficSeen>,
    /// The coordinator gives permits.
    #[serde(default)]
    permits: bool,
    /// Since when nobody has said what HAProxy does with this service.
    silent_since: Option<Moment>,
    /// Restarts in a row, for the back-off.
    row: u32,
    /// The restart limit was reached, and it has not been healthy for long enough since.
    gave_up: bool,
    window: Window,
    restarts: u64,
    last_restart: Option<LastRestart>,
    dismissed: u64,
    marks: Marks,
    starts: Starts,
    /// No recycling begins before.
    recycle_after: Moment,
    planned: u64,
    /// The permit that is made use of, until it serves again.
    using: Option<PermitId>,
    /// The last one that a process was replaced with: it is good for one.
    #[serde(default)]
    spent: Option<PermitId>,
}

/// A restart that is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Job {
    ticket: Ticket,
    /// When what is left of the old process is killed; `None`: it was looked at.
    kill_at: Option<Moment>,
}

/// One probe of the service: its beat, and what it said of this instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Probe {
    beat: Beat,
    tally: tally::Tally,
}

impl Probe {
    /// Without what was outstanding.
    fn at_rest(self) -> Self {
        Self { beat: Beat::default(), ..self }
    }
}

/// One run of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Instance {
    invocation: Invocation,
    pid: u32,
    started: Moment,
    /// No failing verdict asked for before this counts.
    warm_until: Moment,
    /// What was drawn for it: how much earlier than others it is recycled.
    roll: u64,
}

/// One call of [`Machine::handle`]: what came with the input, and what comes out.
struct Turn {
    now: Moment,
    roll: u64,
    effects: Vec<Effect>,
}

impl Turn {
    fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}

impl Machine {
    /// A machine that has seen nothing yet.
    #[must_use]
    pub fn new(policy: Policy, now: Moment) -> Self {
        Self {
            window: Window::new(policy.restart.window),
            probes: vec![Probe::default(); policy.probes.len()],
            hits: vec![Hits::default(); policy.patterns.len()],
            depends: vec![Dependency::default(); policy.depends.len()],
            policy,
            at: now,
            state: State::Unknown,
            since: now,
            reason: Reason::not_seen_yet(),
            evidence: None,
            incident: None,
            unit: None,
            visible: false,
            instance: None,
            ended: None,
            early: Early::default(),
            penalty: Penalty::default(),
            memory: None,
            job: None,
            tickets: 0,
            traffic: None,
            permits: false,
            silent_since: Some(now),
            row: 0,
            gave_up: false,
            restarts: 0,
            last_restart: None,
            dismissed: 0,
            marks: Marks::default(),
            starts: Starts::default(),
            recycle_after: Moment::default(),
            planned: 0,
            using: None,
            spent: None,
        }
    }

    /// Feeds one fact to the machine. Never blocks, never panics.
    ///
    /// `roll` is any random number, a fresh one for every call.
    pub fn handle(&mut self, now: Moment, roll: u64, input: Input) -> Vec<Effect> {
        let mut turn = Turn { now, roll, effects: Vec::new() };
        self.at = now;
        match input {
            Input::Timer => {}
            Input::Unit(seen) => self.unit_seen(&mut turn, seen),
            Input::UnitUnseen { why: _ } => self.visible = false,
            Input::ProcessEnded { invocation } => self.process_ended(&mut turn, invocation),
            Input::Probed(probed) => self.probed(&mut turn, &probed),
            Input::LogHit(hit) => self.log_hit(&mut turn, hit),
            Input::JobEnded { ticket, result } => self.job_ended(&mut turn, ticket, &result),
            Input::Traffic(seen) => self.traffic_seen(&mut turn, seen),
            Input::Memory { invocation, bytes } => {
                if self.instance.is_some_and(|instance| instance.invocation == invocation) {
                    self.memory = Some(bytes);
                }
            }
            Input::Operator(operator) => self.operator(&mut turn, operator),
        }
        self.give_up_lost(&mut turn);
        self.expire_marks(now);
        // Each move leads to a state whose own timer lies ahead, at the latest to a restart that is outstanding: the longest
        // chain is warm-up over, not proven in time, parked, trial. The bound is for the case that this is not true.
        for _ in 0..12 {
            if !self.move_on(&mut turn) {
                break;
            }
        }
        self.kill_when_due(&mut turn);
        self.ask_when_due(&mut turn);
        turn.effects
    }

    /// When [`Input::Timer`] must be handled next, if ever. Once handled, it names a later moment.
    #[must_use]
    pub fn next_wake(&self) -> Option<Moment> {
        let expiry = self.marks.maintenance.as_ref().and_then(|mark| mark.until);
        let kill = self.job.and_then(|job| job.kill_at);
        // A restart that is due asks for its permit then, though it may not begin.
        let due = self.state.due_at().filter(|at| *at > self.at);
        [self.next_move(), self.next_ask(), expiry, kill, due].into_iter().flatten().min()
    }

    /// Does what is due by the state's own timers and gates; true when something moved.
    fn move_on(&mut self, turn: &mut Turn) -> bool {
        if self.claims(turn) {
            return true;
        }
        if self.next_move().is_none_or(|at| at > turn.now) {
            return false;
        }
        match self.state.clone() {
            State::Warming { .. } => self.prove(turn, Reason::warmup_over(self.policy.warmup)),
            State::Proving(proving) => self.not_proven(turn, &proving),
            State::Sick { trouble, doubt: Some(doubt) } => self.dismiss(turn, &trouble, &doubt),
            State::Sick { trouble, doubt: None } => self.want_restart(turn, trouble, None),
            State::Waiting { trouble, .. } => self.restart_after_wait(turn, trouble),
            State::Parked { trouble, .. } => self.restart(turn, trouble, mend::Standing::Trial),
            State::Restarting { .. } => self.settle(turn, mend::Patience::Over),
            State::Suspect { .. } => self.lift_suspicion(turn, Reason::lines_ceased()),
            State::Serving { .. } => self.recycle(turn),
            State::Leaving(_) => self.end_leaving(turn),
            State::Unknown | State::Stopped | State::Starting | State::Held | State::Maintenance => return false,
        }
        true
    }

    /// When the state moves on by itself: the other half of [`Machine::move_on`].
    fn next_move(&self) -> Option<Moment> {
        match &self.state {
            State::Warming { until } => Some(*until),
            State::Proving(proving) => Some(proving.by),
            State::Sick { doubt: Some(doubt), .. } => self.doubt_is_answered(doubt).then_some(doubt.until),
            State::Sick { trouble, doubt: None } => self.gate(trouble, self.at).opens(),
            State::Waiting { trouble, at } | State::Parked { trouble, trial_at: at } => {
                self.gate(trouble, self.at).opens().map(|opens| opens.max(*at))
            }
            State::Restarting { ended, .. } => ended.as_ref().map(|ended| ended.settle_by),
            State::Suspect { .. } if !self.some_probe_fails() => self.suspicion_over(),
            State::Serving { .. } => self.recycle_begins(),
            State::Leaving(leaving) => Some(self.leaving_ends(leaving)),
            State::Unknown | State::Stopped | State::Starting | State::Suspect { .. } | State::Held | State::Maintenance => None,
        }
    }

    /// The one place where the state changes.
    fn enter(&mut self, turn: &mut Turn, state: State, because: Reason, evidence: Option<Evidence>) {
        let (from, to) = (self.state.label(), state.label());
        if !state::may_become(from, to) {
            turn.push(Effect::Anomaly { what: format!("refused to go from {from} to {to}: {}", because.text) });
            return;
        }
        if state.healthy_since().is_none() {
            self.forget_row(turn.now);
        }
        // From the first evidence to serving again; a stop by hand ends it too.
        if matches!(to, ServiceState::Serving | ServiceState::Stopped) {
            self.incident = None;
        } else if evidence.is_some() {
            self.open_incident(turn.roll);
        }
        if from != to {
            self.since = turn.now;
        }
        if evidence.is_some() && state.healthy_since().is_none() && self.state.healthy_since().is_some() {
            self.penalise(turn.now);
        }
        self.settle_tallies(from, to);
        if to == ServiceState::Serving {
            self.using = None;
        }
        self.state = state;
        self.reason = because.clone();
        self.evidence = evidence;
        turn.push(Effect::Changed { from, to, because, evidence, incident: self.incident.clone() });
    }

    /// Having been fit for long enough, it starts with a clean sheet.
    fn forget_row(&mut self, now: Moment) {
        if self.state.healthy_since().is_some_and(|since| now.since(since) >= self.policy.restart.forget_after) {
            self.row = 0;
            self.gave_up = false;
        }
    }

    fn open_incident(&mut self, roll: u64) {
        if self.incident.is_none() {
            self.incident = Some(incident::name(roll));
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.wrapping_add(1);
        Ticket(self.tickets)
    }

    /// A ticket that nobody was ever given: not stale, but wrong.
    fn never_given(&self, ticket: Ticket) -> bool {
        ticket.0 > self.tickets || ticket.0 == 0
    }

    fn anomaly(&self, turn: &mut Turn, what: &str) {
        turn.push(Effect::Anomaly { what: format!("{what} while {}", self.state.label()) });
    }
}
