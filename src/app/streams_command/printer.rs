//! Lines on stdout that hold nobody up.
//!
//! A terminal or a pipe may take its time; a worker that prints must not wait for it. So a thread
//! writes, fed by a bounded queue: a line that finds it full is not printed, and at the end stderr says
//! how many were not. Who closes stdout gets no more lines, and the run goes on.

use std::{
    io::{self, BufWriter, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

/// Lines that wait for the thread.
const QUEUE_LINES: usize = 16 * 1024;
/// Room beside them for texts that are not left out: there are a handful.
const QUEUE_TEXTS: usize = 64;

/// Where the command's text goes.
#[derive(Debug)]
pub(super) struct Printer {
    /// Only what is printed always is printed.
    quiet: bool,
    out: Out,
}

#[derive(Debug)]
enum Out {
    /// At once, in the caller's time: for virtual time, which costs none.
    Direct(Mutex<Direct>),
    /// By a thread.
    Threaded(Threaded),
}

#[derive(Debug)]
struct Direct {
    out: BufWriter<io::Stdout>,
    result: io::Result<()>,
}

/// The thread and the way to it.
#[derive(Debug)]
struct Threaded {
    texts: Mutex<Option<SyncSender<String>>>,
    waiting: Arc<AtomicUsize>,
    skipped: AtomicU64,
    thread: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Printer {
    pub(super) fn direct(quiet: bool) -> Self {
        let direct = Direct { out: BufWriter::new(io::stdout()), result: Ok(()) };
        Self { quiet, out: Out::Direct(Mutex::new(direct)) }
    }

    pub(super) fn threaded(quiet: bool) -> anyhow::Result<Self> {
        let (texts, queue) = sync_channel(QUEUE_LINES + QUEUE_TEXTS);
        let waiting = Arc::new(AtomicUsize::new(0));
        let count = waiting.clone();
        let thread = std::thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || write_all(&queue, &count))
            .context("starting the thread that prints")?;
        let threaded = Threaded {
            texts: Mutex::new(Some(texts)),
            waiting,
            skipped: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        };
        Ok(Self { quiet, out: Out::Threaded(threaded) })
    }

    /// One line of many; may be left out when stdout is too slow.
    pub(super) fn line(&self, line: String) {
        match &self.out {
            _ if self.quiet => {}
            Out::Direct(direct) => print_line(direct, &line),
            Out::Threaded(threaded) => {
                if threaded.waiting.load(Relaxed) >= QUEUE_LINES || !threaded.send(line) {
                    threaded.skipped.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// A text that is not left out; only who closed stdout misses it.
    pub(super) fn print(&self, text: &str) {
        if !self.quiet {
            self.print_always(text);
        }
    }

    /// The same, by a quiet printer too.
    pub(super) fn print_always(&self, text: &str) {
        // What comes before the first text of a quiet printer is nothing.
        let text = if self.quiet { text.trim_start() } else { text };
        match &self.out {
            Out::Direct(direct) => print_line(direct, text),
            Out::Threaded(threaded) => {
                threaded.send(text.to_owned());
            }
        }
    }

    /// Waits until all is written, or `give_up` says that nobody waits any more, and says on stderr
    /// what was left out.
    ///
    /// # Errors
    /// When stdout did not take it all, other than by being closed.
    pub(super) async fn finish(&self, give_up: &CancellationToken) -> anyhow::Result<()> {
        let result = match &self.out {
            Out::Direct(direct) => {
                let mut direct = direct.lock().unwrap_or_else(PoisonError::into_inner);
                let flushed = direct.out.flush();
                std::mem::replace(&mut direct.result, Ok(())).and(flushed)
            }
            Out::Threaded(threaded) => threaded.finish(give_up).await,
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.context("writing to stdout"),
        }
    }
}

impl Threaded {
    /// Hands a text to the thread without waiting; `false` when it has no room, or stdout was closed.
    fn send(&self, text: String) -> bool {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Relaxed);
        let sent = texts.as_ref().is_some_and(|texts| texts.try_send(text).is_ok());
        if !sent {
            self.waiting.fetch_sub(1, Relaxed);
        }
        sent
    }

    async fn finish(&self, give_up: &CancellationToken) -> io::Result<()> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut result = Ok(());
        if let Some(thread) = thread {
            tokio::select! {
                biased;
                ended = tokio::task::spawn_blocking(move || thread.join()) => {
                    // A panic there has been reported by its hook.
                    result = ended.ok().and_then(Result::ok).unwrap_or(Ok(()));
                }
                () = give_up.cancelled() => eprintln!("lab: not all was printed: nobody reads stdout"),
            }
        }
        match self.skipped.load(Relaxed) {
            0 => {}
            skipped => eprintln!("lab: {skipped} lines were not printed: stdout was too slow or closed"),
        }
        result
    }
}

/// Prints until stdout refuses; the refusal is kept.
fn print_line(direct: &Mutex<Direct>, text: &str) {
    let mut direct = direct.lock().unwrap_or_else(PoisonError::into_inner);
    if direct.result.is_ok() {
        direct.result = writeln!(direct.out, "{text}");
    }
}

fn write_all(queue: &Receiver<String>, waiting: &AtomicUsize) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout());
    loop {
        let text = match queue.try_recv() {
            Ok(text) => text,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // Nothing waits: show what there is, then sleep.
                out.flush()?;
                match queue.recv() {
                    Ok(text) => text,
                    Err(_) => break,
                }
            }
        };
        waiting.fetch_sub(1, Relaxed);
        writeln!(out, "{text}")?;
    }
    out.flush()
}
