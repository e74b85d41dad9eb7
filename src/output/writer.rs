//! Accepts lines without blocking; its own thread writes them.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, IoSlice, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio_util::sync::CancellationToken;

use super::queue::{Entry, Limits, Queue};

/// How long to wait for a blocked output: at the end of the process, and for a result after a stop.
pub const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// The name of standard error among destinations.
pub(super) const STDERR: &str = "stderr";
/// The limits of the queue in front of a slow reader.
const QUEUE_LIMITS: Limits = Limits { lines: 16 * 1024, bytes: 4 << 20, texts: 64 };
/// The most entries in one write.
const BATCH_ENTRIES: usize = 64;

/// How lost lines are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    /// By a note among the lines, at the place of the lost ones: for output that people read.
    InPlace,
    /// Only by their [number](Writer::lost_lines): for output that programs read.
    Counted,
}

/// Writes to one destination. Clones share the queue. When the last clone is dropped, the thread writes the
/// remaining entries and ends.
#[derive(Debug, Clone)]
pub struct Writer {
    mode: Arc<Mode>,
}

#[derive(Debug)]
enum Mode {
    /// A thread writes.
    Thread(Handle),
    /// The caller writes.
    Direct(Mutex<Direct>),
}

struct Direct {
    to: Box<dyn Write + Send>,
    name: &'static str,
    result: io::Result<()>,
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct")
            .field("name", &self.name)
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}

/// Closes the queue on drop.
#[derive(Debug)]
struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    state: Mutex<State>,
    /// Signalled when an entry was queued or the queue was closed.
    work: Condvar,
    /// Signalled when an entry was written or lost.
    progress: Condvar,
    /// How many writes the destination has accepted.
    writes: AtomicU64,
    lost_lines: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    closed: bool,
    /// Why the first lost text was lost.
    failure: Option<io::Error>,
}

/// Lines that this process has lost, by destination.
static LOST_LINES: Mutex<BTreeMap<&'static str, Arc<AtomicU64>>> = Mutex::new(BTreeMap::new());

/// How many lines were lost since the process began, for each destination that was written to.
pub fn lost_lines() -> Vec<(&'static str, u64)> {
    LOST_LINES.lock().iter().map(|(name, lines)| (*name, lines.load(Relaxed))).collect()
}

impl Writer {
    /// Starts a writer to `to`, which may block; lost lines are counted under `name`. If the thread cannot be
    /// started, all lines are lost.
    pub fn start(name: &'static str, losses: Losses, to: impl Write + Send + 'static) -> Self {
        Self::with_limits(name, losses, QUEUE_LIMITS, to)
    }

    fn with_limits(
        name: &'static str,
        losses: Losses,
        limits: Limits,
        to: impl Write + Send + 'static,
    ) -> Self {
        let queue = Queue::new(limits, (losses == Losses::InPlace).then_some(name));
        let shared = Arc::new(Shared {
            name,
            state: Mutex::new(State { queue, closed: false, failure: None }),
            work: Condvar::new(),
            progress: Condvar::new(),
            writes: AtomicU64::new(0),
            lost_lines: LOST_LINES.lock().entry(name).or_default().clone(),
        });
        let thread = std::thread::Builder::new().name(format!("output {name}"));
        let of_thread = shared.clone();
        if let Err(error) = thread.spawn(move || of_thread.write_all(to)) {
            let no_room = Limits { lines: 0, bytes: 0, texts: 0 };
            let mut state = shared.state.lock();
            state.queue = Queue::new(no_room, None);
            state.failure = Some(error);
        }
        Self { mode: Arc::new(Mode::Thread(Handle(shared))) }
    }

    /// A writer that writes directly in the calling thread, and so loses no line before its first error. It is for
    /// virtual time, which does not advance while a write blocks.
    pub fn direct(name: &'static str, to: impl Write + Send + 'static) -> Self {
        Self { mode: Arc::new(Mode::Direct(Mutex::new(Direct { to: Box::new(to), name, result: Ok(()) }))) }
    }

    /// Queues a line and adds its newline. The line is lost if the queue is full.
    pub fn line(&self, mut line: String) {
        line.push('\n');
        self.bytes(line.into_bytes());
    }

