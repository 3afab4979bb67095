//! journald's syslog forward: a datagram for every message, before it is written. It says *look now* and nothing else.
//!
//! A datagram may be dropped and anybody may send one, so what it says is never evidence; whether it looks like one of the
//! rules' lines decides only how hard the journal is looked at.

use super::Rule;
use super::matcher::Message;
use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::{AsRawFd, OwnedFd};

/// As much of a datagram as is compared. Longer ones are cut, and then found by the 250 ms notification at the latest.
const DATAGRAM: usize = 8 * 1024;
/// Datagrams taken in one go before the journal is looked at; the kernel queues 512 at most.
const AT_ONCE: usize = 512;

/// The socket, and what came by it.
pub(super) struct Hints {
    pub(super) socket: OwnedFd,
    buffer: Vec<u8>,
}

/// What waited on the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// journald forwards: at least one datagram.
    pub(super) any: bool,
    /// One of them reads like a line that a rule is waiting for.
    pub(super) urgent: bool,
}

impl Hints {
    pub(super) fn on(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; DATAGRAM] }
    }

    /// Empties the socket without waiting. It must be emptied whatever it says: journald drops what does not fit.
    pub(super) fn drain(&mut self, rules: &[Rule]) -> Waiting {
        let mut waiting = Waiting::default();
        for _ in 0..AT_ONCE {
            // Any error means that there is nothing more for now; a broken socket shows in its silence.
            let Ok(length) = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) else { break };
            waiting.any = true;
            if !waiting.urgent {
                let message = Message::of(message(&self.buffer[..length]));
                waiting.urgent = rules.iter().any(|rule| rule.matcher.matches(&message));
            }
        }
        waiting
    }
}

/// What was logged, out of `<30>Nov 23 18:00:00 bingo[123]: We all gonna die`.
fn message(datagram: &[u8]) -> &[u8] {
    let after = |sign: &[u8]| datagram.windows(sign.len()).position(|window| window == sign).and_then(|at| datagram.get(at + sign.len()..));
    after(b"]: ").or_else(|| after(b": ")).unwrap_or(datagram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::matcher::Matcher;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, send, socketpair};

    #[test]
    fn the_message_is_found_behind_any_head() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"<30>Nov 23 18:00:00 bingo[123]: We all gonna die", b"We all gonna die"),
            (b"<30>Nov 23 18:00:00 bingo: We all gonna die", b"We all gonna die"),
            (b"<30>Nov 23 18:00:00 bingo[1]: a]: b", b"a]: b"),
            (b"no head", b"no head"),
            (b"", b""),
        ];
        for (datagram, wanted) in cases {
            assert_eq!(message(datagram), wanted);
        }
    }

    #[test]
    fn draining_takes_everything_and_tells_what_is_urgent() {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Datagram, None, SockFlag::empty()).unwrap();
        let rule = Rule {
            service: 0,
            unit: "bingo.service".to_owned(),
            name: "doom".to_owned(),
            matcher: Matcher::Line("We all gonna die".to_owned()),
            pattern: 0,
        };
        let rules = [rule];
        let mut hints = Hints::on(ours);
        assert_eq!(hints.drain(&rules), Waiting::default(), "an empty socket does not wait");
        let say = |text: &str| send(theirs.as_raw_fd(), text.as_bytes(), MsgFlags::empty()).unwrap();
        say("<30>Nov 23 18:00:00 bingo[1]: all is well");
        assert_eq!(hints.drain(&rules), Waiting { any: true, urgent: false });
        say("<30>Nov 23 18:00:00 bingo[1]: We all gonna die");
        say("<30>Nov 23 18:00:00 bingo[1]: and more");
        assert_eq!(hints.drain(&rules), Waiting { any: true, urgent: true });
        assert_eq!(hints.drain(&rules), Waiting::default());
    }
}
