//! The log file: /opt/bongo/logs/<10 hex digits>/main.log.
//!
//! One JSON object a line, `msg` in the fourth place, the whole process environment in every line, as in the real
//! program; that is why the file grows so fast. The folder must exist, the file is made. A line that cannot be written
//! is lost: the program goes on.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// The open log.
pub(crate) struct Log {
    file: Mutex<File>,
    /// What ends each line: the environment, rendered once.
    tail: String,
}

impl Log {
    /// Opens the file below `dir` for writing at its end, and makes it if need be.
    ///
    /// # Errors
    /// The system's, when the folder is missing or closed to us.
    pub(crate) fn open(dir: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(dir.join("main.log"))?;
        let environment: serde_json::Map<String, Value> =
            std::env::vars_os().map(|(key, value)| (key.to_string_lossy().into_owned(), value.to_string_lossy().into())).collect();
        Ok(Self { file: Mutex::new(file), tail: format!(",\"environment\":{}}}\n", Value::Object(environment)) })
    }

    pub(crate) fn debug(&self, caller: &str, message: &str) {
        self.write("debug", caller, message, &[]);
    }

    pub(crate) fn info(&self, caller: &str, message: &str) {
        self.write("info", caller, message, &[]);
    }

    pub(crate) fn error(&self, caller: &str, message: &str, cause: &str) {
        self.write("error", caller, message, &[("error", cause.into())]);
    }

    /// One line, in one system call, so that lines never mix.
    pub(crate) fn write(&self, level: &str, caller: &str, message: &str, fields: &[(&str, Value)]) {
        let mut line = format!(
            "{{\"level\":\"{level}\",\"timestamp\":\"{:.6}\",\"caller\":\"{caller}\",\"msg\":{}",
            jiff::Timestamp::now(),
            Value::from(message)
        );
        for (key, value) in fields {
            line.push_str(&format!(",\"{key}\":{value}"));
        }
        line.push_str(&self.tail);
        let _ = self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}
