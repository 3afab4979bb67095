//! What is sent to HAProxy, as values; the text is made here and nowhere else.

use std::fmt;
use warden_logic::fleet::observed::ServerId;

/// A change of one server. There is no `agent up`: it overrides a check that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// Out of rotation, at once.
    AgentDown(ServerId),
    /// Its own check starts over and needs its `rise` passes.
    HealthDown(ServerId),
    /// No new requests. The mark is the same as a person's.
    Drain(ServerId),
    /// Every mark is lifted, whoever's it is.
    Ready(ServerId),
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// Keep the connection. `i` asks 3.2 and later for no prompt; older ones ignore it and prompt.
    Prompt,
    /// The process.
    ShowInfo,
    /// Every server's state.
    ShowServersState,
    /// Every server's counters.
    ShowStat,
    /// One server's, by HAProxy's number for it.
    ShowStatOf(&'a ServerId, u32),
    /// What this connection may do.
    ShowLevel,
    /// A change.
    Push(&'a Push),
}

impl Push {
    /// The server.
    #[must_use]
    pub const fn id(&self) -> &ServerId {
        match self {
            Self::AgentDown(id) | Self::HealthDown(id) | Self::Drain(id) | Self::Ready(id) => id,
        }
    }

    /// False for a name that HAProxy does not allow, which could be more than a name on the command line.
    #[must_use]
    pub fn speakable(&self) -> bool {
        speakable(self.id())
    }
}

/// False for a name that HAProxy does not allow.
pub(super) fn speakable(id: &ServerId) -> bool {
    let name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    name(&id.backend) && name(&id.server)
}

impl Command<'_> {
    /// For error messages.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::ShowInfo => "show info",
            Self::ShowServersState => "show servers state",
            Self::ShowStat | Self::ShowStatOf(..) => "show stat",
            Self::ShowLevel => "show cli level",
            Self::Push(_) => "set server",
        }
    }
}

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt => f.write_str("prompt i"),
            Self::ShowInfo | Self::ShowServersState | Self::ShowLevel => f.write_str(self.name()),
            // All proxies, servers only (type 4), all servers.
            Self::ShowStat => f.write_str("show stat -1 4 -1"),
            Self::ShowStatOf(id, number) => write!(f, "show stat {} 4 {number}", id.backend),
            Self::Push(Push::AgentDown(id)) => write!(f, "set server {id} agent down"),
            Self::Push(Push::HealthDown(id)) => write!(f, "set server {id} health down"),
            Self::Push(Push::Drain(id)) => write!(f, "set server {id} state drain"),
            Self::Push(Push::Ready(id)) => write!(f, "set server {id} state ready"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_read_as_haproxy_wants_them() {
        let down = Push::AgentDown(ServerId::new("app", "s1"));
        let reset = Push::HealthDown(ServerId::new("app", "s-1.x:y_z"));
        assert_eq!(Command::Push(&down).to_string(), "set server app/s1 agent down");
        assert_eq!(Command::Push(&reset).to_string(), "set server app/s-1.x:y_z health down");
        assert!(down.speakable() && reset.speakable());
        assert_eq!(Command::Push(&Push::Drain(ServerId::new("app", "s1"))).to_string(), "set server app/s1 state drain");
        assert_eq!(Command::Push(&Push::Ready(ServerId::new("app", "s1"))).to_string(), "set server app/s1 state ready");
    }

    #[test]
    fn a_name_that_is_more_than_a_name_is_not_spoken() {
        for name in ["", "s1 state maint", "s1;disable server app/s2", "s1\nshow env", "s1\\", "s1/x", "#1", "sé"] {
            assert!(!Push::AgentDown(ServerId::new("app", name)).speakable(), "{name:?}");
            assert!(!Push::AgentDown(ServerId::new(name, "s1")).speakable(), "{name:?}");
        }
    }
}
