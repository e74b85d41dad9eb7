//! Loaded into a server (`LD_PRELOAD`): remembers what a power cut would take back, and steps the server's clock.
//!
//! ```text
//!   server ──write, ftruncate──> this ──what was there before──> journal of the file
//!             fsync ───────────> this ──> the journal begins anew
//!             rename, unlink ──> this ──> journal of the folder, with a second name of what would be gone
//! ```
//!
//! The system keeps what a killed process has written, and a power cut does not. Lengths alone prove nothing: SQLite
//! overwrites its log in place. So the bytes below the length at the last `fsync` are saved before they are
//! overwritten, and after SIGKILL the tests put them back (`tests/chaos/power.rs`, which also describes the journals).
//!
//! **Limits.** What goes through `mmap` for writing, `fopen` and a duplicated descriptor is not seen: the first is
//! noted in the journal as a fault of the test. All calls are raw, so that none of them comes back here.
//!
//! `CUT_FOLDER`: the files that are followed. `CUT_JOURNALS`: where their journals are. `CUT_CLOCK`: a file of eight
//! bytes, the microseconds that the wall clock is ahead.

#![allow(missing_docs, reason = "the names are those of the C library, and so is what they do")]
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the callers are programs in C")]

use std::{
    collections::HashMap,
    env,
    ffi::{CStr, CString, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    sync::{
        LazyLock, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
};

use libc::{
    AT_FDCWD, CLOCK_REALTIME, MAP_SHARED, O_APPEND, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY, PROT_READ,
    PROT_WRITE, c_char, c_int, c_long, c_void, clockid_t, iovec, mode_t, off_t, size_t, ssize_t, stat,
    syscall, time_t, timespec, timeval, timezone,
};

/// A file that is followed.
#[derive(Clone, Copy)]
struct File {
    journal: c_int,
    /// Its length at the last `fsync`.
    synced: u64,
}

#[derive(Default)]
struct State {
    /// By descriptor: the file's number.
    open: HashMap<c_int, u64>,
    files: HashMap<u64, File>,
    /// Second names made so far.
    saved: u64,
}

struct Settings {
    folder: PathBuf,
    journals: PathBuf,
}

static SETTINGS: LazyLock<Option<Settings>> = LazyLock::new(|| {
    Some(Settings {
        folder: env::var_os("CUT_FOLDER")?.into(),
        journals: env::var_os("CUT_JOURNALS")?.into(),
    })
});
static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Raw calls: the C library's would come back here.
mod raw {
    use super::*;

    pub(super) fn open(path: &CStr, flags: c_int, mode: mode_t) -> c_int {
        openat(AT_FDCWD, path.as_ptr(), flags, mode)
    }

    pub(super) fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        // SAFETY: the caller's path ends with a zero.
        unsafe { syscall(libc::SYS_openat, folder, path, flags, mode as c_int) as c_int }
    }

    pub(super) fn close(file: c_int) -> c_int {
        // SAFETY: a number.
        unsafe { syscall(libc::SYS_close, file) as c_int }
    }

    pub(super) fn write_all(file: c_int, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // SAFETY: the bytes are borrowed.
            let written = unsafe { syscall(libc::SYS_write, file, bytes.as_ptr(), bytes.len()) };
            let Ok(written @ 1..) = usize::try_from(written) else { std::process::abort() };
            bytes = &bytes[written..];
        }
    }

    pub(super) fn ftruncate(file: c_int, length: off_t) -> c_int {
        // SAFETY: numbers.
        unsafe { syscall(libc::SYS_ftruncate, file, length) as c_int }
    }

    pub(super) fn length(file: c_int) -> (u64, u64) {
        // SAFETY: zeros are a valid `stat`, which is written by the call.
        let mut about: stat = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        unsafe { libc::fstat(file, &raw mut about) };
        (about.st_ino, u64::try_from(about.st_size).unwrap_or(0))
    }

    /// Reads `from..to` of an open file, which may be open for writing only.
    pub(super) fn read(file: c_int, from: u64, to: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        let again = CString::new(format!("/proc/self/fd/{file}")).unwrap_or_default();
        let reader = open(&again, O_RDONLY, 0);
        let mut at = 0;
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            // SAFETY: the bytes are borrowed.
            let read = unsafe {
                libc::pread(reader, rest.as_mut_ptr().cast(), rest.len(), from as off_t + at as off_t)
            };
            let Ok(read @ 1..) = usize::try_from(read) else { break };
            at += read;
        }
        close(reader);
        bytes.truncate(at);
        bytes
    }

    /// The path of an open file.
    pub(super) fn path(file: c_int) -> PathBuf {
        let link = CString::new(format!("/proc/self/fd/{file}")).unwrap_or_default();
        let mut path = vec![0_u8; 4096];
        // SAFETY: the path is borrowed and as long as said.
        let length = unsafe { libc::readlink(link.as_ptr(), path.as_mut_ptr().cast(), path.len()) };
        path.truncate(usize::try_from(length).unwrap_or(0));
        PathBuf::from(OsString::from_vec(path))
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// An absolute path of what the caller names.
fn named(path: *const c_char) -> PathBuf {
    // SAFETY: the caller's path ends with a zero.
    let path = Path::new(std::ffi::OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    if path.is_absolute() { path.to_owned() } else { env::current_dir().unwrap_or_default().join(path) }
}

fn journal(name: &str, flags: c_int) -> c_int {
    let Some(settings) = &*SETTINGS else { return -1 };
    let file = raw::open(
        &c_path(&settings.journals.join(name)),
        flags | libc::O_RDWR | O_CREAT | O_APPEND | libc::O_CLOEXEC,
        0o600,
    );
    if file < 0 {
        std::process::abort()
    }
    file
}

/// Begins a file's journal: all that it holds is on the disk.
fn begin(journal: c_int, synced: u64) {
    raw::ftruncate(journal, 0);
    raw::write_all(journal, &synced.to_le_bytes());
}

impl State {
    /// Follows an open file, if it is one of those. `is_new`: the call made it.
    fn follow(&mut self, file: c_int, is_new: bool) {
        let Some(settings) = &*SETTINGS else { return };
        if file < 0 || !raw::path(file).starts_with(&settings.folder) {
            return;
        }
        let (number, length) = raw::length(file);
        self.open.insert(file, number);
        if !is_new && self.files.contains_key(&number) {
            return;
        }
        let journal = journal(&format!("{number}.file"), 0);
        let known = raw::read(journal, 0, 8);
        let synced = match <[u8; 8]>::try_from(known) {
            // An earlier process wrote to it and did not sync.
            Ok(synced) if !is_new => u64::from_le_bytes(synced),
            _ => {
                let synced = if is_new { 0 } else { length };
                begin(journal, synced);
                synced
            }
        };
        self.files.insert(number, File { journal, synced });
    }

    fn file(&self, file: c_int) -> Option<File> {
        self.files.get(self.open.get(&file)?).copied()
    }

    /// Saves what is about to be overwritten, or cut off.
    fn save(&self, file: c_int, from: u64, to: u64) {
        let Some(File { journal, synced }) = self.file(file) else { return };
        if from >= to.min(synced) {
            return;
        }
        let old = raw::read(file, from, to.min(synced));
        let mut record = Vec::with_capacity(16 + old.len());
        record.extend_from_slice(&from.to_le_bytes());
        record.extend_from_slice(&(old.len() as u64).to_le_bytes());
        record.extend_from_slice(&old);
        raw::write_all(journal, &record);
    }

    /// Where the next bytes go.
    fn position(&self, file: c_int) -> u64 {
        // SAFETY: numbers.
        let flags = unsafe { libc::fcntl(file, libc::F_GETFL) };
        if flags & O_APPEND != 0 {
            return raw::length(file).1;
        }
        // SAFETY: numbers.
        u64::try_from(unsafe { libc::lseek(file, 0, libc::SEEK_CUR) }).unwrap_or(0)
    }

    fn synced(&mut self, file: c_int) {
        let (number, length) = raw::length(file);
        if let Some(File { journal, synced }) = self.files.get_mut(&number) {
            begin(*journal, length);
            *synced = length;
        }
        // Of a folder: its names.
        if let Some(settings) = &*SETTINGS
            && let path = raw::path(file)
            && path.is_dir()
            && path.starts_with(&settings.folder)
        {
            raw::close(journal(&format!("{number}.names"), O_TRUNC));
        }
    }

    /// Saves a name that is about to go, or to become another file's.
    fn save_name(&mut self, from: Option<&Path>, gone: &Path) {
        let Some(settings) = &*SETTINGS else { return };
        let Some(folder) = gone.parent().filter(|folder| folder.starts_with(&settings.folder)) else {
            return;
        };
        let opened = raw::open(&c_path(folder), O_RDONLY | libc::O_DIRECTORY, 0);
        let (number, _) = raw::length(opened);
        raw::close(opened);
        self.saved += 1;
        let saved = settings.journals.join(format!("{}-{}.saved", std::process::id(), self.saved));
        // SAFETY: the paths are borrowed. If there was no such file, nothing is to be put back.
        let is_saved = unsafe { libc::link(c_path(gone).as_ptr(), c_path(&saved).as_ptr()) } == 0;
        let text = |path: Option<&Path>| path.map_or("", |path| path.to_str().unwrap_or_default()).to_owned();
        let line = [text(from), text(Some(gone)), text(is_saved.then_some(&saved))].join("\t") + "\n";
        let names = journal(&format!("{number}.names"), 0);
        raw::write_all(names, line.as_bytes());
        raw::close(names);
    }
}

fn open_and_follow(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    if SETTINGS.is_none() || flags & (O_CREAT | O_WRONLY | libc::O_RDWR) == 0 {
        return raw::openat(folder, path, flags, mode);
    }
    let mut state = state();
    // What it held is saved before it is cut.
    let file = raw::openat(folder, path, flags & !(O_CREAT | O_TRUNC), mode);
    if file < 0 || flags & libc::O_EXCL != 0 {
        if file >= 0 {
            raw::close(file);
        }
        let file = raw::openat(folder, path, flags, mode);
        state.follow(file, true);
        return file;
    }
    state.follow(file, false);
    if flags & O_TRUNC != 0 {
        let (_, length) = raw::length(file);
        state.save(file, 0, length);
        raw::ftruncate(file, 0);
    }
    file
}

// SAFETY, of all below: the names and signatures are those of the C library, and what callers pass is passed on.

#[unsafe(no_mangle)]
pub extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_and_follow(AT_FDCWD, path, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_and_follow(AT_FDCWD, path, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_and_follow(folder, path, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_and_follow(folder, path, flags, mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn close(file: c_int) -> c_int {
    if SETTINGS.is_some() {
        state().open.remove(&file);
    }
    raw::close(file)
}

/// Runs a call that writes `count` bytes, at `at` or where the next bytes go, after saving what was there.
fn written(file: c_int, at: Option<off_t>, count: usize, call: impl FnOnce() -> c_long) -> ssize_t {
    if SETTINGS.is_none() {
        return call() as ssize_t;
    }
    let state = state();
    if state.file(file).is_some() {
        let from = at.map_or_else(|| state.position(file), |at| u64::try_from(at).unwrap_or(0));
        state.save(file, from, from + count as u64);
        return call() as ssize_t;
    }
    // Others may block, as a pipe does.
    drop(state);
    call() as ssize_t
}

#[unsafe(no_mangle)]
pub extern "C" fn write(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: as above.
    written(file, None, count, || unsafe { syscall(libc::SYS_write, file, bytes, count) })
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite(file: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    // SAFETY: as above.
    written(file, Some(at), count, || unsafe { syscall(libc::SYS_pwrite64, file, bytes, count, at) })
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite64(file: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    pwrite(file, bytes, count, at)
}

fn total(parts: *const iovec, count: c_int) -> usize {
    // SAFETY: the caller's parts are as many as it says.
    let parts = unsafe { std::slice::from_raw_parts(parts, usize::try_from(count).unwrap_or(0)) };
    parts.iter().map(|part| part.iov_len).sum()
}

#[unsafe(no_mangle)]
pub extern "C" fn writev(file: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: as above.
    written(file, None, total(parts, count), || unsafe { syscall(libc::SYS_writev, file, parts, count) })
}

#[unsafe(no_mangle)]
pub extern "C" fn pwritev(file: c_int, parts: *const iovec, count: c_int, at: off_t) -> ssize_t {
    // SAFETY: as above. The kernel takes the offset in two halves, of which this one holds all on 64 bits.
    written(file, Some(at), total(parts, count), || unsafe {
        syscall(libc::SYS_pwritev, file, parts, count, at, 0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn pwritev64(file: c_int, parts: *const iovec, count: c_int, at: off_t) -> ssize_t {
    pwritev(file, parts, count, at)
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(file: c_int, length: off_t) -> c_int {
    let state = SETTINGS.is_some().then(state);
    if let Some(state) = &state {
        state.save(file, u64::try_from(length).unwrap_or(0), u64::MAX);
    }
    raw::ftruncate(file, length)
}

#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(file: c_int, length: off_t) -> c_int {
    ftruncate(file, length)
}

#[unsafe(no_mangle)]
pub extern "C" fn truncate(path: *const c_char, length: off_t) -> c_int {
    let file = open_and_follow(AT_FDCWD, path, O_WRONLY, 0);
    if file < 0 {
        return -1;
    }
    let done = ftruncate(file, length);
    close(file);
    done
}

#[unsafe(no_mangle)]
pub extern "C" fn truncate64(path: *const c_char, length: off_t) -> c_int {
    truncate(path, length)
}

fn sync(file: c_int, number: c_long) -> c_int {
    let state = SETTINGS.is_some().then(state);
    // SAFETY: numbers.
    let done = unsafe { syscall(number, file) as c_int };
    if let Some(mut state) = state
        && done == 0
    {
        state.synced(file);
    }
    done
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(file: c_int) -> c_int {
    sync(file, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(file, libc::SYS_fdatasync)
}

#[unsafe(no_mangle)]
pub extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let state = SETTINGS.is_some().then(state);
    if let Some(mut state) = state {
        state.save_name(Some(&named(from)), &named(to));
    }
    // SAFETY: the caller's paths end with a zero.
    unsafe { syscall(libc::SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0) as c_int }
}

#[unsafe(no_mangle)]
pub extern "C" fn unlink(path: *const c_char) -> c_int {
    let state = SETTINGS.is_some().then(state);
    if let Some(mut state) = state {
        state.save_name(None, &named(path));
    }
    // SAFETY: the caller's path ends with a zero.
    unsafe { syscall(libc::SYS_unlinkat, AT_FDCWD, path, 0) as c_int }
}

#[unsafe(no_mangle)]
pub extern "C" fn mmap(
    at: *mut c_void,
    length: size_t,
    access: c_int,
    flags: c_int,
    file: c_int,
    from: off_t,
) -> *mut c_void {
    // The allocator maps memory before anything can be asked; it maps no file.
    if file >= 0
        && flags & MAP_SHARED != 0
        && access & PROT_WRITE != 0
        && SETTINGS.is_some()
        && state().file(file).is_some()
    {
        raw::close(journal("mmap", 0));
    }
    // SAFETY: what the caller passes.
    unsafe { syscall(libc::SYS_mmap, at, length, access, flags, file, from) as *mut c_void }
}

#[unsafe(no_mangle)]
pub extern "C" fn mmap64(
    at: *mut c_void,
    length: size_t,
    access: c_int,
    flags: c_int,
    file: c_int,
    from: off_t,
) -> *mut c_void {
    mmap(at, length, access, flags, file, from)
}

/// How far the wall clock is ahead, in microseconds: a page of a file, so that a step needs no call.
fn ahead_us() -> i64 {
    static AHEAD: LazyLock<usize> = LazyLock::new(|| {
        let Some(path) = env::var_os("CUT_CLOCK") else { return 0 };
        let file = raw::open(&c_path(Path::new(&path)), O_RDONLY | libc::O_CLOEXEC, 0);
        // SAFETY: a mapping of its own; the file has eight bytes.
        let page = unsafe { syscall(libc::SYS_mmap, 0, 8, PROT_READ, MAP_SHARED, file, 0) };
        usize::try_from(page).unwrap_or(0)
    });
    match *AHEAD {
        0 => 0,
        // SAFETY: the page is aligned, never unmapped, and holds a number.
        page => unsafe { &*(page as *const AtomicI64) }.load(Ordering::Relaxed),
    }
}

fn wall() -> (c_long, c_long) {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is borrowed.
    unsafe { syscall(libc::SYS_clock_gettime, CLOCK_REALTIME, &raw mut now) };
    let ns =
        i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec) + i128::from(ahead_us()) * 1_000;
    ((ns / 1_000_000_000) as c_long, (ns % 1_000_000_000) as c_long)
}

#[unsafe(no_mangle)]
pub extern "C" fn clock_gettime(clock: clockid_t, now: *mut timespec) -> c_int {
    if clock != CLOCK_REALTIME && clock != libc::CLOCK_REALTIME_COARSE {
        // SAFETY: what the caller passes.
        return unsafe { syscall(libc::SYS_clock_gettime, clock, now) as c_int };
    }
    let (tv_sec, tv_nsec) = wall();
    // SAFETY: the caller's time can be written.
    unsafe { now.write(timespec { tv_sec, tv_nsec }) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn gettimeofday(now: *mut timeval, _zone: *mut timezone) -> c_int {
    let (tv_sec, nanos) = wall();
    // SAFETY: the caller's time can be written.
    unsafe { now.write(timeval { tv_sec, tv_usec: nanos / 1_000 }) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn time(now: *mut time_t) -> time_t {
    let (seconds, _) = wall();
    if !now.is_null() {
        // SAFETY: the caller's time can be written.
        unsafe { now.write(seconds) };
    }
    seconds
}
