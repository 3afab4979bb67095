//! Reading: records out of the journal, hits out of records.

use super::Rule;
use super::cursor::Position;
use super::matcher::{LINE_LIMIT, Message};
use super::sys::{Journal, cursor_text};
use crate::printable::{SHOWN_CHARS, escaped};
use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;
use warden_edge::clock::{boot_id, realtime_micros};
use warden_logic::moment::Moment;
use warden_logic::service::input::{Invocation, LogHit};

/// journald's own id for "Suppressed N messages from UNIT" (`SD_MESSAGE_JOURNAL_DROPPED`).
const SUPPRESSED: &str = "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e";
/// Records are looked for from a little before the start, because the wall clock, by which the journal is entered, may have
/// been set; what is too old is then left out by the monotonic clock.
const MARGIN_USEC: u64 = 10_000_000;

/// A journal that is open at a position and sees only what the rules are about.
pub(super) struct Reader {
    journal: Journal,
    boot_id: String,
    /// Records that were received before this are not ours to tell.
    since: u64,
    /// The current record, when it is one of this boot; its time.
    at: Option<u64>,
    /// The record that was read last is no longer there: what came right after it may be gone with it.
    pub(super) gap: bool,
}

/// What one record came to.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// It is of a watched unit and new.
    pub(super) record: bool,
    /// Hits, by index of the rule.
    pub(super) hits: Vec<(usize, LogHit)>,
    /// A line matched whose invocation journald does not know.
    pub(super) unattributed: bool,
    /// journald dropped this many messages of a watched unit.
    pub(super) suppressed: u64,
}

impl Reader {
    /// Opens the journal after the position that `saved` has for this boot, or else at records received from `since` on.
    pub(super) fn open(rules: &[Rule], saved: impl FnOnce(&str) -> Option<Position>, since: u64) -> io::Result<Self> {
        let boot_id = current_boot()?;
        let position = saved(&boot_id);
        let mut journal = Journal::open()?;
        journal.set_data_threshold(LINE_LIMIT * 2)?;
        for rule in rules {
            journal.add_match(&format!("_SYSTEMD_UNIT={}", rule.unit))?;
        }
        journal.add_disjunction()?;
        journal.add_match(SUPPRESSED)?;
        // Only journald itself has this transport: the id alone could be sent by anybody.
        journal.add_match("_TRANSPORT=driver")?;
        let mut reader = Self { journal, boot_id, since, at: None, gap: false };
        match position.and_then(|position| Some((cursor_text(&position.cursor)?, position.monotonic_usec))) {
            Some((cursor, monotonic)) if reader.journal.seek_cursor(&cursor).is_ok() => {
                reader.since = monotonic;
                reader.gap = !reader.settle_at(&cursor)?;
            }
            _ => reader.journal.seek_realtime(realtime_micros().saturating_sub(MARGIN_USEC))?,
        }
        Ok(reader)
    }

    /// After a seek to the cursor of a record that was told already: goes over it. Any other here is the first after it, and
    /// the record itself is gone: false.
    fn settle_at(&mut self, cursor: &CStr) -> io::Result<bool> {
        if !self.journal.next()? {
            return Ok(false);
        }
        let there = self.journal.is_at(cursor)?;
        if !there {
            self.journal.seek_cursor(cursor)?;
        }
        Ok(there)
    }

    /// Makes the next look a fresh one.
    ///
    /// journald counts an entry before it links it to the fields that are matched here. A look that falls between the two finds
    /// nothing, and libsystemd then does not look at that file again until the count has grown once more: the entry
    /// would stay unseen until the next one, whoever writes that (seen in 2 of 100 fatal lines). A seek makes it forget.
    pub(super) fn look_afresh(&mut self) -> io::Result<()> {
        // Without a record to return to, nothing was read yet, or it was vacuumed away: then the file is another one, too.
        let Some(cursor) = self.journal.cursor().ok().and_then(|text| cursor_text(&text)) else { return Ok(()) };
        self.journal.seek_cursor(&cursor)?;
        self.settle_at(&cursor).map(drop)
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.journal.descriptor()
    }

    pub(super) fn process(&mut self) -> io::Result<()> {
        self.journal.process()
    }

