//! A command's output: all of it is read, but only the beginning is kept.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The beginning of an output, and its whole length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The bytes that were kept.
    pub head: Vec<u8>,
    /// How many bytes the command wrote.
    pub bytes: u64,
}

impl Captured {
    /// Reads to the end and keeps at most `limit` bytes. If the future is dropped, `self` holds what was read.
    pub(super) async fn read(&mut self, mut from: impl AsyncRead + Unpin, limit: usize) {
        let mut buffer = [0_u8; 8 << 10];
        // A read error means that the writer is gone, as the end of the output does.
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let room = limit.saturating_sub(self.head.len()).min(read);
            self.head.extend_from_slice(&buffer[..room]);
            self.bytes += read as u64;
        }
    }

    /// The kept bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_beginning_is_kept_and_the_rest_counted() {
        let mut captured = Captured::default();
        let output = vec![b'a'; 100_000];
        captured.read(output.as_slice(), 9_000).await;
        assert_eq!((captured.head.len(), captured.bytes), (9_000, 100_000));
        let mut whole = Captured::default();
        whole.read(&b"a\xffb"[..], 9_000).await;
        assert_eq!(whole.text(), "a\u{fffd}b");
    }
}
