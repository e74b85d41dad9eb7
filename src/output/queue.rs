//! The queue of a [`Writer`](super::Writer): bounded, ordered, and it counts lost lines. It has no thread and does
//! no I/O.
//!
//! A line is lost if the queue is full (then it is missing after the queued lines), or if it cannot be written
//! (then it is missing before them). At the place of the missing lines, a note reports their number.

use std::collections::VecDeque;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Line,
    /// An important line, for which some entries are reserved.
    Text,
    /// One state of a progress bar: the next one replaces it.
    Frame,
    /// Reports how many lines are missing at its place.
    Note {
        lost_lines: u64,
    },
}

/// How many bytes of the limit an entry uses. Texts and notes are few, so they use none.
fn used_bytes(entry: &Entry) -> usize {
    match entry.kind {
        Kind::Line | Kind::Frame => entry.bytes.len(),
        Kind::Text | Kind::Note { .. } => 0,
    }
}

/// Bytes that are written completely or lost.
#[derive(Debug)]
pub(super) struct Entry {
    bytes: Vec<u8>,
    kind: Kind,
}

impl Entry {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether [`Writer::finish`](super::Writer::finish) must report an error if this entry is lost.
    pub(super) fn is_text(&self) -> bool {
        self.kind == Kind::Text
    }
}

/// The limits of the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Lines, frames and notes.
    pub(super) lines: usize,
    /// Bytes of lines and frames.
    pub(super) bytes: usize,
    /// Additional entries, reserved for texts.
    pub(super) texts: usize,
}

/// The lines, texts and frames that wait to be written.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    /// The destination's name in the notes; `None` disables notes.
    name_in_notes: Option<&'static str>,
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
    /// Lines and texts that were lost.
    lost_lines: u64,
    /// Lost lines that no note has reported yet: those before the waiting entries, and those after them.
    unreported_before: u64,
    unreported_after: u64,
    /// Entries that were accepted, and how many of them were then written or lost. Notes do not count.
    accepted: u64,
    settled: u64,
}

impl Queue {
    pub(super) fn new(limits: Limits, name_in_notes: Option<&'static str>) -> Self {
        Self {
            limits,
            name_in_notes,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            lost_lines: 0,
            unreported_before: 0,
            unreported_after: 0,
            accepted: 0,
            settled: 0,
        }
    }

    /// Queues a line. Returns `false` and counts it as lost if the queue is full.
    pub(super) fn line(&mut self, bytes: Vec<u8>) -> bool {
        self.offer(bytes, Kind::Line)
    }

    /// Queues a text. Returns `false` and counts it as lost if the queue is full.
    pub(super) fn text(&mut self, bytes: Vec<u8>) -> bool {
        self.offer(bytes, Kind::Text)
    }

    /// Queues a frame, or replaces the last entry if that is a frame too. Returns `false` if the queue is full.
    pub(super) fn frame(&mut self, bytes: Vec<u8>) -> bool {
        if let Some(last) =
            self.waiting.back_mut().filter(|last| last.kind == Kind::Frame && !bytes.is_empty())
        {
            self.waiting_bytes = self.waiting_bytes - last.bytes.len() + bytes.len();
            last.bytes = bytes;
            return true;
        }
        self.offer(bytes, Kind::Frame)
    }

