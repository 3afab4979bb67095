//! Who is at the other end of a Unix socket, and whether they may act: root, the program's own user, and members of a group.
//!
//! Left to others: what there is to do, and how a refusal is told.

use crate::serve::Peer;
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use std::ffi::CString;
use std::fmt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// The user database may be on another machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// People act one at a time; more at once than this is a script that should wait.
const QUESTIONS_BOUND: usize = 16;

/// Somebody, by the kernel's word, and by the name that the machine has for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    uid: u32,
    name: Option<String>,
}

/// Why somebody may not act, in a sentence with a remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// They may not.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody can say who they are.
    #[error("{0}")]
    CannotTell(String),
}

impl Who {
    /// As it is shown beside a mark: `anna`, `uid 1001`.
    #[must_use]
    pub fn short(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("uid {}", self.uid))
    }

    /// By the kernel's word.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid
    }
}

impl fmt::Display for Who {
    /// `anna (uid 1001)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

/// The machine's users and groups. They may come from a directory service, and nothing else waits for that: a thread asks, one
/// question after the other. It ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub struct Register(SyncSender<Question>);

struct Question {
    peer: Peer,
    group: String,
    reply: oneshot::Sender<Result<Who, Refused>>,
}

impl Register {
    /// Begins the thread.
    #[must_use]
    pub fn open() -> Self {
        let (sender, questions) = sync_channel::<Question>(QUESTIONS_BOUND);
        std::thread::spawn(move || {
            for Question { peer, group, reply } in questions {
                // Whoever asked may have gone.
                drop(reply.send(look(peer, &group)));
            }
        });
        Self(sender)
    }

    /// Who that is, when they may act: root, the program's own user, and members of `group`.
    ///
    /// The database of users is asked, not the peer's own list of groups, so that who has just been added need not log in
    /// again, and who was removed is out at once.
    ///
    /// # Errors
    /// They may not, or nobody can say who they are.
    pub async fn operator(&self, peer: Peer, group: String) -> Result<Who, Refused> {
        let (reply, answer) = oneshot::channel();
        let asked = self.0.try_send(Question { peer, group, reply });
        match (asked, tokio::time::timeout(PATIENCE, answer).await) {
            (Ok(()), Ok(Ok(answer))) => answer,
            _ => {
                let message = format!(
                    "who uid {} is cannot be told: the machine's user database does not answer  try: getent passwd {}",
                    peer.uid, peer.uid
                );
                Err(Refused::CannotTell(message))
            }
        }
    }
}

fn look(peer: Peer, group: &str) -> Result<Who, Refused> {
    let uid = Uid::from_raw(peer.uid);
    let user = if uid.is_root() { None } else { User::from_uid(uid).ok().flatten() };
    let name = if uid.is_root() { Some("root".to_owned()) } else { user.as_ref().map(|user| user.name.clone()) };
    let who = Who { uid: peer.uid, name };
    if uid.is_root() || uid == geteuid() {
        return Ok(who);
    }
    let forbidden =
        |remedy: String| Refused::Forbidden(format!("{who} may look, and not change anything here: {remedy}; or run it with sudo"));
    let Some(operators) = Group::from_name(group).ok().flatten() else {
        return Err(forbidden(format!("that takes group {group}, which this machine does not have  try: sudo addgroup --system {group}")));
    };
    if belongs(peer, user.as_ref(), operators.gid) {
        return Ok(who);
    }
    let name = user.map_or_else(|| "USER".to_owned(), |user| user.name);
    Err(forbidden(format!("that takes group {group}  try: sudo adduser {name} {group}")))
}

/// By the group that they act as, or by the database.
fn belongs(peer: Peer, user: Option<&User>, operators: Gid) -> bool {
    let listed = |user: &User| {
        let name = CString::new(user.name.as_str()).ok()?;
        Some(getgrouplist(&name, user.gid).ok()?.contains(&operators))
    };
    Gid::from_raw(peer.gid) == operators || user.and_then(listed).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody has this number.
    const STRANGER: u32 = 3_999_999_999;

    fn asked(uid: u32, gid: u32, group: &str) -> Result<String, String> {
        look(Peer { uid, gid, pid: None }, group).map(|who| who.to_string()).map_err(|refused| refused.to_string())
    }

    #[test]
    fn root_ourselves_and_the_group_may_act() {
        assert_eq!(asked(0, 0, "no-such-group").as_deref(), Ok("root (uid 0)"));
        let own = geteuid().as_raw();
        assert!(asked(own, STRANGER, "no-such-group").is_ok());
        let daemon = Group::from_name("daemon").unwrap().expect("every Debian has group daemon");
        let nobody = User::from_name("daemon").unwrap().expect("every Debian has user daemon");
        // By the group it runs as, and by what the database says of the user.
        assert_eq!(asked(STRANGER, daemon.gid.as_raw(), "daemon"), Ok(format!("uid {STRANGER}")));
        assert_eq!(asked(nobody.uid.as_raw(), STRANGER, "daemon"), Ok(format!("daemon (uid {})", nobody.uid)));
    }

    #[test]
    fn others_are_told_what_it_takes() {
        let wanted = format!(
            "uid {STRANGER} may look, and not change anything here: that takes group daemon  try: sudo adduser USER daemon; or run it with sudo"
        );
        assert_eq!(asked(STRANGER, STRANGER, "daemon"), Err(wanted));
        let wanted = asked(STRANGER, STRANGER, "no-such-group").unwrap_err();
        assert!(wanted.contains("which this machine does not have  try: sudo addgroup --system no-such-group"), "{wanted}");
    }
}
