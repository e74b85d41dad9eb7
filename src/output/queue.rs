//! The queue of lines to be written: bounded, in order, each loss counted. It has no thread and writes nothing.
//!
//! Lines are lost in two ways: they find no room, behind what waits; or they could not be written, before
//! what waits. A note says how many, and stands where they are missing.

use std::collections::VecDeque;

/// What an entry of the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Line,
    /// Has places of its own, so that lines cannot fill them.
    Text,
    /// One state of a progress bar: the next one replaces it.
    Frame,
    /// Says how many lines are missing at its place.
    Note {
        lost_lines: u64,
    },
}

/// What an entry takes of the room for bytes. Texts and notes are few.
fn weight_bytes(entry: &Entry) -> usize {
    match entry.kind {
        Kind::Line | Kind::Frame => entry.bytes.len(),
        Kind::Text | Kind::Note { .. } => 0,
    }
}

/// Bytes that are written whole, unless they are lost.
#[derive(Debug)]
pub(super) struct Entry {
    bytes: Vec<u8>,
    kind: Kind,
}

impl Entry {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the entry is one that its writer's [`finish`](super::Writer::finish) answers for.
    pub(super) fn is_text(&self) -> bool {
        self.kind == Kind::Text
    }
}

/// The limits of the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Entries; a note counts too.
    pub(super) lines: usize,
    /// Bytes of lines and frames.
    pub(super) bytes: usize,
    /// Places beside those of `lines`, which only texts can take.
    pub(super) texts: usize,
}

/// The lines, texts and frames to be written.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    /// Whose lines are missing, in a note; none where notes are not wanted.
    noted_as: Option<&'static str>,
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
    /// Lines and texts that were lost for good.
    lost_lines: u64,
    /// Those of them that the next note will tell: before what waits, and behind it.
    untold_before: u64,
    untold_behind: u64,
    /// Entries that were accepted, and those that were written or lost afterwards. Notes do not count.
    accepted: u64,
    settled: u64,
}

impl Queue {
    pub(super) fn new(limits: Limits, noted_as: Option<&'static str>) -> Self {
        Self {
            limits,
            noted_as,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            lost_lines: 0,
            untold_before: 0,
            untold_behind: 0,
            accepted: 0,
            settled: 0,
        }
    }

    /// Takes a line in, or counts it as lost: `false`.
    pub(super) fn line(&mut self, bytes: Vec<u8>) -> bool {
        self.offer(bytes, Kind::Line)
    }

    /// The same for a text.
    pub(super) fn text(&mut self, bytes: Vec<u8>) -> bool {
        self.offer(bytes, Kind::Text)
    }

    /// Takes a frame in, instead of one that nothing has followed yet; `false` where there is no room.
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
        let entries = self.waiting.len() + 1 + usize::from(self.untold_behind > 0);
        let room = match kind {
            Kind::Text => entries <= self.limits.lines + self.limits.texts,
            Kind::Line | Kind::Frame | Kind::Note { .. } => {
                entries <= self.limits.lines && self.waiting_bytes + bytes.len() <= self.limits.bytes
            }
        };
        if room {
            if let Some(note) = self.note(self.untold_behind) {
                self.untold_behind = 0;
                self.push(note);
            }
            self.accepted += 1;
            self.push(Entry { bytes, kind });
        } else if kind != Kind::Frame {
            self.lost_lines += 1;
            self.untold_behind += u64::from(self.noted_as.is_some());
        }
        room
    }

    fn push(&mut self, entry: Entry) {
        self.waiting_bytes += weight_bytes(&entry);
        self.waiting.push_back(entry);
    }

    /// A note that says how many lines are missing; none if no line is.
    fn note(&self, lost_lines: u64) -> Option<Entry> {
        let name = self.noted_as.filter(|_| lost_lines > 0)?;
        let lines = if lost_lines == 1 { "line was" } else { "lines were" };
        let text = format!("lab: {lost_lines} {lines} lost here: {name} took no more\n");
        Some(Entry { bytes: text.into_bytes(), kind: Kind::Note { lost_lines } })
    }

    /// Whether [`take`](Self::take) would give something.
    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.untold_behind > 0
    }

    /// The next entries to write, `limit` of them and the notes that belong there. Each must be
    /// [settled](Self::settle).
    pub(super) fn take(&mut self, limit: usize) -> Vec<Entry> {
        let mut batch = Vec::from_iter(self.note(self.untold_before));
        self.untold_before = 0;
        for entry in self.waiting.drain(..self.waiting.len().min(limit)) {
            self.waiting_bytes -= weight_bytes(&entry);
            batch.push(entry);
        }
        if self.waiting.is_empty() {
            batch.extend(self.note(self.untold_behind));
            self.untold_behind = 0;
        }
        batch
    }

    /// Ends what was taken: the first `written` entries were written, the others are lost.
    pub(super) fn settle(&mut self, batch: &[Entry], written: usize) {
        let is_note = |entry: &&Entry| matches!(entry.kind, Kind::Note { .. });
        self.settled += batch.iter().filter(|entry| !is_note(entry)).count() as u64;
        for entry in batch.iter().skip(written) {
            let untold = match entry.kind {
                Kind::Line | Kind::Text => {
                    self.lost_lines += 1;
                    1
                }
                Kind::Note { lost_lines } => lost_lines,
                Kind::Frame => 0,
            };
            self.untold_before += if self.noted_as.is_some() { untold } else { 0 };
        }
    }

    /// Lines and texts that were lost so far.
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
        fn what_is_accepted_is_written_in_order_and_a_note_stands_for_what_is_lost(acts in acts()) {
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
                let held = queue.waiting.iter().map(weight_bytes).sum::<usize>();
                prop_assert_eq!(queue.waiting_bytes, held);
            }
            while queue.has_work() || queue.untold_before > 0 {
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
    fn without_notes_losses_are_counted_only() {
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
    fn a_flood_of_lines_keeps_no_text_out_and_frames_take_one_place() {
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