    fn offer(&mut self, bytes: Vec<u8>, kind: Kind) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let entries = self.waiting.len() + 1 + usize::from(self.unreported_after > 0);
        let room = match kind {
            Kind::Text => entries <= self.limits.lines + self.limits.texts,
            Kind::Line | Kind::Frame | Kind::Note { .. } => {
                entries <= self.limits.lines && self.waiting_bytes + bytes.len() <= self.limits.bytes
            }
        };
        if room {
            if let Some(note) = self.note(self.unreported_after) {
                self.unreported_after = 0;
                self.push(note);
            }
            self.accepted += 1;
            self.push(Entry { bytes, kind });
        } else if kind != Kind::Frame {
            self.lost_lines += 1;
            self.unreported_after += u64::from(self.name_in_notes.is_some());
        }
        room
    }

    fn push(&mut self, entry: Entry) {
        self.waiting_bytes += used_bytes(&entry);
        self.waiting.push_back(entry);
    }

    /// A note that reports lost lines; `None` if there are none.
    fn note(&self, lost_lines: u64) -> Option<Entry> {
        let name = self.name_in_notes.filter(|_| lost_lines > 0)?;
        let lines = if lost_lines == 1 { "line was" } else { "lines were" };
        let text = format!("lab: {lost_lines} {lines} lost here: {name} took no more\n");
        Some(Entry { bytes: text.into_bytes(), kind: Kind::Note { lost_lines } })
    }

    /// Whether [`take`](Self::take) would return entries.
    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.unreported_after > 0
    }

    /// Removes the next entries to write: at most `limit`, and the notes at their places. The caller must
    /// [settle](Self::settle) them.
    pub(super) fn take(&mut self, limit: usize) -> Vec<Entry> {
        let mut batch = Vec::from_iter(self.note(self.unreported_before));
        self.unreported_before = 0;
        for entry in self.waiting.drain(..self.waiting.len().min(limit)) {
            self.waiting_bytes -= used_bytes(&entry);
            batch.push(entry);
        }
        if self.waiting.is_empty() {
            batch.extend(self.note(self.unreported_after));
            self.unreported_after = 0;
        }
        batch
    }

    /// Reports the result of a batch: the first `written` entries were written, and the others are lost.
    pub(super) fn settle(&mut self, batch: &[Entry], written: usize) {
        let is_note = |entry: &&Entry| matches!(entry.kind, Kind::Note { .. });
        self.settled += batch.iter().filter(|entry| !is_note(entry)).count() as u64;
        for entry in batch.iter().skip(written) {
            let unreported = match entry.kind {
                Kind::Line | Kind::Text => {
                    self.lost_lines += 1;
                    1
                }
                Kind::Note { lost_lines } => lost_lines,
                Kind::Frame => 0,
            };
            self.unreported_before += if self.name_in_notes.is_some() { unreported } else { 0 };
        }
    }

    /// How many lines and texts were lost so far.
    pub(super) fn lost_lines(&self) -> u64 {
        self.lost_lines
    }

    /// How many entries were accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many of those have been settled.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { lines: 5, bytes: 400, texts: 2 };

    /// What happens to a queue.
    #[derive(Debug, Clone)]
    enum Act {
        Line {
            bytes: usize,
        },
        Text,
        Frame,
        /// How many are taken, and how many of those can be written.
        Write {
            taken: usize,
            written: usize,
        },
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            4 => (1..300_usize).prop_map(|bytes| Act::Line { bytes }),
            1 => Just(Act::Text),
            1 => Just(Act::Frame),
            3 => (1..9_usize, 0..12_usize).prop_map(|(taken, written)| Act::Write { taken, written }),
        ];
        prop::collection::vec(act, 0..200)
    }

    /// Writes what can be written of the next entries.
    fn write(queue: &mut Queue, taken: usize, written: usize, into: &mut Vec<Entry>) {
        let mut batch = queue.take(taken);
        queue.settle(&batch, written);
        batch.truncate(written);
        into.extend(batch);
    }

    proptest! {
        #[test]
        fn accepted_lines_are_written_in_order_and_notes_report_lost_ones(acts in acts()) {
            let mut queue = Queue::new(LIMITS, Some("this"));
            let (mut offered, mut out) = (0_u64, Vec::new());
            for act in acts {
                // Each line begins with its number, so that gaps show.
                let numbered = |length: usize| format!("{offered:<length$}\n").into_bytes();
                match act {
                    Act::Line { bytes } => {
                        queue.line(numbered(bytes));
                        offered += 1;
                    }
                    Act::Text => {
                        queue.text(numbered(10_000));
                        offered += 1;
                    }
                    Act::Frame => {
                        queue.frame(b"frame".to_vec());
                    }
                    Act::Write { taken, written } => write(&mut queue, taken, written, &mut out),
                }
                prop_assert!(queue.waiting.len() <= LIMITS.lines + LIMITS.texts);
                prop_assert!(queue.waiting_bytes <= LIMITS.bytes);
                let held = queue.waiting.iter().map(used_bytes).sum::<usize>();
                prop_assert_eq!(queue.waiting_bytes, held);
            }
            while queue.has_work() || queue.unreported_before > 0 {
                write(&mut queue, 3, usize::MAX, &mut out);
            }
            prop_assert_eq!(queue.accepted(), queue.settled());

            // Read what was written: the number that is due next moves on by lines and by notes.
            let (mut due, mut lines) = (0, 0);
            for entry in &out {
                match entry.kind {
                    Kind::Note { lost_lines } => {
                        let text = String::from_utf8_lossy(entry.bytes());
                        prop_assert!(text.starts_with(&format!("lab: {lost_lines} line")), "{}", text);
                        due += lost_lines;
                    }
                    Kind::Frame => {}
                    Kind::Line | Kind::Text => {
                        let text = String::from_utf8_lossy(entry.bytes());
                        prop_assert_eq!(text.trim().parse::<u64>().ok(), Some(due));
                        due += 1;
                        lines += 1;
                    }
                }
            }
            prop_assert_eq!(due, offered);
            prop_assert_eq!(lines + queue.lost_lines(), offered);
        }
    }

    #[test]
    fn without_notes_losses_are_only_counted() {
        let mut queue = Queue::new(LIMITS, None);
        for number in 0..9 {
            queue.line(vec![b'0' + number]);
        }
        let mut out = Vec::new();
        write(&mut queue, 9, 3, &mut out);
        assert!(!queue.has_work());
        assert_eq!((out.len(), queue.lost_lines()), (3, 6));
    }

    #[test]
    fn texts_fit_into_a_full_queue_and_consecutive_frames_replace_each_other() {
        let mut queue = Queue::new(LIMITS, None);
        while queue.line(b"x".to_vec()) {}
        assert!(queue.text(b"a".to_vec()) && queue.text(b"b".to_vec()) && !queue.text(b"c".to_vec()));
        assert!(!queue.frame(b"f".to_vec()), "full");
        let mut out = Vec::new();
        write(&mut queue, 9, 9, &mut out);
        for frame in [b"1", b"2", b"3"] {
            queue.frame(frame.to_vec());
        }
        queue.line(b"x".to_vec());
        queue.frame(b"4".to_vec());
        let frames: Vec<Vec<u8>> = queue.take(9).into_iter().map(|entry| entry.bytes).collect();
        assert_eq!(frames, [b"3", b"x", b"4"]);
    }
}
