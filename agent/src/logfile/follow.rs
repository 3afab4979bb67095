//! One file, by its name: opening, reading, rotation, and where an invocation's lines begin.

use super::lines::Lines;
use super::position::Position;
use nix::fcntl::OFlag;
use nix::sys::inotify::{AddWatchFlags, Inotify, WatchDescriptor};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use warden_logic::service::input::Invocation;

/// Read in one look at a file, so that one that grows without end keeps nobody waiting.
const AT_ONCE: u64 = 4 * 1024 * 1024;
/// Who rotates by renaming tells the writer afterwards, and it writes to the old file until it has listened.
const OLD_KEPT: u64 = 60_000_000;

/// Bytes that are compared: two lines of a log that end alike to this length are hardly at the same place of two files.
const BEFORE: usize = 64;

/// A file that is followed.
pub(super) struct Follow {
    pub(super) service: usize,
    pub(super) path: PathBuf,
    /// Whose lines are read; none before the first.
    of: Option<Invocation>,
    /// Of the agent before; until the first invocation.
    saved: Vec<Position>,
    begins: Begins,
    current: Option<Open>,
    /// The file that had the name before, and until when it is read.
    old: Option<(Open, u64)>,
    /// What stands in the way.
    pub(super) trouble: Option<String>,
}

struct Open {
    file: File,
    device: u64,
    inode: u64,
    offset: u64,
    /// The bytes before `offset`, by which a file that was cut and has grown beyond it again is told.
    before: Vec<u8>,
    lines: Lines,
    watch: Option<WatchDescriptor>,
}

/// Where the current invocation's lines begin in a file that could not be opened when it became current.
#[derive(Clone, Copy, Debug)]
enum Begins {
    /// There was none: whatever comes is this one's.
    Start,
    /// In this file (device, inode), at this size; another file is this one's.
    At(u64, u64, u64),
    /// Nobody knows: at the end that it has when it can be opened.
    End,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked {
    /// Something was read.
    pub(super) any: bool,
    /// There is more than was read.
    pub(super) more: bool,
}

impl Follow {
    pub(super) fn new(service: usize, path: PathBuf, saved: Vec<Position>) -> Self {
        Self { service, path, of: None, saved, begins: Begins::Start, current: None, old: None, trouble: None }
    }

    /// Where the reading is, for whoever comes after this process.
    pub(super) fn positions(&self) -> Vec<Position> {
        let (Some(of), Some(open)) = (self.of, &self.current) else { return self.saved.clone() };
        let offset = open.offset - open.lines.unfinished();
        let (invocation, path) = (of.to_string(), self.path.clone());
        vec![Position { path, invocation, device: open.device, inode: open.inode, offset }]
    }

    /// Reads what is new and gives each line with the invocation that it belongs to. Without a current invocation nothing is read.
    pub(super) fn look(
        &mut self,
        current: Option<Invocation>,
        inotify: Option<&Inotify>,
        now: u64,
        mut line: impl FnMut(Invocation, &[u8]),
    ) -> Looked {
        let Some(invocation) = current else { return Looked::default() };
        let begins = self.of != Some(invocation);
        if begins {
            self.begin(invocation, inotify);
        }
        let mut looked = Looked::default();
        if let Some((old, until)) = &mut self.old {
            let read = old.read(|text| line(invocation, text));
            looked.any |= read.as_ref().is_ok_and(|length| *length > 0);
            if now > *until || read.is_err() {
                self.old.take().into_iter().for_each(|(old, _)| old.close(inotify));
            }
        }
        // At most one rotation is gone through in a look; the next one follows at once.
        for _ in 0..2 {
            if let Some(open) = &mut self.current {
                match open.read(|text| line(invocation, text)) {
                    Ok(length) => {
                        looked.any |= length > 0;
                        looked.more = length >= AT_ONCE;
                    }
                    Err(error) => {
                        self.trouble = Some(format!("cannot be read: {error}"));
                        self.current.take().into_iter().for_each(|open| open.close(inotify));
                        break;
                    }
                }
            }
            if looked.more || !self.reopen(inotify, now) {
                break;
            }
        }
        looked
    }

