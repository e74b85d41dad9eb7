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
pub(super) enum Printer {
    /// Nowhere, except for what is printed always.
    Silent,
    /// At once, in the caller's time: for virtual time, which costs none.
    Direct(Mutex<BufWriter<io::Stdout>>),
    /// By a thread.
    Threaded(Threaded),
}

/// The thread and the way to it.
#[derive(Debug)]
pub(super) struct Threaded {
    texts: Mutex<Option<SyncSender<String>>>,
    waiting: Arc<AtomicUsize>,
    skipped: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Printer {
    pub(super) const fn silent() -> Self {
        Self::Silent
    }

    pub(super) fn direct() -> Self {
        Self::Direct(Mutex::new(BufWriter::new(io::stdout())))
    }

    pub(super) fn threaded() -> anyhow::Result<Self> {
        let (texts, queue) = sync_channel(QUEUE_LINES + QUEUE_TEXTS);
        let waiting = Arc::new(AtomicUsize::new(0));
        let count = waiting.clone();
        let thread = std::thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || write_all(&queue, &count))
            .context("starting the thread that prints")?;
        Ok(Self::Threaded(Threaded {
            texts: Mutex::new(Some(texts)),
            waiting,
            skipped: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// One line of many; may be left out when stdout is too slow.
    pub(super) fn line(&self, line: String) {
        match self {
            Self::Silent => {}
            Self::Direct(out) => print_line(out, &line),
            Self::Threaded(threaded) => {
                if threaded.waiting.load(Relaxed) >= QUEUE_LINES || !threaded.send(line) {
                    threaded.skipped.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// A text that is not left out; only who closed stdout misses it.
    pub(super) fn print(&self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Direct(out) => print_line(out, text),
            Self::Threaded(threaded) => {
                threaded.send(text.to_owned());
            }
        }
    }

    /// The same, by a silent printer too.
    pub(super) fn print_always(&self, text: &str) {
        match self {
            // Fails when stdout was closed.
            Self::Silent => drop(writeln!(io::stdout(), "{}", text.trim_start())),
            Self::Direct(_) | Self::Threaded(_) => self.print(text),
        }
    }

    /// Waits until all is written, or `give_up` says that nobody waits any more, and says on stderr
    /// what was left out.
    pub(super) async fn finish(&self, give_up: &CancellationToken) {
        match self {
            Self::Silent => {}
            // Fails when stdout was closed.
            Self::Direct(out) => drop(out.lock().unwrap_or_else(PoisonError::into_inner).flush()),
            Self::Threaded(threaded) => threaded.finish(give_up).await,
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

    async fn finish(&self, give_up: &CancellationToken) {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            tokio::select! {
                biased;
                // A panic there has been reported by its hook.
                _ = tokio::task::spawn_blocking(move || thread.join()) => {}
                () = give_up.cancelled() => eprintln!("lab: not all was printed: nobody reads stdout"),
            }
        }
        match self.skipped.load(Relaxed) {
            0 => {}
            skipped => eprintln!("lab: {skipped} lines were not printed: stdout was too slow or closed"),
        }
    }
}

fn print_line(out: &Mutex<BufWriter<io::Stdout>>, text: &str) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    // Fails when stdout was closed.
    let _ = writeln!(out, "{text}");
}

fn write_all(queue: &Receiver<String>, waiting: &AtomicUsize) {
    let mut out = BufWriter::new(io::stdout());
    loop {
        let text = match queue.try_recv() {
            Ok(text) => text,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // Nothing waits: show what there is, then sleep.
                if out.flush().is_err() {
                    return;
                }
                match queue.recv() {
                    Ok(text) => text,
                    Err(_) => break,
                }
            }
        };
        waiting.fetch_sub(1, Relaxed);
        if writeln!(out, "{text}").is_err() {
            return;
        }
    }
    // Fails when stdout was closed.
    let _ = out.flush();
}
