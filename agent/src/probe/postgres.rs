//! Whether a PostgreSQL takes logins: the start of one, as `pg_isready` does it.
//!
//! Written here and not with a library: a library wants to log in, and this must need no credential. It takes one packet of some
//! forty bytes and the first message of the answer. Whoever asks for a password, or refuses this login for any reason but
//! one, is up; `cannot_connect_now` (57P03) is what a server says that starts, recovers or ends.

use super::{Said, unreached};
use crate::printable::quoted;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use warden_edge::dial::Dial;

/// Protocol 3.0.
const VERSION: u32 = 196_608;
/// The end of a session, for a server that has let us in without a question.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];
/// An error has a few hundred bytes.
const LARGEST: usize = 16 * 1024;
const CANNOT_CONNECT_NOW: &str = "57P03";

/// Whether a PostgreSQL takes logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresAsk {
    /// `host:port`.
    pub address: String,
    /// Whose login is begun. No login is meant; a name that the server's `pg_hba.conf` does not know is a line in its log each time.
    pub user: String,
    /// For which database; empty: the one that is called as the user is.
    pub database: String,
}

pub(super) async fn ask(ask: &PostgresAsk, dial: &Dial) -> Said {
    let mut stream = match dial.connect().await {
        Ok(stream) => stream,
        Err(error) => return unreached(&error),
    };
    let exchange = async {
        stream.write_all(&startup(ask)).await?;
        let kind = stream.read_u8().await?;
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        // The length counts itself.
        if !(4..=LARGEST).contains(&length) {
            return Ok((kind, None));
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await?;
        // Politeness, and nothing hangs on it. Who is asked for a password and says anything else is told of in the server's log.
        if kind == b'R' && body == [0; 4] {
            let _ = stream.write_all(&TERMINATE).await;
        }
        Ok((kind, Some(body)))
    };
    match exchange.await {
        Ok((kind, body)) => judge(kind, body.as_deref()),
        Err(error) => Said::bad(broken(&error)),
    }
}

fn startup(ask: &PostgresAsk) -> Vec<u8> {
    let database = if ask.database.is_empty() { &ask.user } else { &ask.database };
    let parameters = format!("user\0{}\0database\0{database}\0application_name\0warden\0\0", ask.user);
    let length = u32::try_from(8 + parameters.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &VERSION.to_be_bytes(), parameters.as_bytes()].concat()
}

fn broken(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed without an answer".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => format!("no answer: {error}"),
    }
}

/// What the first message says. Pure. `None`: its length makes no sense.
fn judge(kind: u8, body: Option<&[u8]>) -> Said {
    match (kind, body) {
        (b'R', Some(_)) => Said::good("takes logins".to_owned()),
        (b'E', Some(body)) => {
            let (code, message) = (field(body, b'C').unwrap_or_default(), field(body, b'M').unwrap_or_default());
            match code.as_str() {
                CANNOT_CONNECT_NOW => Said::bad(format!("not yet: {} ({code})", quoted(&message))),
                "" => Said::bad("this is no PostgreSQL: an error without a code".to_owned()),
                _ => Said::good(format!("up, though it refuses this login: {} ({})", quoted(&message), quoted(&code).trim_matches('"'))),
            }
        }
        _ => Said::bad("this is no PostgreSQL: the answer is none of its messages".to_owned()),
    }
}

/// A field of an error: a letter, a text, a zero.
fn field(body: &[u8], kind: u8) -> Option<String> {
    let found = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&kind))?;
    Some(String::from_utf8_lossy(&found[1..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use warden_protocol::vocab::Verdict;

    #[test]
    fn the_first_message_decides() {
        let error = |code: &str| format!("SFATAL\0VFATAL\0C{code}\0Mthe database\n is\0Fpostmaster.c\0\0").into_bytes();
        let cases: [(u8, Option<Vec<u8>>, Verdict, &str); 7] = [
            (b'R', Some(vec![0, 0, 0, 10]), Verdict::Good, "takes logins"),
            (b'E', Some(error("57P03")), Verdict::Bad, r#"not yet: "the database\n is" (57P03)"#),
            (b'E', Some(error("28000")), Verdict::Good, r#"up, though it refuses this login: "the database\n is" (28000)"#),
            (b'E', Some(error("53300")), Verdict::Good, r#"up, though it refuses this login: "the database\n is" (53300)"#),
            (b'E', Some(b"nonsense".to_vec()), Verdict::Bad, "this is no PostgreSQL: an error without a code"),
            (b'E', None, Verdict::Bad, "this is no PostgreSQL: the answer is none of its messages"),
            (b'H', Some(b"TTP".to_vec()), Verdict::Bad, "this is no PostgreSQL: the answer is none of its messages"),
        ];
        for (kind, body, verdict, text) in cases {
            assert_eq!(judge(kind, body.as_deref()), Said { verdict, fatal: false, text: text.to_owned() });
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in proptest::num::u8::ANY, body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let said = judge(kind, Some(&body));
            proptest::prop_assert!(!said.text.chars().any(char::is_control));
        }
    }
}