    /// An invocation has become current: what lies in the file is an older one's, unless this one's was read before.
    fn begin(&mut self, invocation: Invocation, inotify: Option<&Inotify>) {
        self.of = Some(invocation);
        for open in self.current.take().into_iter().chain(self.old.take().map(|(old, _)| old)) {
            open.close(inotify);
        }
        let saved = std::mem::take(&mut self.saved).into_iter().find(|saved| saved.invocation == invocation.to_string());
        self.begins = match std::fs::metadata(&self.path) {
            Ok(metadata) => Begins::At(metadata.dev(), metadata.ino(), metadata.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Begins::Start,
            Err(_) => Begins::End,
        };
        match Open::at(&self.path, inotify) {
            Ok(mut open) => {
                let offset = match saved {
                    Some(saved) if (saved.device, saved.inode) == (open.device, open.inode) => saved.offset,
                    // Rotated while no agent ran, and within this invocation: all that is in the new file is its.
                    Some(_) => 0,
                    None => open.size(),
                };
                open.go_to(offset);
                (self.trouble, self.begins) = (None, Begins::Start);
                self.current = Some(open);
            }
            Err(why) => self.trouble = Some(why),
        }
    }

    /// Opens what has the name now, when that is not what is open. True when there is something new to read.
    fn reopen(&mut self, inotify: Option<&Inotify>, now: u64) -> bool {
        let named = std::fs::metadata(&self.path).ok().map(|of| (of.dev(), of.ino()));
        let open = self.current.as_ref().map(|open| (open.device, open.inode));
        if open.is_some() && (named == open || named.is_none()) {
            // Renamed, and nothing has its name yet: it is read on under whatever name.
            self.trouble = None;
            return false;
        }
        match Open::at(&self.path, inotify) {
            Ok(mut new) => {
                match std::mem::replace(&mut self.begins, Begins::Start) {
                    Begins::At(device, inode, size) if (device, inode) == (new.device, new.inode) => new.go_to(size),
                    Begins::End => new.go_to(new.size()),
                    Begins::At(..) | Begins::Start => {}
                }
                self.trouble = None;
                if let Some(old) = self.current.replace(new)
                    && let Some((older, _)) = self.old.replace((old, now.saturating_add(OLD_KEPT)))
                {
                    older.close(inotify);
                }
                true
            }
            Err(why) => {
                self.trouble = Some(why);
                false
            }
        }
    }
}

impl Open {
    fn at(path: &Path, inotify: Option<&Inotify>) -> Result<Self, String> {
        let what = |error: &io::Error| match error.kind() {
            ErrorKind::NotFound => "is not there; waiting for it".to_owned(),
            ErrorKind::PermissionDenied => "cannot be read: permission denied; give the agent's user the right to read it".to_owned(),
            _ => format!("cannot be opened: {error}"),
        };
        // Looked at before it is opened: opening a device or a FIFO does something to it.
        check(&std::fs::metadata(path).map_err(|error| what(&error))?)?;
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags.bits()).open(path).map_err(|error| what(&error))?;
        let metadata = file.metadata().map_err(|error| what(&error))?;
        check(&metadata)?;
        // Through a link, too: the folder's watch does not see what is written elsewhere.
        let watch = inotify.and_then(|inotify| inotify.add_watch(path, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB).ok());
        Ok(Self { file, device: metadata.dev(), inode: metadata.ino(), offset: 0, before: Vec::new(), lines: Lines::default(), watch })
    }

    fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    fn go_to(&mut self, offset: u64) {
        self.offset = offset;
        self.before.clear();
        self.lines.forget();
    }

    /// Whether it is not what it was: cut, or written anew.
    fn was_cut(&self) -> bool {
        let size = self.size();
        let mut now = vec![0; self.before.len()];
        let at = self.offset.saturating_sub(now.len() as u64);
        size < self.offset || size > self.offset && self.file.read_exact_at(&mut now, at).is_ok() && now != self.before
    }

    /// Reads on, up to [`AT_ONCE`]. How much it was.
    fn read(&mut self, mut line: impl FnMut(&[u8])) -> io::Result<u64> {
        if self.was_cut() {
            self.go_to(0);
        }
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut buffer = [0; 64 * 1024];
        let mut read = 0;
        while read < AT_ONCE {
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    self.offset += length as u64;
                    read += length as u64;
                    self.before = buffer[length.saturating_sub(BEFORE)..length].to_vec();
                    self.lines.take(&buffer[..length], &mut line);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    /// The kernel keeps a watch for as long as the file is somewhere.
    fn close(self, inotify: Option<&Inotify>) {
        if let (Some(inotify), Some(watch)) = (inotify, self.watch) {
            // Gone already when the file is.
            let _ = inotify.rm_watch(watch);
        }
    }
}

fn check(metadata: &Metadata) -> Result<(), String> {
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO, whose lines would be taken away from their reader",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () if kind.is_socket() => "a socket",
        () => "no file",
    };
    Err(format!("is {what}; only a regular file can be followed"))
}
