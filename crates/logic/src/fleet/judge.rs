//! What is wanted of every server now: reports against marks, memory and the floor.
//!
//! In order of rank: a person's mark in HAProxy, a lever that is missing, an operator's drain, what the agent asks for (by plan: if a
//! permit covers it), the end of a drain, an orphan's release, what was decided before. The floor comes last and only ever turns *out* into staying in.

use super::Scene;
use super::budget::leaves_by_plan;
use super::ledger::{Because, Ledger, Verdict};
use super::observed::{Mark, Server, ServerId};
use super::permits::Permits;
use super::wishes::Word;
use crate::moment::Span;
use std::collections::BTreeMap;
use std::fmt;
use warden_protocol::v1::Reason;
use warden_protocol::v1::report::ServiceReport;
use warden_protocol::vocab::{Evidence, Traffic};

/// What is wanted of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The server.
    pub id: ServerId,
    /// What the plan shall reach.
    pub want: Want,
    /// What stands in the way, or is out of the ordinary.
    pub note: Option<Note>,
}

/// What the plan shall reach for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// In rotation, as far as HAProxy's own check agrees.
    In,
    /// Out of rotation.
    Out(Because),
    /// Hands off.
    Leave,
}

/// Why a server does not simply get what its agent asks for. Each has a stable label and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The agent wants it out; without it the backend would fall below its floor.
    Floor {
        /// The floor.
        min: u32,
        /// Other servers that take traffic.
        others: u32,
        /// It is an operator's drain that wants it out.
        drain: bool,
    },
    /// A person's mark.
    Operator(Mark),
    /// The agent speaks, and HAProxy does not ask the coordinator about this server.
    NoLever {
        /// The port that should be asked.
        agent_port: u16,
    },
    /// It was out, nobody spoke for it, its check passed all that time: put back.
    Orphan {
        /// For how long nobody spoke.
        silent: Span,
    },
    /// It leaves by plan, without a permit that counts: it stays in.
    NoPermit,
    /// An operator's drain.
    Drained(Word),
}

impl Note {
    /// The stable word in the journal and in metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Floor { .. } => "floor_holds",
            Self::Operator(_) => "operator",
            Self::NoLever { .. } => "no_lever",
            Self::Orphan { .. } => "orphaned_verdict",
            Self::NoPermit => "no_permit",
            Self::Drained(_) => "drained",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floor { min, others, drain } => {
                let who = if *drain { "it is drained" } else { "its agent wants it out" };
                write!(f, "{who}; it stays in, because {others} other servers take traffic and min_in_traffic is {min}")
            }
            Self::Operator(mark) => write!(f, "held by operator: `{}` was set on it in HAProxy", mark.as_str()),
            Self::NoLever { agent_port } => write!(
                f,
                "HAProxy does not ask the coordinator about it: give the server `agent-check agent-addr 127.0.0.1 agent-port {agent_port} agent-inter 200ms agent-send \"BACKEND/SERVER\\n\"`"
            ),
            Self::Orphan { silent } => {
                write!(f, "put back: no agent has spoken for it for {silent}, and HAProxy's own check passed all that time")
            }
            Self::NoPermit => f.write_str("it leaves for a planned restart without a permit that counts; it stays in"),
            Self::Drained(word) => write!(f, "drained by {word}"),
        }
    }
}

/// Judges every server, in HAProxy's order.
#[must_use]
pub fn judge(scene: &Scene<'_>, permits: &Permits) -> Vec<Judgement> {
    let mut judgements = Vec::with_capacity(scene.observed.servers.len());
    for (name, servers) in scene.observed.backends() {
        let begin = judgements.len();
        let wishes: Vec<Wish<'_>> = (begin..).zip(servers).map(|(place, server)| wish(scene, permits, place, server)).collect();
        judgements.extend(under_the_floor(scene.policy.backend(name).min_in_traffic, wishes, scene.ledger));
    }
    judgements
}

/// Judges some servers, by their places in HAProxy's order, as if there were no floor. For whoever sees to it that none is near: of a server that
/// the floor does not hold it says what [`judge`] says. A place that is not there is left out.
#[must_use]
pub fn judge_some(scene: &Scene<'_>, permits: &Permits, places: &[usize]) -> Vec<(usize, Judgement)> {
    let servers = places.iter().filter_map(|&place| Some((place, scene.observed.servers.get(place)?)));
    let judge = |(place, server): (usize, &Server)| {
        let Wish { want, note, .. } = wish(scene, permits, place, server);
        (place, Judgement { id: server.id.clone(), want, note })
    };
    servers.map(judge).collect()
}

/// What is wanted of one server before the floor is asked.
struct Wish<'a> {
    server: &'a Server,
    want: Want,
    note: Option<Note>,
    fatal: bool,
}

