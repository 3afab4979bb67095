//! A roll: every server of a backend is restarted once, by plan, in HAProxy's order.
//!
//! A roll decides whose turn it is, and names the instance that is to be restarted; leave to be out is given by [`super::permits`] as for
//! any other planned restart, so that floor, budget and marks hold here, too. A server is done when another instance than the named one
//! serves at its full weight and has been well for the soak; who restarted it does not matter.
//!
//! Guarantees: no more servers of a roll are under way than `max_unavailable`; each is restarted by it once at most; it stops at the first
//! one that was restarted and is sick, restarted again, or not back in time, and then begins nothing more; nothing here takes out or
//! keeps out anybody. In reading order: this page, the roll and its review; `step`, what becomes of one server; `kept`, its
//! document. A coordinator that was restarted goes on with it, see [`Kept`]; only soaks begin anew.

mod kept;
mod step;

pub use kept::Kept;

use super::Scene;
use super::budget::Standing;
use super::observed::{Server, ServerId};
use super::wishes::Word;
use crate::moment::{Moment, Span};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use step::{step, unfit};

const GONE: &str = "HAProxy does not have it any more";

/// What an operator asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The backend; none: the only one.
    pub backend: Option<String>,
    /// So many servers at once. None: as many as the configuration allows, and never more.
    pub max_unavailable: Option<u32>,
    /// How long whoever was restarted has to be well. None: what the configuration says, and never less.
    pub soak: Option<Span>,
}

/// A roll, under way or over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll {
    word: Word,
    backend: Arc<str>,
    max_unavailable: u32,
    soak: Span,
    targets: Vec<Target>,
    end: Option<End>,
}

/// How a roll ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Everybody that could be was restarted, and is well.
    Done,
    /// It stopped by itself, or was stopped: why, in a sentence.
    Stopped(String),
}

/// One server of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub id: ServerId,
    /// The InvocationID that is to be restarted.
    named: String,
    /// How far it is.
    pub stage: Stage,
}

/// How far a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is not its turn yet.
    Waits,
    /// Its agent is asked to restart it.
    Ordered,
    /// Another instance runs, and is not back yet.
    Restarted {
        /// That one.
        invocation: String,
        /// Since when.
        since: Moment,
    },
    /// It is back, at its full weight.
    Soaking {
        /// The instance.
        invocation: String,
        /// Since when.
        since: Moment,
    },
    /// Restarted and well.
    Done {
        /// The instance.
        invocation: String,
    },
    /// Left out: why, in a sentence.
    Skipped(String),
}

impl Stage {
    /// The stable word.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Ordered => "ordered",
            Self::Restarted { .. } => "restarted",
            Self::Soaking { .. } => "soaking",
            Self::Done { .. } => "done",
            Self::Skipped(_) => "skipped",
        }
    }

    const fn is_under_way(&self) -> bool {
        matches!(self, Self::Ordered | Self::Restarted { .. } | Self::Soaking { .. })
    }

    const fn is_over(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Skipped(_))
    }
}

/// Something happened to a roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This server is done.
    Done(ServerId),
    /// This one was left out, for this reason.
    Skipped(ServerId, String),
    /// Something that only has to be kept.
    Moved,
    /// It is over.
    Ended(End),
}

impl Roll {
    /// Makes ready to restart everybody of a backend. Nothing is ordered yet.
    ///
    /// # Errors
    /// When there is nothing that could be rolled; in a sentence.
    pub fn new(scene: &Scene<'_>, asked: &Asked, word: Word) -> Result<Self, String> {
        let backend = backend(scene, asked.backend.as_deref())?;
        let servers = scene.observed.backends().find(|(name, _)| *name == &*backend).map(|(_, servers)| servers).unwrap_or_default();
        let policy = scene.policy.backend(&backend);
        let most = u32::try_from(policy.max_unavailable.of(servers.len())).unwrap_or(u32::MAX);
        let max_unavailable = asked.max_unavailable.map_or(most, |asked| asked.min(most));
        if max_unavailable == 0 {
            return Err(format!(
                "nothing of backend {backend} may be out by plan: max_unavailable is {} in the coordinator's configuration",
                policy.max_unavailable
            ));
        }
        let target = |server: &Server| {
            let standing = Standing::of(scene, server, false);
            let nobody = || standing.node.is_none().then(|| "no agent speaks for it".to_owned());
            let stage = unfit(&standing).or_else(nobody).map_or(Stage::Waits, Stage::Skipped);
            let named = standing.said.map(|said| said.invocation.clone()).unwrap_or_default();
            Target { id: server.id.clone(), named, stage }
        };
        let targets: Vec<Target> = servers.iter().map(target).collect();
        if targets.iter().all(|target| target.stage.is_over()) {
            let why = targets.iter().map(|target| format!("{}: {}", target.id.server, target.text(scene))).collect::<Vec<_>>().join("; ");
            return Err(format!("no server of backend {backend} can be rolled: {why}"));
        }
        Ok(Self { word, backend, max_unavailable, soak: asked.soak.unwrap_or_default().max(policy.soak), targets, end: None })
    }

