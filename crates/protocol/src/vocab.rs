//! The words that mean one thing everywhere: value enums shared by messages, decisions, metrics and logs.
//!
//! Each has a stable lower-case label, the same in JSON, in metrics and in the journal. Every enum here names what a reader makes of a word that it
//! does not know, from a peer one version ahead: always the value that changes least.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// Declares a value enum whose JSON form, `label()` and `Display` are the same lower-case word; after `else` stands what an unknown word means.
macro_rules! labelled {
    ($(#[$meta:meta])* $name:ident else $fallback:ident { $($(#[$vmeta:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name { $($(#[$vmeta])* #[cfg_attr(feature = "schema", schemars(rename = $label))] $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable word for this value in JSON, metrics and the journal.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.label())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.label())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Word;
                impl Visitor<'_> for Word {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a word")
                    }
                    fn visit_str<E: Error>(self, word: &str) -> Result<$name, E> {
                        Ok(match word { $($label => $name::$variant,)+ _ => $name::$fallback })
                    }
                }
                deserializer.deserialize_str(Word)
            }
        }
    };
}

labelled! {
    /// Where a supervised service stands. `wants()` tells what follows for its traffic.
    ServiceState else Unknown {
        /// The agent has not seen the unit yet.
        Unknown = "unknown",
        /// The unit is not running, and nobody has asked for it: an operator stopped it.
        Stopped = "stopped",
        /// systemd is starting the unit, or has it in its own automatic restart.
        Starting = "starting",
        /// The process runs; within the warm-up no failing verdict counts.
        Warming = "warming",
        /// The warm-up is over; good probes are being collected.
        Proving = "proving",
        /// Fit to serve.
        Serving = "serving",
        /// Some probes failed, fewer than the threshold.
        Suspect = "suspect",
        /// Not fit to serve: out of rotation, a restart follows as soon as it may.
        Sick = "sick",
        /// A restart job is under way.
        Restarting = "restarting",
        /// A restart is due and waits for its back-off to end.
        Waiting = "waiting",
        /// Gave up for now: restarts did not help. One trial every few minutes.
        Parked = "parked",
        /// Waits for somebody else, for example a dependency that is down.
        Held = "held",
        /// On its way out for a planned restart or maintenance.
        Leaving = "leaving",
        /// Out by an operator's mark.
        Maintenance = "maintenance",
    }
}

labelled! {
    /// What a service's traffic should be.
    Traffic else Keep {
        /// In rotation.
        In = "in",
        /// Out of rotation.
        Out = "out",
        /// As it is: unknown changes nothing.
        Keep = "keep",
    }
}

labelled! {
    /// What an answer of one probe says.
    Verdict else Busy {
        /// Fit.
        Good = "good",
        /// Not fit.
        Bad = "bad",
        /// Overloaded: no evidence either way.
        Busy = "busy",
    }
}

labelled! {
    /// How much a piece of evidence weighs.
    Evidence else Suspect {
        /// Counts towards a threshold.
        Suspect = "suspect",
        /// Stands by itself.
        Fatal = "fatal",
    }
}

labelled! {
    /// What an agent asks for about a restart.
    RestartWish else No {
        /// Nothing.
        No = "no",
        /// A permit, before it begins.
        Ask = "ask",
        /// Nothing: it restarts on its own authority (fatal evidence).
        Now = "now",
    }
}

labelled! {
    /// What HAProxy is seen to do with a server.
    Confirmed else Unknown {
        /// HAProxy sends requests to it.
        In = "in",
        /// HAProxy sends no new request to it.
        Out = "out",
        /// Not observed, or HAProxy cannot be reached.
        Unknown = "unknown",
    }
}

labelled! {
    /// Who decided the traffic that is confirmed.
    Holder else Haproxy {
        /// Nobody holds anything: HAProxy's own judgement.
        Haproxy = "haproxy",
        /// Warden took the server out.
        Warden = "warden",
        /// A person's mark on the server (`maint`, `drain`, `disable agent`).
        Operator = "operator",
        /// The floor keeps the server in although its agent wants it out.
        Floor = "floor",
    }
}

impl ServiceState {
    /// What this state wants of the balancer.
    ///
    /// `serving` and `suspect` want *in*; `unknown` and `held` want *keep*; every other state wants *out*.
    #[must_use]
    pub const fn wants(self) -> Traffic {
        match self {
            Self::Serving | Self::Suspect => Traffic::In,
            Self::Unknown | Self::Held => Traffic::Keep,
            Self::Stopped
            | Self::Starting
            | Self::Warming
            | Self::Proving
            | Self::Sick
            | Self::Restarting
            | Self::Waiting
            | Self::Parked
            | Self::Leaving
            | Self::Maintenance => Traffic::Out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_distinct_and_equal_the_json_form() {
        let labels: HashSet<_> = ServiceState::ALL.iter().map(|state| state.label()).collect();
        assert_eq!(labels.len(), ServiceState::ALL.len());
        for state in ServiceState::ALL {
            assert_eq!(serde_json::to_string(state).unwrap(), format!("\"{state}\""));
        }
    }

    /// What a peer one version ahead says for the first time, and what is no word at all.
    #[test]
    fn an_unknown_word_means_what_changes_least() {
        fn read<T: serde::de::DeserializeOwned>() -> T {
            serde_json::from_str("\"of_the_next_version\"").unwrap()
        }
        assert_eq!((read::<ServiceState>(), read::<ServiceState>().wants()), (ServiceState::Unknown, Traffic::Keep));
        assert_eq!((read::<Traffic>(), read::<RestartWish>()), (Traffic::Keep, RestartWish::No));
        assert_eq!((read::<Verdict>(), read::<Evidence>()), (Verdict::Busy, Evidence::Suspect));
        assert_eq!((read::<Confirmed>(), read::<Holder>()), (Confirmed::Unknown, Holder::Haproxy));
        assert!(serde_json::from_str::<Traffic>("7").is_err());
    }

    #[test]
    fn only_serving_and_suspect_want_traffic() {
        let wanting: Vec<_> = ServiceState::ALL.iter().filter(|state| state.wants() == Traffic::In).collect();
        assert_eq!(wanting, [&ServiceState::Serving, &ServiceState::Suspect]);
    }
}
