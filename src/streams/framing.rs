//! How chunks are told apart in a stream of bytes: a line each, or a length before each.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, Decoder};

use crate::{choice, labelled};

/// Bytes of the length before a frame, big-endian.
const LENGTH_BYTES: usize = 4;

choice! {
    /// How chunks are told apart.
    pub enum Framing {
        /// A chunk is a line; `\n` ends it and does not belong to it.
        Lines = "lines",
        /// Four bytes (big-endian) tell how long the chunk is that follows.
        Length = "length",
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
    /// What is wrong with a peer's bytes.
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

/// Takes bytes apart; it keeps at most one frame of them.
#[derive(Debug)]
pub(super) enum Frames {
    Lines(AnyDelimiterCodec),
    /// Our own: tokio-util's takes the length off the bytes, after which an end within a frame
    /// cannot be told from one between frames, and reserves what a peer only announces.
    Length {
        frame_limit_bytes: usize,
    },
}

impl Frames {
    pub(super) fn new(framing: Framing, frame_limit_bytes: usize) -> Self {
        match framing {
            Framing::Lines => Self::Lines(AnyDelimiterCodec::new_with_max_length(
                b"\n".to_vec(),
                Vec::new(),
                frame_limit_bytes,
            )),
            Framing::Length => Self::Length { frame_limit_bytes },
        }
    }
}

impl Decoder for Frames {
    type Item = Bytes;
    type Error = Fault;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Bytes>, Fault> {
        match self {
            Self::Lines(lines) => lines.decode(bytes).map_err(of_line),
            Self::Length { frame_limit_bytes } => {
                let Some(head) = bytes.first_chunk::<LENGTH_BYTES>() else {
                    return Ok(None);
                };
                let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
                if length > *frame_limit_bytes {
                    return Err(Fault::TooLong);
                }
                if bytes.len() < LENGTH_BYTES + length {
                    return Ok(None);
                }
                bytes.advance(LENGTH_BYTES);
                Ok(Some(bytes.split_to(length).freeze()))
            }
        }
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Bytes>, Fault> {
        match self {
            // What stands after the last line's end is a line too, as most tools have it.
            Self::Lines(lines) => lines.decode_eof(bytes).map_err(of_line),
            Self::Length { .. } => match self.decode(bytes)? {
                None if !bytes.is_empty() => Err(Fault::Half),
                frame => Ok(frame),
            },
        }
    }
}

fn of_line(error: AnyDelimiterCodecError) -> Fault {
    match error {
        AnyDelimiterCodecError::MaxChunkLengthExceeded => Fault::TooLong,
        AnyDelimiterCodecError::Io(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT_BYTES: usize = 64;

    /// All frames of `wire`, fed in pieces of the given sizes, and how it ended.
    fn take_apart(framing: Framing, wire: &[u8], pieces: &[usize]) -> (Vec<Bytes>, Option<Fault>) {
        let mut frames = Frames::new(framing, LIMIT_BYTES);
        let (mut bytes, mut found, mut rest) = (BytesMut::new(), Vec::new(), wire);
        let mut pieces = pieces.iter().copied().cycle();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(pieces.next().unwrap_or(1).clamp(1, rest.len()));
            bytes.extend_from_slice(piece);
            rest = later;
            loop {
                match frames.decode(&mut bytes) {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) => break,
                    Err(fault) => return (found, Some(fault)),
                }
            }
        }
        loop {
            match frames.decode_eof(&mut bytes) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => return (found, None),
                Err(fault) => return (found, Some(fault)),
            }
        }
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
                .map(|chunk| chunk.into_iter().filter(|byte| !lines || *byte != b'\n').collect())
                .collect();
            let wire: Vec<u8> = chunks.iter().flat_map(|chunk| framing.frame(chunk)).collect();
            let (found, fault) = take_apart(framing, &wire, &pieces);
            prop_assert_eq!(fault, None);
            prop_assert_eq!(found, chunks);
        }

        #[test]
        fn no_bytes_make_it_panic_or_keep_more_than_a_frame(
            wire in prop::collection::vec(any::<u8>(), 0..2_000),
            pieces in prop::collection::vec(1_usize..100, 1..5),
        ) {
            for framing in [Framing::Lines, Framing::Length] {
                let (found, _) = take_apart(framing, &wire, &pieces);
                prop_assert!(found.iter().all(|frame| frame.len() <= LIMIT_BYTES));
            }
        }
    }

    #[test]
    fn what_is_not_whole_or_too_long_is_said() {
        let length = |wire: &[u8]| take_apart(Framing::Length, wire, &[1]).1;
        assert_eq!(length(b"\0\0"), Some(Fault::Half));
        assert_eq!(length(b"\0\0\0\x05"), Some(Fault::Half));
        assert_eq!(length(b"\0\0\0\x05abc"), Some(Fault::Half));
        assert_eq!(length(b"\xff\xff\xff\xff"), Some(Fault::TooLong));
        let (found, fault) = take_apart(Framing::Lines, b"one\ntwo", &[3]);
        assert_eq!((found, fault), (vec![Bytes::from("one"), Bytes::from("two")], None));
        assert_eq!(take_apart(Framing::Lines, &[b'x'; LIMIT_BYTES + 1], &[7]).1, Some(Fault::TooLong));
    }
}
