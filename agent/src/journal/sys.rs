//! libsystemd's journal reader, opened at run time: the one place with `unsafe` code.
//!
//! libsystemd is on every machine that has systemd, so nothing is needed to build. [`Journal`] is a safe face over it: it
//! owns the handle, is neither `Send` nor `Sync` (libsystemd forbids other threads), and what it lends lives no longer than
//! until the next call.
#![allow(unsafe_code, reason = "a dozen C functions that no maintained crate with a fitting licence offers without a build dependency")]

use libloading::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;

/// Only this machine's files.
const LOCAL_ONLY: c_int = 1;

/// libsystemd's `sd_journal`, only ever seen as a pointer.
#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

/// libsystemd's `sd_id128_t`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
struct Id128 {
    bytes: [u8; 16],
}

/// Declares the functions and how they are looked up, so that each signature stands once. They are sd_journal(3)'s, word
/// for word: that is what every call below relies on.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) -> $answer:ty = $symbol:literal;)+) => {
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) -> $answer,)+ }

        impl Functions {
            fn of(library: &Library) -> Result<Self, libloading::Error> {
                // SAFETY: each symbol is libsystemd's function of that name, whose C signature is the one declared here;
                // the pointers are kept beside the library in `Journal` and used only while that lives.
                unsafe { Ok(Self { $($name: *library.get($symbol)?,)+ }) }
            }
        }
    };
}

functions! {
    open: fn(*mut *mut Handle, c_int) -> c_int = c"sd_journal_open";
    close: fn(*mut Handle) -> () = c"sd_journal_close";
    get_fd: fn(*mut Handle) -> c_int = c"sd_journal_get_fd";
    process: fn(*mut Handle) -> c_int = c"sd_journal_process";
    next: fn(*mut Handle) -> c_int = c"sd_journal_next";
    previous: fn(*mut Handle) -> c_int = c"sd_journal_previous";
    seek_tail: fn(*mut Handle) -> c_int = c"sd_journal_seek_tail";
    seek_realtime: fn(*mut Handle, u64) -> c_int = c"sd_journal_seek_realtime_usec";
    seek_cursor: fn(*mut Handle, *const c_char) -> c_int = c"sd_journal_seek_cursor";
    test_cursor: fn(*mut Handle, *const c_char) -> c_int = c"sd_journal_test_cursor";
    get_cursor: fn(*mut Handle, *mut *mut c_char) -> c_int = c"sd_journal_get_cursor";
    add_match: fn(*mut Handle, *const c_void, usize) -> c_int = c"sd_journal_add_match";
    add_disjunction: fn(*mut Handle) -> c_int = c"sd_journal_add_disjunction";
    get_data: fn(*mut Handle, *const c_char, *mut *const c_void, *mut usize) -> c_int = c"sd_journal_get_data";
    set_data_threshold: fn(*mut Handle, usize) -> c_int = c"sd_journal_set_data_threshold";
    get_monotonic: fn(*mut Handle, *mut u64, *mut Id128) -> c_int = c"sd_journal_get_monotonic_usec";
}

unsafe extern "C" {
    /// libc's, which Rust's standard library is linked with: cursors are allocated by libsystemd for their receiver to free.
    fn free(memory: *mut c_void);
}

/// A journal that is open for reading, positioned at one record or between two.
pub(super) struct Journal {
    handle: *mut Handle,
    descriptor: RawFd,
    functions: Functions,
    /// After `functions`: fields are dropped in order, and the code must outlive the pointers to it.
    _library: Library,
    /// libsystemd forbids the use from another thread than the one that opened it.
    _one_thread: PhantomData<*const ()>,
}