    /// Looks at everything once.
    pub fn review(&mut self, scene: &Scene<'_>) -> Vec<News> {
        let mut news = Vec::new();
        if self.end.is_some() {
            return news;
        }
        let within = scene.policy.backend(&self.backend).permit_lease;
        for target in &mut self.targets {
            let Some(standing) = standing(scene, &target.id) else {
                if target.stage.is_under_way() {
                    let why = GONE.to_owned();
                    news.push(News::Skipped(target.id.clone(), why.clone()));
                    target.stage = Stage::Skipped(why);
                }
                continue;
            };
            match step(scene.now, self.soak, within, target, &standing) {
                Ok(None) => {}
                Ok(Some(stage)) => {
                    news.push(match &stage {
                        Stage::Done { .. } => News::Done(target.id.clone()),
                        Stage::Skipped(why) => News::Skipped(target.id.clone(), why.clone()),
                        Stage::Waits | Stage::Ordered | Stage::Restarted { .. } | Stage::Soaking { .. } => News::Moved,
                    });
                    target.stage = stage;
                }
                Err(why) => {
                    let end = End::Stopped(format!("{}: {why}", target.id));
                    self.end(end, &mut news);
                    return news;
                }
            }
        }
        self.next(scene, &mut news);
        if self.targets.iter().all(|target| target.stage.is_over()) {
            self.end(End::Done, &mut news);
        }
        news
    }

    /// Whose turn it is.
    fn next(&mut self, scene: &Scene<'_>, news: &mut Vec<News>) {
        if scene.wishes.paused(scene.now).is_some() {
            return;
        }
        let under_way = self.targets.iter().filter(|target| target.stage.is_under_way()).count();
        let mut free = (self.max_unavailable as usize).saturating_sub(under_way);
        for target in &mut self.targets {
            if free == 0 {
                return;
            }
            if target.stage != Stage::Waits {
                continue;
            }
            let unfit = standing(scene, &target.id).map_or_else(|| Some(GONE.to_owned()), |now| unfit(&now));
            if let Some(why) = unfit {
                news.push(News::Skipped(target.id.clone(), why.clone()));
                target.stage = Stage::Skipped(why);
            } else {
                news.push(News::Moved);
                target.stage = Stage::Ordered;
                free -= 1;
            }
        }
    }

    /// Ends it by an operator's word; what is under way comes to its own end. False when it was over.
    pub fn stop(&mut self, word: &Word) -> bool {
        let running = self.end.is_none();
        self.end.get_or_insert_with(|| End::Stopped(format!("stopped by {word}")));
        running
    }

    fn end(&mut self, end: End, news: &mut Vec<News>) {
        self.end = Some(end.clone());
        news.push(News::Ended(end));
    }

    /// The instance of this server that is to be restarted now.
    #[must_use]
    pub fn orders(&self, id: &ServerId) -> Option<&str> {
        let target = self.targets.iter().find(|target| target.id == *id)?;
        (self.end.is_none() && target.stage == Stage::Ordered).then_some(&target.named)
    }

    /// Who asked for it, and why.
    #[must_use]
    pub const fn word(&self) -> &Word {
        &self.word
    }

    /// HAProxy's backend.
    #[must_use]
    pub const fn backend(&self) -> &Arc<str> {
        &self.backend
    }

    /// So many servers at once.
    #[must_use]
    pub const fn max_unavailable(&self) -> u32 {
        self.max_unavailable
    }

    /// How long whoever was restarted has to be well.
    #[must_use]
    pub const fn soak(&self) -> Span {
        self.soak
    }

    /// Its servers, in their order.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// How it ended; none: it runs.
    #[must_use]
    pub const fn ended(&self) -> Option<&End> {
        self.end.as_ref()
    }
}

impl Target {
    /// How far it is, in a sentence.
    #[must_use]
    pub fn text(&self, scene: &Scene<'_>) -> String {
        let said = standing(scene, &self.id).and_then(|standing| standing.said);
        let agent = || said.map_or("its agent is silent".to_owned(), |said| format!("{}: {}", said.state, said.reason.text));
        match &self.stage {
            Stage::Waits => "waits for its turn".to_owned(),
            Stage::Ordered => agent(),
            Stage::Restarted { .. } => format!("on its way back: {}", agent()),
            Stage::Soaking { since, .. } => format!("well for {}", scene.now.since(*since)),
            Stage::Done { .. } => "well".to_owned(),
            Stage::Skipped(why) => format!("left out: {why}"),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("every server was restarted, and is well"),
            Self::Stopped(why) => f.write_str(why),
        }
    }
}

fn standing<'a>(scene: &Scene<'a>, id: &ServerId) -> Option<Standing<'a>> {
    scene.observed.server(id).map(|server| Standing::of(scene, server, false))
}

/// The one that is meant.
fn backend(scene: &Scene<'_>, asked: Option<&str>) -> Result<Arc<str>, String> {
    let spoken_for = |name: &&str| scene.matches.claims.keys().any(|id| *id.backend == **name);
    let names: Vec<&str> = scene.observed.backends().map(|(name, _)| name).filter(spoken_for).collect();
    match (asked, names.as_slice()) {
        (Some(asked), _) if names.contains(&asked) => Ok(asked.into()),
        (None, [only]) => Ok((*only).into()),
        (_, []) => Err("no agent speaks for any server: there is nothing to roll".to_owned()),
        (Some(asked), _) => Err(format!("no agent speaks for a server of backend {asked:?}; there is {}", names.join(", "))),
        (None, _) => Err(format!("say which backend: {}", names.join(", "))),
    }
}