    /// The next record, compared with the rules. `None`: there is none yet.
    pub(super) fn next(&mut self, rules: &[Rule]) -> io::Result<Option<Seen>> {
        if !self.journal.next()? {
            return Ok(None);
        }
        let (at, boot) = self.journal.received()?;
        if boot != self.boot_id || at < self.since {
            return Ok(Some(Seen::default()));
        }
        self.at = Some(at);
        let unit = self.text(c"_SYSTEMD_UNIT")?.unwrap_or_default();
        let Some(bytes) = self.journal.data(c"MESSAGE")?.map(<[u8]>::to_vec) else {
            return Ok(Some(Seen { record: true, ..Seen::default() }));
        };
        let message = Message::of(&bytes);
        let matching: Vec<usize> = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.unit == unit && rule.matcher.matches(&message))
            .map(|(index, _)| index)
            .collect();
        let mut seen = Seen { record: rules.iter().any(|rule| rule.unit == unit), ..Seen::default() };
        if !seen.record {
            seen.suppressed = suppressed(message.trimmed(), rules);
        }
        if matching.is_empty() {
            return Ok(Some(seen));
        }
        let invocation = self.text(c"_SYSTEMD_INVOCATION_ID")?.and_then(|text| u128::from_str_radix(&text, 16).ok()).map(Invocation);
        let Some(invocation) = invocation else {
            seen.unattributed = true;
            return Ok(Some(seen));
        };
        seen.hits = matching
            .into_iter()
            .map(|index| {
                let pattern = rules[index].pattern;
                let line = escaped(&rules[index].matcher.excerpt(&message, SHOWN_CHARS), SHOWN_CHARS);
                (index, LogHit { invocation, pattern, line: format!("journal: {line}"), at: Moment::from_micros(at) })
            })
            .collect();
        Ok(Some(seen))
    }

    /// The last record that [`Reader::next`] went over, when it was of this boot and its file is still there: one that
    /// was vacuumed away leaves no cursor until the next record comes.
    pub(super) fn position(&mut self) -> Option<Position> {
        let monotonic_usec = self.at?;
        Some(Position { boot_id: self.boot_id.clone(), monotonic_usec, cursor: self.journal.cursor().ok()? })
    }

    fn text(&mut self, field: &CStr) -> io::Result<Option<String>> {
        Ok(self.journal.data(field)?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// The boot that journald writes under, as its records have it.
///
/// That is the kernel's, but for a container, whose systemd puts another id over the kernel's file, which a service's own
/// `ProtectKernelTunables=` may take away again (seen with systemd 252). When no record has the kernel's, the newest record's
/// is taken. Not the newest always: a clock that was wrong at boot may sort an older boot behind this one.
fn current_boot() -> io::Result<String> {
    let kernel = boot_id()?;
    let mut journal = Journal::open()?;
    journal.add_match(&format!("_BOOT_ID={kernel}"))?;
    if journal.newest_boot()?.is_some() {
        return Ok(kernel);
    }
    Journal::open()?.newest_boot()?.ok_or_else(|| {
        let text = "no record of the journal can be read; add this program's user to the group systemd-journal";
        io::Error::new(io::ErrorKind::PermissionDenied, text)
    })
}

/// How many messages journald says it dropped, when they were one of the rules' units'. `Suppressed 12 messages from a.service`
fn suppressed(message: &str, rules: &[Rule]) -> u64 {
    let mut words = message.split_whitespace();
    let (Some("Suppressed"), Some(count), Some("messages"), Some("from"), Some(unit)) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return 0;
    };
    if rules.iter().any(|rule| rule.unit == unit) { count.parse().unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::matcher::Matcher;

    #[test]
    fn journald_s_own_word_about_a_gap_is_understood() {
        let rules = [Rule {
            service: 0,
            unit: "bingo.service".to_owned(),
            name: "doom".to_owned(),
            matcher: Matcher::Line("x".to_owned()),
            pattern: 0,
        }];
        assert_eq!(suppressed("Suppressed 1234 messages from bingo.service", &rules), 1234);
        assert_eq!(suppressed("Suppressed 1234 messages from other.service", &rules), 0);
        assert_eq!(suppressed("Suppressed many messages from bingo.service", &rules), 0);
        assert_eq!(suppressed("", &rules), 0);
    }
}
