//! The agent port: HAProxy asks about a server (`agent-send "backend/server\n"`), the coordinator answers with its verdict.
//!
//! `up` for *in*, `down #reason` for *out* (the blank in front of `#` matters), and nothing at all where there is no verdict: HAProxy then keeps what
//! it was told last. Never a word more: `ready`, `drain` and `maint` would overwrite what a person set.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use warden_logic::fleet::ledger::{Ledger, Verdict};
use warden_logic::fleet::observed::ServerId;

/// Questions at a time. HAProxy asks once a server and `agent-inter`; 1,000 servers every 200 ms are 5,000 a second, and
/// one is answered in well under a millisecond. Descriptors: 256.
const AT_A_TIME: usize = 256;
/// HAProxy's names are shorter; a longer question is none.
const LONGEST_QUESTION: usize = 512;
/// HAProxy sends its question with the connection. Its own time-out is its agent-inter.
const PATIENCE: Duration = Duration::from_secs(1);
/// HAProxy shows the reason on its page; it needs no more.
const LONGEST_REASON: usize = 120;

/// What the agent port answers. Cloned handles share one board.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<RwLock<HashMap<String, String>>>);

impl Board {
    /// From now on this is the answer about this server.
    pub fn say(&self, id: &ServerId, verdict: &Verdict) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id.to_string(), answer(verdict).into_owned());
    }

    /// From now on exactly these verdicts are answered.
    pub fn say_all(&self, ledger: &Ledger) {
        let mut said = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (mut question, mut verdicts) = (String::new(), 0);
        for (id, verdict) in ledger.verdicts() {
            verdicts += 1;
            question.clear();
            let _ = write!(question, "{id}"); // writing to a String cannot fail
            let answer = answer(verdict);
            // Most are as they were, and nothing is made anew for them.
            match said.get_mut(&question) {
                Some(before) if *before == answer => {}
                Some(before) => *before = answer.into_owned(),
                None => drop(said.insert(question.clone(), answer.into_owned())),
            }
        }
        if said.len() > verdicts {
            *said = ledger.verdicts().map(|(id, verdict)| (id.to_string(), answer(verdict).into_owned())).collect();
        }
    }

    /// The answer to a question, if there is one.
    #[must_use]
    pub fn answer(&self, question: &str) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(question.trim_end()).cloned()
    }
}

fn answer(verdict: &Verdict) -> Cow<'static, str> {
    match verdict {
        Verdict::In => Cow::Borrowed("up\n"),
        Verdict::Out(because) => {
            // HAProxy reads one line of plain text; the reason may quote foreign text.
            let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
            let reason: String = because.reason.text.chars().take(LONGEST_REASON).map(plain).collect();
            Cow::Owned(format!("down #{reason}\n"))
        }
    }
}

/// Binds the agent port. Loopback alone: whoever reaches it learns the verdicts.
///
/// # Errors
/// Whatever the kernel says.
pub async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Answers for ever.
pub async fn serve(listener: TcpListener, board: Board) {
    let permits = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        // None only if the semaphore were closed, which nobody does.
        let permit = Arc::clone(&permits).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, _)) => {
                let board = board.clone();
                // The task owns itself: it ends with its one answer, or by its deadline.
                tokio::spawn(async move {
                    // A question that breaks off is asked again by HAProxy; there is nobody to tell.
                    drop(tokio::time::timeout(PATIENCE, reply(stream, &board)).await);
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "a question on the agent port could not be accepted; trying again in 100 ms");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn reply(mut stream: TcpStream, board: &Board) -> io::Result<()> {
    let mut question = Vec::with_capacity(64);
    while !question.contains(&b'\n') && question.len() <= LONGEST_QUESTION {
        if stream.read_buf(&mut question).await? == 0 {
            break;
        }
    }
    let line = question.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Some(answer) = std::str::from_utf8(line).ok().and_then(|question| board.answer(question)) {
        stream.write_all(answer.as_bytes()).await?;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Names, servers_state};
    use super::*;
    use warden_logic::fleet::ledger::Because;
    use warden_logic::fleet::matching::Matches;
    use warden_logic::fleet::observed::{Identity, Observed};
    use warden_logic::fleet::roster::Roster;
    use warden_logic::moment::{Moment, Span};
    use warden_protocol::v1::Reason;

    fn out(text: &str) -> Verdict {
        Verdict::Out(Because { reason: Reason { label: "l".to_owned(), text: text.to_owned() }, incident: None, drain: false })
    }

    #[test]
    fn foreign_text_stays_one_line_of_plain_text() {
        assert_eq!(answer(&out("journal: We all\nup gonna die — now")), "down #journal: We all?up gonna die ? now\n");
        assert_eq!(answer(&out(&"x".repeat(500))).len(), "down #\n".len() + LONGEST_REASON);
        assert_eq!(answer(&Verdict::In), "up\n");
    }

    async fn ask(port: u16, question: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(question.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn a_verdict_is_answered_and_no_verdict_is_silence() {
        let board = Board::default();
        let listener = bind(0).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(serve(listener, board.clone()));
        board.say(&ServerId::new("app", "s1"), &Verdict::In);
        board.say(&ServerId::new("app", "s2"), &out("warming up"));
        assert_eq!(ask(port, "app/s1\n").await, "up\n");
        assert_eq!(ask(port, "app/s2\r\n").await, "down #warming up\n");
        assert_eq!(ask(port, "app/s3\n").await, "");
        assert_eq!(ask(port, &"x".repeat(LONGEST_QUESTION + 1)).await, "");
        board.say_all(&Ledger::default());
        assert_eq!(ask(port, "app/s1\n").await, "");
        server.abort();
    }

    /// Whatever was said before.
    #[test]
    fn exactly_the_ledgers_verdicts_are_answered() {
        let state = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/haproxy-3.0/servers-state"));
        let servers = servers_state(state, &mut Names::default()).unwrap();
        let ids: Vec<ServerId> = servers.iter().take(3).map(|server| server.id.clone()).collect();
        let observed = Observed { identity: Identity { pid: 1, started: 1 }, version: "3.0".to_owned(), servers };
        let verdicts = [None, Some(Verdict::In), Some(out("warming up")), Some(out("sick"))];
        let board = Board::default();
        for round in 0..256_usize {
            // Each of the three changes at a pace of its own.
            let of = |at: usize| verdicts[round * (at + 1) / 3 % 4].as_ref();
            let mut ledger = Ledger::default();
            ledger.note(Moment::default(), Span::from_secs(3), &observed, &Matches::default(), &Roster::default());
            for (at, id) in ids.iter().enumerate() {
                of(at).into_iter().for_each(|verdict| ledger.decide(id, verdict.clone()));
            }
            board.say_all(&ledger);
            for (at, id) in ids.iter().enumerate() {
                assert_eq!(board.answer(&format!("{id}\n")), of(at).map(|verdict| answer(verdict).into_owned()), "{round}");
            }
        }
    }
}
