//! The process's own stdout and stderr, without what std puts between.

use std::{
    io::{self, IoSlice, Write},
    os::fd::BorrowedFd,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, writev},
};

/// Written at a time, so that a slow reader's progress shows.
const WRITE_LIMIT_BYTES: usize = 64 * 1024;
/// Pieces written at a time: no system takes fewer.
const WRITE_LIMIT_PIECES: usize = 16;

/// A standard stream. Writing waits for its reader, and needs none of std's locks: a thread that is held here
/// holds nothing else.
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
                // Whoever shares the descriptor has made it one that does not wait.
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
