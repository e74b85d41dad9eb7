//! The history of a run: a file to which every process appends what it does, one line an event.
//!
//! A line is one write to a file opened for appending, so lines of different processes do not mix, and a process that
//! is killed has written whole lines only. The clock is the machine's monotonic one: all processes share it, and no
//! fault steps it.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What happened to an item: a task of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum What {
    /// It is about to be sent, as a part of a batch that is taken as a whole.
    Offered { batch: String },
    /// The system said that it has it.
    Accepted,
    /// Its work began.
    Started { delivery: u64 },
    /// Its work failed on purpose: it is to be started again.
    Failed { delivery: u64 },
    /// Its work is done.
    Effect { delivery: u64 },
    /// The system says that it is done, by this delivery.
    Acked { delivery: u64 },
    /// The system gave it up.
    Buried,
    /// A fault began at `from_us` and has ended now. `redo`: what was in flight may run again.
    Hit { kind: String, from_us: u64, redo: bool },
    /// The process was not run by the machine since `from_us`.
    Stalled { from_us: u64 },
}

/// A line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// When, in microseconds of the machine's monotonic clock.
    pub(crate) at_us: u64,
    /// The process that did it, or that was hit; of a hit, nothing: all of them.
    pub(crate) who: String,
    /// The item; of a hit, nothing.
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// Now, in microseconds of the machine's monotonic clock.
pub(crate) fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).expect("positive") * 1_000_000
        + u64::try_from(now.tv_nsec).expect("positive") / 1_000
}

/// A history to append to; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct History {
    path: PathBuf,
    who: String,
    file: Arc<File>,
}

impl History {
    /// The history at `path`, to which `who` writes.
    pub(crate) fn at(path: &Path, who: &str) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).expect("a history");
        Self { path: path.to_owned(), who: who.to_owned(), file: Arc::new(file) }
    }

    /// The same history for another writer.
    pub(crate) fn of(&self, who: &str) -> Self {
        Self { who: who.to_owned(), ..self.clone() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends what happened to the items, in one write.
    pub(crate) fn write(&self, items: impl IntoIterator<Item = (impl ToString, What)>) {
        let at_us = now_us();
        let mut lines = Vec::new();
        for (id, what) in items {
            let event = Event { at_us, who: self.who.clone(), id: id.to_string(), what };
            serde_json::to_writer(&mut lines, &event).expect("JSON");
            lines.push(b'\n');
        }
        (&*self.file).write_all(&lines).expect("the history can be written");
    }

    /// Appends what happened to one item.
    pub(crate) fn note(&self, id: impl ToString, what: What) {
        self.write([(id, what)]);
    }

    /// Reads it from the start on.
    pub(crate) fn reader(&self) -> Reader {
        Reader { file: File::open(&self.path).expect("a history"), rest: Vec::new() }
    }

    /// All events, by time.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = self.reader().more();
        events.sort_by_key(|event| event.at_us);
        events
    }
}

/// Reads a history while it is written.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    /// The start of a line whose end was not written yet.
    rest: Vec<u8>,
}

impl Reader {
    /// What was appended since the last time.
    pub(crate) fn more(&mut self) -> Vec<Event> {
        self.file.read_to_end(&mut self.rest).expect("a history that can be read");
        let end = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        let lines = whole.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("an event")).collect()
    }
}

#[test]
fn a_history_is_read_while_several_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = History::at(&folder.path().join("history"), "one");
    let mut reader = one.reader();
    assert_eq!(reader.more(), []);
    one.note(1, What::Started { delivery: 7 });
    one.of("two").write([(2, What::Accepted), (3, What::Offered { batch: "b".to_owned() })]);
    (&*one.file).write_all(b"{\"at_us\":1,").expect("written");
    let read = reader.more();
    let said: Vec<_> =
        read.iter().map(|event| (event.who.as_str(), event.id.as_str(), &event.what)).collect();
    let offered = What::Offered { batch: "b".to_owned() };
    let expected =
        [("one", "1", &What::Started { delivery: 7 }), ("two", "2", &What::Accepted), ("two", "3", &offered)];
    assert_eq!(said, expected);
    (&*one.file).write_all(b"\"who\":\"\",\"id\":\"\",\"what\":\"buried\"}\n").expect("written");
    assert_eq!(reader.more().len(), 1);
    assert_eq!(one.events().len(), 4);
}