    /// Queues bytes that end with a newline, as one entry.
    pub(super) fn bytes(&self, bytes: Vec<u8>) {
        match &*self.mode {
            Mode::Thread(Handle(shared)) => {
                shared.change(|state| state.queue.line(bytes));
            }
            Mode::Direct(direct) => direct.lock().write(&bytes),
        }
    }

    /// Queues an important line and adds its newline: [`finish`](Self::finish) returns an error if it is lost. It has
    /// reserved entries in the queue, so other lines cannot crowd it out.
    pub fn text(&self, mut text: String) {
        text.push('\n');
        match &*self.mode {
            Mode::Thread(Handle(shared)) => shared.change(|state| {
                if !state.queue.text(text.into_bytes()) {
                    state
                        .failure
                        .get_or_insert_with(|| io::Error::other("too many lines wait for the reader"));
                }
            }),
            Mode::Direct(direct) => direct.lock().write(text.as_bytes()),
        }
    }

    /// Queues a frame of a progress bar. It replaces the last entry if that is a frame that is not written yet.
    pub(super) fn frame(&self, frame: String) {
        match &*self.mode {
            Mode::Thread(Handle(shared)) => {
                shared.change(|state| state.queue.frame(frame.into_bytes()));
            }
            Mode::Direct(direct) => direct.lock().write(frame.as_bytes()),
        }
    }

    /// How many lines and texts this writer has lost so far.
    pub fn lost_lines(&self) -> u64 {
        match &*self.mode {
            Mode::Thread(Handle(shared)) => shared.state.lock().queue.lost_lines(),
            Mode::Direct(_) => 0,
        }
    }

    /// Blocks until every entry accepted so far is written or lost, but at most for `limit`. Returns whether all are.
    pub fn flush(&self, limit: Duration) -> bool {
        match &*self.mode {
            Mode::Thread(Handle(shared)) => {
                let mut state = shared.state.lock();
                let until = state.queue.accepted();
                let waits = |state: &mut State| state.queue.settled() < until;
                shared.progress.wait_while_for(&mut state, waits, limit);
                !waits(&mut state)
            }
            Mode::Direct(direct) => {
                direct.lock().flush();
                true
            }
        }
    }

    /// Waits until everything is written. When the process is `stopping`, it gives up once the reader has accepted
    /// nothing for [`FLUSH_LIMIT`]; when the process is `aborted`, after that time in any case.
    ///
    /// # Errors
    /// When a text was lost. A closed pipe is not an error: its reader has read enough.
    pub async fn finish(&self, stopping: &CancellationToken, aborted: &CancellationToken) -> io::Result<()> {
        let (name, failure) = match &*self.mode {
            Mode::Direct(direct) => {
                let mut direct = direct.lock();
                direct.flush();
                (direct.name, std::mem::replace(&mut direct.result, Ok(())).err())
            }
            Mode::Thread(Handle(shared)) => {
                let mut failure = None;
                loop {
                    let before = shared.writes.load(Relaxed);
                    let this = self.clone();
                    let flushing = tokio::task::spawn_blocking(move || this.flush(FLUSH_LIMIT));
                    if flushing.await.unwrap_or(true) {
                        break;
                    }
                    let stalled = shared.writes.load(Relaxed) == before;
                    if aborted.is_cancelled() || (stalled && stopping.is_cancelled()) {
                        let why = format!("nobody has read it for {} s", FLUSH_LIMIT.as_secs());
                        failure = Some(io::Error::new(io::ErrorKind::TimedOut, why));
                        break;
                    }
                }
                (shared.name, shared.state.lock().failure.take().or(failure))
            }
        };
        match failure {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(io::Error::new(error.kind(), format!("writing to {name}: {error}")))
            }
            _ => Ok(()),
        }
    }
}

/// Each write must be complete lines, as those of `tracing` are. It never fails.
impl Write for &Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.work.notify_one();
    }
}

impl Direct {
    fn write(&mut self, bytes: &[u8]) {
        if self.result.is_ok() {
            self.result = self.to.write_all(bytes);
        }
    }

    fn flush(&mut self) {
        if self.result.is_ok() {
            self.result = self.to.flush();
        }
    }
}