fn wish<'a>(scene: &Scene<'_>, permits: &Permits, place: usize, server: &'a Server) -> Wish<'a> {
    let agent_port = scene.policy.agent_port;
    let said = said(scene, server);
    let wish = |want, note| Wish { server, want, note, fatal: said.is_some_and(|service| service.evidence == Some(Evidence::Fatal)) };
    if let Some(mark) = server.mark() {
        return wish(Want::Leave, Some(Note::Operator(mark)));
    }
    // What is still drained by us goes back, also after the lever was changed.
    if !scene.policy.moves(server) && !server.ours {
        let missed = said.map(|_| Note::NoLever { agent_port });
        return wish(Want::Leave, missed);
    }
    if let Some(word) = scene.wishes.drained(&server.id) {
        let note = Note::Drained(word.clone());
        let reason = Reason { label: note.label().to_owned(), text: note.to_string() };
        return wish(Want::Out(Because { reason, incident: None, drain: true }), Some(note));
    }
    let entry = scene.ledger.entry_at(place, &server.id);
    let verdict = entry.and_then(|entry| entry.verdict.as_ref());
    match said.map(|service| (service.wants.traffic, service)) {
        Some((Traffic::In, _)) => return wish(Want::In, None),
        Some((Traffic::Out, service)) => {
            // Only going out takes a permit. Whoever is out stays out, until it wants back.
            let out = matches!(verdict, Some(Verdict::Out(_)));
            if leaves_by_plan(service) && !out && !permits.covers(&server.id, service.permit) {
                return wish(verdict.map_or(Want::Leave, |_| Want::In), Some(Note::NoPermit));
            }
            let because = Because { reason: service.reason.clone(), incident: service.incident.clone(), drain: false };
            return wish(Want::Out(because), None);
        }
        Some((Traffic::Keep, _)) | None => {}
    }
    let Some(entry) = entry else { return wish(Want::Leave, None) };
    if entry.orphaned(scene.now, scene.policy.orphan_after, server) {
        return wish(Want::In, Some(Note::Orphan { silent: scene.now.since(entry.spoken_for) }));
    }
    match &entry.verdict {
        Some(Verdict::In) => wish(Want::In, None),
        // The drain is over, and nobody else wants it out.
        Some(Verdict::Out(because)) if because.drain => wish(Want::In, None),
        Some(Verdict::Out(because)) => wish(Want::Out(because.clone()), None),
        None => wish(Want::Leave, None),
    }
}

/// What an agent whose word still counts says of this server.
fn said<'a>(scene: &Scene<'a>, server: &Server) -> Option<&'a ServiceReport> {
    let claim = scene.matches.claims.get(&server.id)?;
    let node = scene.roster.speaker(claim).filter(|node| node.fresh(scene.now, scene.policy.lease))?;
    node.services.get(claim.service)
}

/// Grants *out* to as many servers of one backend as the floor allows.
///
/// A server counts while HAProxy sends traffic to it and nothing of ours is about to end that. One that takes no traffic
/// anyway is no loss, but it is not locked out either while the rest is below the floor: whichever the check
/// lets in first may serve. Who goes first: whoever is out already, then fatal evidence, then whatever agents want, then what is
/// drained, which serves well; else HAProxy's order.
fn under_the_floor(min: u32, wishes: Vec<Wish<'_>>, ledger: &Ledger) -> Vec<Judgement> {
    let is_out = |wish: &Wish<'_>| matches!(ledger.verdict(&wish.server.id), Some(Verdict::Out(_)));
    let mut asking: Vec<usize> = (0..wishes.len()).filter(|&at| matches!(wishes.get(at), Some(Wish { want: Want::Out(_), .. }))).collect();
    let drained = |wish: &Wish<'_>| matches!(wish.note, Some(Note::Drained(_)));
    asking.sort_by_key(|&at| wishes.get(at).map(|wish| (!is_out(wish), !wish.fatal, drained(wish))));
    let mut in_traffic = wishes.iter().filter(|wish| wish.server.takes_traffic()).count();
    let mut held: BTreeMap<usize, u32> = BTreeMap::new();
    for at in asking {
        let Some(wish) = wishes.get(at) else { continue };
        let takes = wish.server.takes_traffic();
        let others = in_traffic - usize::from(takes);
        if others >= min as usize || (is_out(wish) && !takes) {
            in_traffic = others;
        } else {
            held.insert(at, u32::try_from(others).unwrap_or(u32::MAX));
        }
    }
    let judge = |(at, wish): (usize, Wish<'_>)| {
        let id = wish.server.id.clone();
        let Some(&others) = held.get(&at) else { return Judgement { id, want: wish.want, note: wish.note } };
        // A server that nobody has judged yet and that is stopped stays exactly as it is found.
        let want = if ledger.verdict(&id).is_none() && !wish.server.takes_traffic() { Want::Leave } else { Want::In };
        Judgement { id, want, note: Some(Note::Floor { min, others, drain: drained(&wish) }) }
    };
    wishes.into_iter().enumerate().map(judge).collect()
}