impl Journal {
    /// Opens this machine's journal. That nothing in it may be readable is not an error: see [`Journal::newest_boot`].
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: loading runs libsystemd's initialisers, of which it has none that this process could upset.
        let library = unsafe { Library::new("libsystemd.so.0") }
            .map_err(|error| io::Error::new(io::ErrorKind::NotFound, format!("{error}; install Debian's package `libsystemd0`")))?;
        let functions = Functions::of(&library).map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
        let mut handle = ptr::null_mut();
        // SAFETY: `handle` is a valid place for a pointer; on success it holds a handle that `close` in `drop` ends.
        check(unsafe { (functions.open)(&raw mut handle, LOCAL_ONLY) })?;
        let mut journal = Self { handle, descriptor: -1, functions, _library: library, _one_thread: PhantomData };
        // Right after opening, so that libsystemd watches the folders from the very first record on.
        // SAFETY: the handle is open (it is until `drop`, which holds for every call below, too).
        journal.descriptor = check(unsafe { (journal.functions.get_fd)(journal.handle) })?;
        Ok(journal)
    }

    /// The boot of the newest record that matches (see [`Journal::received`]); nothing when there is none that may be read.
    /// Leaves the position there.
    pub(super) fn newest_boot(&mut self) -> io::Result<Option<String>> {
        // SAFETY: the handle is open.
        check(unsafe { (self.functions.seek_tail)(self.handle) })?;
        // SAFETY: as above.
        if check(unsafe { (self.functions.previous)(self.handle) })? == 0 {
            return Ok(None);
        }
        self.received().map(|(_, boot)| Some(boot))
    }

    /// Readable when something in the journal's folders has changed; then [`Journal::process`] must be called.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to the handle, which stays open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }

    /// Takes note of new, rotated and removed files.
    pub(super) fn process(&mut self) -> io::Result<()> {
        // SAFETY: the handle is open.
        check(unsafe { (self.functions.process)(self.handle) }).map(drop)
    }

    /// Steps to the next record that matches; false when there is none yet.
    pub(super) fn next(&mut self) -> io::Result<bool> {
        // SAFETY: the handle is open.
        Ok(check(unsafe { (self.functions.next)(self.handle) })? > 0)
    }

    /// Goes before the first record of this or a later wall-clock time.
    ///
    /// Not `seek_tail`: from the tail, `next` finds nothing ever, as long as no record matches yet.
    pub(super) fn seek_realtime(&mut self, micros: u64) -> io::Result<()> {
        // SAFETY: the handle is open.
        check(unsafe { (self.functions.seek_realtime)(self.handle, micros) }).map(drop)
    }

    /// Goes before the record of this cursor, or to where it was.
    pub(super) fn seek_cursor(&mut self, cursor: &CStr) -> io::Result<()> {
        // SAFETY: the handle is open; the text ends with a zero and is only read during the call.
        check(unsafe { (self.functions.seek_cursor)(self.handle, cursor.as_ptr()) }).map(drop)
    }

    /// Whether the current record is the cursor's.
    pub(super) fn is_at(&mut self, cursor: &CStr) -> io::Result<bool> {
        // SAFETY: the handle is open; the text ends with a zero and is only read during the call.
        Ok(check(unsafe { (self.functions.test_cursor)(self.handle, cursor.as_ptr()) })? > 0)
    }

    /// The current record's cursor.
    pub(super) fn cursor(&mut self) -> io::Result<String> {
        let mut text = ptr::null_mut();
        // SAFETY: the handle is open; `text` is a valid place for a pointer.
        check(unsafe { (self.functions.get_cursor)(self.handle, &raw mut text) })?;
        // SAFETY: on success it points to a text of ours that ends with a zero.
        let cursor = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
        // SAFETY: it was allocated by libsystemd with malloc for us to free, and is not used after this.
        unsafe { free(text.cast()) };
        Ok(cursor)
    }

    /// Lets `next` see only records with `FIELD=value`. Several for one field mean any of them, for several fields all.
    pub(super) fn add_match(&mut self, text: &str) -> io::Result<()> {
        // SAFETY: the handle is open; the bytes are only read during the call, which copies them.
        check(unsafe { (self.functions.add_match)(self.handle, text.as_ptr().cast(), text.len()) }).map(drop)
    }

    /// From here on matches are another group; a record must fit any one group.
    pub(super) fn add_disjunction(&mut self) -> io::Result<()> {
        // SAFETY: the handle is open.
        check(unsafe { (self.functions.add_disjunction)(self.handle) }).map(drop)
    }

    /// Lets longer fields be cut at this length. Compressed ones are then not unpacked whole.
    pub(super) fn set_data_threshold(&mut self, bytes: usize) -> io::Result<()> {
        // SAFETY: the handle is open.
        check(unsafe { (self.functions.set_data_threshold)(self.handle, bytes) }).map(drop)
    }

    /// The current record's value of a field; any bytes. `None` when it has no such field.
    pub(super) fn data(&mut self, field: &CStr) -> io::Result<Option<&[u8]>> {
        let (mut start, mut length) = (ptr::null(), 0_usize);
        // SAFETY: the handle is open; the text ends with a zero; both places are valid.
        let answer = unsafe { (self.functions.get_data)(self.handle, field.as_ptr(), &raw mut start, &raw mut length) };
        match check(answer) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            // SAFETY: on success this many bytes stand there until the next call on the handle, which the borrow of `self`
            // rules out for as long as the slice is used. They begin with the field's name and `=`.
            Ok(_) => Ok(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) }.get(field.to_bytes().len() + 1..)),
        }
    }

    /// When journald received the current record, in microseconds of the monotonic clock, and in which boot (hexadecimal).
    pub(super) fn received(&mut self) -> io::Result<(u64, String)> {
        let (mut micros, mut boot) = (0_u64, Id128::default());
        // SAFETY: the handle is open; both places are valid, and `Id128` has size and alignment of `sd_id128_t`.
        check(unsafe { (self.functions.get_monotonic)(self.handle, &raw mut micros, &raw mut boot) })?;
        Ok((micros, boot.bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nothing uses it after this.
        unsafe { (self.functions.close)(self.handle) }
    }
}

/// libsystemd answers with a negative errno for an error.
fn check(answer: c_int) -> io::Result<c_int> {
    if answer < 0 { Err(io::Error::from_raw_os_error(-answer)) } else { Ok(answer) }
}

/// A cursor as libsystemd takes it; `None` for a text that can be none.
pub(super) fn cursor_text(cursor: &str) -> Option<CString> {
    CString::new(cursor).ok()
}
