//! Lines on stdout that hold nobody up.
//!
//! A terminal or a pipe may take its time; a worker that prints must not wait for it. So a thread
//! writes, fed by a bounded queue: a line that finds it full is not printed, and the last line says how
//! many were not. Who closes stdout gets no more lines, and the run goes on.

use std::{
    io::{self, BufWriter, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
};

use anyhow::Context as _;

/// Lines that wait for the thread.
const QUEUE_LINES: usize = 16 * 1024;

/// Where the command's text goes.
#[derive(Debug)]
pub(super) enum Printer {
    /// Nowhere, except for what is printed always.
    Silent,
    /// At once, in the caller's time: for virtual time, which costs none.
    Direct(Mutex<BufWriter<io::Stdout>>),
    /// By a thread.
    Threaded {
        lines: Mutex<Option<SyncSender<String>>>,
        skipped: AtomicU64,
        thread: Mutex<Option<JoinHandle<()>>>,
    },
}

impl Printer {
    pub(super) const fn silent() -> Self {
        Self::Silent
    }

    pub(super) fn direct() -> Self {
        Self::Direct(Mutex::new(BufWriter::new(io::stdout())))
    }

    pub(super) fn threaded() -> anyhow::Result<Self> {
        let (lines, queue) = sync_channel(QUEUE_LINES);
        let thread = std::thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || write(&queue))
            .context("starting the thread that prints")?;
        Ok(Self::Threaded {
            lines: Mutex::new(Some(lines)),
            skipped: AtomicU64::new(0),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// One line of many; may be left out when stdout is too slow.
    pub(super) fn line(&self, line: String) {
        match self {
            Self::Silent => {}
            Self::Direct(out) => direct(out, &line),
            Self::Threaded { lines, skipped, .. } => {
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.as_ref().is_none_or(|lines| lines.try_send(line).is_err()) {
                    skipped.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// A text that is not left out.
    pub(super) fn print(&self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Direct(out) => direct(out, text),
            Self::Threaded { lines, .. } => {
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(lines) = lines {
                    // Fails when stdout was closed: then nobody reads it.
                    let _ = lines.send(text.to_owned());
                }
            }
        }
    }

    /// The same, by a silent printer too.
    pub(super) fn print_always(&self, text: &str) {
        match self {
            // Fails when stdout was closed.
            Self::Silent => drop(writeln!(io::stdout(), "{}", text.trim_start())),
            Self::Direct(_) | Self::Threaded { .. } => self.print(text),
        }
    }

    /// Waits until all is written, and says on stderr what was left out.
    pub(super) fn finish(&self) {
        match self {
            Self::Silent => {}
            // Fails when stdout was closed.
            Self::Direct(out) => drop(out.lock().unwrap_or_else(PoisonError::into_inner).flush()),
            Self::Threaded { lines, skipped, thread } => {
                lines.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(thread) = thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    // A panic there has been reported by its hook.
                    let _ = thread.join();
                }
                match skipped.load(Relaxed) {
                    0 => {}
                    skipped => {
                        eprintln!("lab: {skipped} lines were not printed: stdout was too slow or closed")
                    }
                }
            }
        }
    }
}

fn direct(out: &Mutex<BufWriter<io::Stdout>>, text: &str) {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    // Fails when stdout was closed.
    let _ = writeln!(out, "{text}");
}

fn write(queue: &Receiver<String>) {
    let mut out = BufWriter::new(io::stdout());
    loop {
        let line = match queue.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                // Nothing waits: show what there is, then sleep.
                if out.flush().is_err() {
                    return;
                }
                match queue.recv() {
                    Ok(line) => line,
                    Err(_) => break,
                }
            }
        };
        if writeln!(out, "{line}").is_err() {
            return;
        }
    }
    // Fails when stdout was closed.
    let _ = out.flush();
}
