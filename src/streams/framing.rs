//! How chunks are separated in a stream of bytes: a line each, or a length before each.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::{choice, labelled};

/// Bytes of the length before a frame, big-endian.
const LENGTH_BYTES: usize = 4;

choice! {
    /// How chunks are separated.
    pub enum Framing {
        /// A chunk is a line; `\n` or `\r\n` ends it and does not belong to it.
        Lines = "lines",
        /// Four bytes (big-endian) tell how long the chunk is that follows.
        Length = "length",
    }
}

choice! {
    /// What happens when a peer's line is above the limit.
    pub enum LongLines {
        /// The peer is closed.
        Close = "close",
        /// The line is skipped and counted; the next one is read.
        Skip = "skip",
    }
}

impl Framing {
    /// `data` as one frame.
    pub(super) fn frame(self, data: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(data.len() + LENGTH_BYTES);
        match self {
            Self::Lines => {
                frame.put_slice(data);
                frame.put_u8(b'\n');
            }
            Self::Length => {
                frame.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
                frame.put_slice(data);
            }
        }
        frame
    }
}

labelled! {
    /// Why a peer's bytes cannot be read any further.
    #[derive(thiserror::Error)]
    pub(super) enum Fault {
        /// A frame is above the limit.
        #[error("a frame is longer than frame_limit_bytes")]
        TooLong = "frame_too_long",
        /// The bytes ended within a frame.
        #[error("the last frame is not whole")]
        Half = "half_frame",
        /// Reading failed.
        #[error("the connection broke")]
        Broken = "broken",
        /// No whole frame came for too long.
        #[error("no whole frame came for too long")]
        Idle = "idle",
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::TimedOut => Self::Idle,
            _ => Self::Broken,
        }
    }
}

/// What was read from a peer's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// A chunk.
    Whole(Bytes),
    /// A line above the limit, which was skipped.
    Skipped,
}

/// Splits bytes into frames; it keeps at most one frame of them.
#[derive(Debug)]
pub(super) struct Frames {
    framing: Framing,
    limit_bytes: usize,
    long_lines: LongLines,
    /// The number of bytes at the front that hold no line end.
    searched: usize,
    /// Whether the front is the rest of a line that is skipped.
    skipping: bool,
}

impl Frames {
    pub(super) fn new(framing: Framing, limit_bytes: usize, long_lines: LongLines) -> Self {
        Self { framing, limit_bytes, long_lines, searched: 0, skipping: false }
    }

    /// Reads the next frame from the front of `bytes`; no more bytes follow when they have `ended`.
    pub(super) fn next(&mut self, bytes: &mut BytesMut, ended: bool) -> Result<Option<Frame>, Fault> {
        match self.framing {
            Framing::Lines => self.next_line(bytes, ended),
            Framing::Length => match self.next_counted(bytes)? {
                None if ended && !bytes.is_empty() => Err(Fault::Half),
                frame => Ok(frame),
            },
        }
    }

