//! The smallest HTTP client that can tell a refused answer from a dropped connection.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::support::DEADLINE;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// How a request can end.
#[derive(Debug)]
pub(crate) enum End {
    Answered(Answer),
    /// The connection was closed or reset before the first byte.
    Dropped,
    /// Not a byte within the time allowed.
    Silent,
}

/// A request under way.
pub(crate) struct Call(TcpStream);

impl Call {
    /// Connects and sends.
    pub(crate) fn begin(port: u16, method: &str, path: &str, body: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: bingo\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        Self(stream)
    }

    /// Reads to the end of the answer, waiting `patience` for each next byte.
    pub(crate) fn end(mut self, patience: Duration) -> End {
        self.0.set_read_timeout(Some(patience)).unwrap();
        let mut raw = Vec::new();
        match self.0.read_to_end(&mut raw) {
            Ok(0) => return End::Dropped,
            Ok(_) => {}
            Err(error) if raw.is_empty() && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return End::Silent,
            Err(error) if raw.is_empty() && error.kind() == ErrorKind::ConnectionReset => return End::Dropped,
            Err(error) => panic!("the answer broke off after {} bytes: {error}", raw.len()),
        }
        let text = String::from_utf8(raw).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no end of head: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        End::Answered(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }
}

/// One request that is expected to be answered.
pub(crate) fn send(port: u16, method: &str, path: &str, body: &str) -> Answer {
    match Call::begin(port, method, path, body).end(DEADLINE) {
        End::Answered(answer) => answer,
        end @ (End::Dropped | End::Silent) => panic!("{method} {path}: {end:?}"),
    }
}

pub(crate) fn get(port: u16, path: &str) -> Answer {
    send(port, "GET", path, "")
}
