//! A roll as it is written down. Moments are not: whoever was on the way back is given its time once more.

use super::{End, Roll, Stage, Target};
use crate::fleet::observed::ServerId;
use crate::fleet::wishes::Word;
use crate::moment::{Moment, Span};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

impl Roll {
    /// As it is written down.
    #[must_use]
    pub fn keep(&self) -> Kept {
        let target = |target: &Target| KeptTarget {
            server: target.id.server.to_string(),
            named: target.named.clone(),
            stage: match &target.stage {
                Stage::Waits => KeptStage::Waits,
                Stage::Ordered => KeptStage::Ordered,
                Stage::Restarted { invocation, .. } | Stage::Soaking { invocation, .. } => KeptStage::Restarted(invocation.clone()),
                Stage::Done { invocation } => KeptStage::Done(invocation.clone()),
                Stage::Skipped(why) => KeptStage::Skipped(why.clone()),
            },
        };
        Kept {
            word: self.word.clone(),
            backend: self.backend.to_string(),
            max_unavailable: self.max_unavailable,
            soak_ms: self.soak.as_millis(),
            targets: self.targets.iter().map(target).collect(),
            end: self.end.clone(),
        }
    }

    /// From what was written down: whoever was on the way back is given its time once more.
    #[must_use]
    pub fn restore(kept: Kept, now: Moment) -> Self {
        let backend: Arc<str> = kept.backend.into();
        let target = |target: KeptTarget| Target {
            id: ServerId::new(&*backend, &*target.server),
            named: target.named,
            stage: match target.stage {
                KeptStage::Waits => Stage::Waits,
                KeptStage::Ordered => Stage::Ordered,
                KeptStage::Restarted(invocation) => Stage::Restarted { invocation, since: now },
                KeptStage::Done(invocation) => Stage::Done { invocation },
                KeptStage::Skipped(why) => Stage::Skipped(why),
            },
        };
        let targets = kept.targets.into_iter().map(target).collect();
        let soak = Span::from_millis(kept.soak_ms);
        Self { word: kept.word, backend, max_unavailable: kept.max_unavailable, soak, targets, end: kept.end }
    }
}

/// [`Roll`] as a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    #[serde(flatten)]
    word: Word,
    backend: String,
    max_unavailable: u32,
    soak_ms: u64,
    targets: Vec<KeptTarget>,
    end: Option<End>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptTarget {
    server: String,
    named: String,
    stage: KeptStage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptStage {
    Waits,
    Ordered,
    /// By which instance.
    Restarted(String),
    Done(String),
    Skipped(String),
}