    /// What follows the last line end is a line too, as in most tools.
    fn next_line(&mut self, bytes: &mut BytesMut, ended: bool) -> Result<Option<Frame>, Fault> {
        loop {
            let line_end = bytes[self.searched..].iter().position(|byte| *byte == b'\n');
            let line_end = line_end.map(|at| self.searched + at);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) {
                let Some(at) = line_end else {
                    bytes.clear();
                    self.skipping = true;
                    return Ok(None);
                };
                bytes.advance(at + 1);
                continue;
            }
            let taken = line_end.map_or(bytes.len(), |at| at + 1);
            let text = &bytes[..line_end.unwrap_or(taken)];
            // At the very end there is no line's end that it could belong to.
            let carriage_return = usize::from(text.ends_with(b"\r") && (line_end.is_some() || !ended));
            let length = text.len() - carriage_return;
            if length > self.limit_bytes {
                if self.long_lines == LongLines::Close {
                    return Err(Fault::TooLong);
                }
                bytes.advance(taken);
                self.skipping = line_end.is_none();
                return Ok(Some(Frame::Skipped));
            }
            if line_end.is_none() && (!ended || taken == 0) {
                self.searched = taken;
                return Ok(None);
            }
            let mut line = bytes.split_to(taken);
            line.truncate(length);
            return Ok(Some(Frame::Whole(line.freeze())));
        }
    }

    /// Reserves no memory for a length that a peer only announces.
    fn next_counted(&self, bytes: &mut BytesMut) -> Result<Option<Frame>, Fault> {
        let Some(head) = bytes.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if length > self.limit_bytes {
            return Err(Fault::TooLong);
        }
        if bytes.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        bytes.advance(LENGTH_BYTES);
        Ok(Some(Frame::Whole(bytes.split_to(length).freeze())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT_BYTES: usize = 64;

    /// All frames of `wire`, fed in pieces of the given sizes, and how it ended.
    fn take_apart(
        framing: Framing,
        long_lines: LongLines,
        wire: &[u8],
        pieces: &[usize],
    ) -> (Vec<Frame>, Option<Fault>) {
        let mut frames = Frames::new(framing, LIMIT_BYTES, long_lines);
        let (mut bytes, mut found, mut rest) = (BytesMut::new(), Vec::new(), wire);
        let mut pieces = pieces.iter().copied().cycle();
        loop {
            let ended = rest.is_empty();
            loop {
                match frames.next(&mut bytes, ended) {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) if ended => return (found, None),
                    Ok(None) => break,
                    Err(fault) => return (found, Some(fault)),
                }
            }
            let (piece, later) = rest.split_at(pieces.next().unwrap_or(1).clamp(1, rest.len()));
            bytes.extend_from_slice(piece);
            rest = later;
        }
    }

    fn whole(data: &[u8]) -> Frame {
        Frame::Whole(Bytes::copy_from_slice(data))
    }

    proptest! {
        #[test]
        fn frames_come_back_however_the_bytes_are_cut(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..=LIMIT_BYTES), 0..20),
            pieces in prop::collection::vec(1_usize..100, 1..5),
            lines in any::<bool>(),
        ) {
            let framing = if lines { Framing::Lines } else { Framing::Length };
            let chunks: Vec<Vec<u8>> = chunks
                .into_iter()
                .map(|chunk| chunk.into_iter().filter(|byte| !lines || !b"\r\n".contains(byte)).collect())
                .collect();
            let wire: Vec<u8> = chunks.iter().flat_map(|chunk| framing.frame(chunk)).collect();
            let (found, fault) = take_apart(framing, LongLines::Close, &wire, &pieces);
            prop_assert_eq!(fault, None);
            prop_assert_eq!(found, chunks.iter().map(|chunk| whole(chunk)).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic_or_keep_more_than_a_frame(
            wire in prop::collection::vec(any::<u8>(), 0..2_000),
            pieces in prop::collection::vec(1_usize..100, 1..5),
        ) {
            for (framing, long_lines) in [
                (Framing::Lines, LongLines::Close),
                (Framing::Lines, LongLines::Skip),
                (Framing::Length, LongLines::Close),
            ] {
                let (found, fault) = take_apart(framing, long_lines, &wire, &pieces);
                let fits = |frame: &Frame| !matches!(frame, Frame::Whole(data) if data.len() > LIMIT_BYTES);
                prop_assert!(found.iter().all(fits));
                prop_assert!(long_lines == LongLines::Close || fault.is_none());
                prop_assert_eq!(found, take_apart(framing, long_lines, &wire, &[wire.len().max(1)]).0);
            }
        }
    }

    #[test]
    fn incomplete_and_too_long_frames_are_reported() {
        let length = |wire: &[u8]| take_apart(Framing::Length, LongLines::Close, wire, &[1]).1;
        assert_eq!(length(b"\0\0"), Some(Fault::Half));
        assert_eq!(length(b"\0\0\0\x05"), Some(Fault::Half));
        assert_eq!(length(b"\0\0\0\x05abc"), Some(Fault::Half));
        assert_eq!(length(b"\xff\xff\xff\xff"), Some(Fault::TooLong));
    }

    #[test]
    fn one_carriage_return_belongs_to_a_lines_end() {
        for (wire, expected) in [
            ("one\ntwo", vec!["one", "two"]),
            ("one\r\n\r\ntwo\r\n", vec!["one", "", "two"]),
            ("a\rb\n\r\r\nc\r", vec!["a\rb", "\r", "c\r"]),
        ] {
            for piece in [1, 3, 100] {
                let (found, fault) = take_apart(Framing::Lines, LongLines::Close, wire.as_bytes(), &[piece]);
                let expected: Vec<Frame> = expected.iter().map(|line| whole(line.as_bytes())).collect();
                assert_eq!((found, fault), (expected, None), "{wire:?} by {piece}");
            }
        }
    }

    #[test]
    fn a_line_above_the_limit_ends_its_peer_or_is_skipped() {
        let (fits, long) = ("x".repeat(LIMIT_BYTES), "x".repeat(LIMIT_BYTES + 1));
        for (wire, skipped) in [
            (format!("{fits}\r\nnext\n"), false),
            (format!("{long}\nnext"), true),
            (format!("{long}\r\nnext\n"), true),
            (format!("{}\nnext", long.repeat(9)), true),
        ] {
            for piece in [1, 7, 1_000] {
                let first = if skipped { Frame::Skipped } else { whole(fits.as_bytes()) };
                let found = take_apart(Framing::Lines, LongLines::Skip, wire.as_bytes(), &[piece]);
                assert_eq!(found, (vec![first, whole(b"next")], None), "{wire} by {piece}");
                let (_, fault) = take_apart(Framing::Lines, LongLines::Close, wire.as_bytes(), &[piece]);
                assert_eq!(fault, skipped.then_some(Fault::TooLong), "{wire} by {piece}");
            }
        }
        for wire in [long.clone(), format!("{fits}\r")] {
            let found = take_apart(Framing::Lines, LongLines::Skip, wire.as_bytes(), &[7]);
            assert_eq!(found, (vec![Frame::Skipped], None), "{wire}");
        }
    }
}
