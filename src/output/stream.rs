//! The process's stdout and stderr without std's buffers and locks.

use std::{
    io::{self, IoSlice, Write},
    os::fd::BorrowedFd,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, writev},
};

/// The largest single write. It is small enough that a slow reader's progress is visible.
const WRITE_LIMIT_BYTES: usize = 64 * 1024;
/// The most pieces in a single write: every system accepts this many.
const WRITE_LIMIT_PIECES: usize = 16;

/// A standard stream. Writing blocks until the reader accepts the bytes. It takes none of std's locks, so a blocked
/// thread blocks no other.
#[derive(Debug)]
pub struct Stream(BorrowedFd<'static>);

impl Stream {
    /// Standard output.
    pub fn stdout() -> Self {
        Self(rustix::stdio::stdout())
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self(rustix::stdio::stderr())
    }

    fn write_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match writev(self.0, pieces) {
                Ok(bytes) => return Ok(bytes),
                Err(Errno::INTR) => {}
                // Another process that shares the descriptor has made it non-blocking.
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_pieces(&[IoSlice::new(&bytes[..bytes.len().min(WRITE_LIMIT_BYTES)])])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut bytes = 0;
        let fitting = pieces.iter().take(WRITE_LIMIT_PIECES).take_while(|piece| {
            bytes += piece.len();
            bytes <= WRITE_LIMIT_BYTES
        });
        match (fitting.count(), pieces.first()) {
            (0, Some(first)) => self.write(first),
            (count, _) => self.write_pieces(&pieces[..count]),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