impl Shared {
    /// Changes the queue, counts the lines that this loses, and wakes the thread.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let before = state.queue.lost_lines();
        let result = change(&mut state);
        let lost = state.queue.lost_lines() - before;
        drop(state);
        self.lost_lines.fetch_add(lost, Relaxed);
        self.work.notify_one();
        result
    }

    /// The thread: writes until the queue is closed and empty.
    fn write_all(&self, mut to: impl Write) {
        // Whether the last entry was written only in part.
        let mut torn = false;
        let mut failing = false;
        while let Some(batch) = self.next_batch() {
            let mut written_bytes = 0;
            let mended = if torn { to.write_all(b"\n") } else { Ok(()) };
            let result = mended.and_then(|()| {
                torn = false;
                self.write_batch(&mut to, &batch, &mut written_bytes)
            });
            let mut written = 0;
            for entry in &batch {
                match written_bytes.checked_sub(entry.bytes().len()) {
                    Some(rest) => (written, written_bytes) = (written + 1, rest),
                    None => break,
                }
            }
            torn |= written_bytes > 0;
            self.settle(&batch, written, result, &mut failing);
        }
    }

    fn next_batch(&self) -> Option<Vec<Entry>> {
        let mut state = self.state.lock();
        self.work.wait_while(&mut state, |state| !state.queue.has_work() && !state.closed);
        state.queue.has_work().then(|| state.queue.take(BATCH_ENTRIES))
    }

    fn write_batch(&self, to: &mut impl Write, batch: &[Entry], written_bytes: &mut usize) -> io::Result<()> {
        let mut pieces: Vec<IoSlice<'_>> = batch.iter().map(|entry| IoSlice::new(entry.bytes())).collect();
        let mut rest = pieces.as_mut_slice();
        while !rest.is_empty() {
            match to.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    *written_bytes += bytes;
                    IoSlice::advance_slices(&mut rest, bytes);
                    self.writes.fetch_add(1, Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Records how much of a batch was written. An error is logged once, until a write succeeds again.
    fn settle(&self, batch: &[Entry], written: usize, result: io::Result<()>, failing: &mut bool) {
        let begins = result.is_err() && !std::mem::replace(failing, result.is_err());
        if let Err(error) = &result
            && begins
            && self.name != STDERR
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            tracing::warn!(output = self.name, %error, "lines are lost");
        }
        self.change(|state| {
            state.queue.settle(batch, written);
            if let Err(error) = result
                && batch.iter().skip(written).any(Entry::is_text)
            {
                state.failure.get_or_insert(error);
            }
        });
        self.progress.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A destination that follows one order per write, and accepts everything once the orders have ended.
    struct Told {
        orders: Receiver<io::Result<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
        asked: Sender<()>,
    }

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.asked.send(());
            let takes = self.orders.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.written.lock().extend_from_slice(&bytes[..takes]);
            Ok(takes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Test {
        writer: Writer,
        orders: Sender<io::Result<usize>>,
        written: Arc<Mutex<Vec<u8>>>,
        asked: Receiver<()>,
    }

    const LONG: Duration = Duration::from_secs(60);

    impl Test {
        fn start(name: &'static str, losses: Losses, lines: usize) -> Self {
            let (orders, told) = channel();
            let (asks, asked) = channel();
            let written = Arc::new(Mutex::new(Vec::new()));
            let to = Told { orders: told, written: written.clone(), asked: asks };
            let limits = Limits { lines, ..QUEUE_LIMITS };
            Self { writer: Writer::with_limits(name, losses, limits, to), orders, written, asked }
        }

        /// Offers a line and waits until the thread is held by the destination.
        fn hold(&self, line: &str) {
            self.writer.line(line.to_owned());
            self.asked.recv_timeout(LONG).expect("a write");
        }

        /// Lets the destination take everything from here on: all that was written.
        fn release(self) -> String {
            drop(self.orders);
            assert!(self.writer.flush(LONG));
            drop(self.writer);
            // The thread has ended when its end of the channel is gone.
            while self.asked.recv_timeout(LONG).is_ok() {}
            String::from_utf8(std::mem::take(&mut *self.written.lock())).expect("text")
        }
    }

    fn disk_full() -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    #[test]
    fn a_blocked_destination_blocks_no_caller_and_later_gets_a_note_on_lost_lines() {
        let test = Test::start("held", Losses::InPlace, 3);
        test.hold("0");
        for number in 1..=5 {
            test.writer.line(number.to_string());
        }
        assert!(!test.writer.flush(Duration::ZERO), "it waits no longer than it may");
        assert_eq!(test.writer.lost_lines(), 2);
        assert!(lost_lines().contains(&("held", 2)));
        assert_eq!(test.release(), "0\n1\n2\n3\nlab: 2 lines were lost here: held took no more\n");
    }

    #[test]
    fn a_failed_write_loses_its_lines_and_a_torn_line_gets_its_newline() {
        let test = Test::start("failing", Losses::InPlace, 100);
        test.hold("lost");
        test.orders.send(disk_full()).expect("it listens");
        test.hold("torn");
        // The note, and two bytes of the line.
        let note = "lab: 1 line was lost here: failing took no more\n";
        for order in [Ok(note.len()), Ok(2), disk_full()] {
            test.orders.send(order).expect("it listens");
        }
        assert!(test.writer.flush(LONG));
        test.writer.line("whole".to_owned());
        assert_eq!(test.writer.lost_lines(), 2);
        assert_eq!(test.release(), format!("{note}to\n{note}whole\n"));
    }

    #[tokio::test]
    async fn a_lost_text_is_an_error_and_a_closed_pipe_is_not() {
        let (stopping, aborted) = (CancellationToken::new(), CancellationToken::new());
        for (kind, fails) in [(io::ErrorKind::StorageFull, true), (io::ErrorKind::BrokenPipe, false)] {
            let test = Test::start("texts", Losses::Counted, 100);
            test.orders.send(Err(kind.into())).expect("it listens");
            test.writer.text("result".to_owned());
            let finished = test.writer.finish(&stopping, &aborted).await;
            assert_eq!(finished.is_err(), fails);
            assert!(finished.err().is_none_or(|error| error.to_string().starts_with("writing to texts: ")));
            test.writer.line("more".to_owned());
            assert_eq!(test.release(), "more\n");
        }
        // A line may be missing.
        let test = Test::start("texts", Losses::Counted, 100);
        test.orders.send(disk_full()).expect("it listens");
        test.hold("line");
        test.writer.text("result".to_owned());
        test.orders.send(Ok(usize::MAX)).expect("it listens");
        assert!(test.writer.finish(&stopping, &aborted).await.is_ok());
        assert_eq!(test.release(), "result\n");
    }

    #[tokio::test]
    async fn a_result_waits_for_its_reader_until_the_process_stops() {
        let (stopping, aborted) = (CancellationToken::new(), CancellationToken::new());
        let test = Test::start("unread", Losses::Counted, 100);
        test.writer.text("result".to_owned());
        test.asked.recv_timeout(LONG).expect("a write");
        let finishing = tokio::spawn({
            let (writer, stopping) = (test.writer.clone(), stopping.clone());
            async move { writer.finish(&stopping, &aborted).await }
        });
        stopping.cancel();
        let error = finishing.await.expect("no panic").expect_err("nobody read it");
        assert_eq!(error.to_string(), "writing to unread: nobody has read it for 2 s");
        assert_eq!(test.release(), "result\n");
    }

    #[tokio::test]
    async fn a_direct_writer_stops_at_its_first_error() {
        let (orders, told) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let to = Told { orders: told, written: written.clone(), asked: channel().0 };
        let writer = Writer::direct("disk", to);
        for (line, order) in [("1", Ok(usize::MAX)), ("2", disk_full())] {
            orders.send(order).expect("it listens");
            writer.line(line.to_owned());
        }
        writer.text("3".to_owned());
        let (stopping, aborted) = (CancellationToken::new(), CancellationToken::new());
        let error = writer.finish(&stopping, &aborted).await.expect_err("the disk was full");
        assert!(error.to_string().starts_with("writing to disk: "), "{error}");
        assert_eq!(*written.lock(), b"1\n");
    }
}
