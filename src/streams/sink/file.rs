//! Chunks as frames at a file's end, each whole or not at all.

use std::{io, os::unix::fs::FileTypeExt as _, path::Path};

use anyhow::Context as _;
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt as _,
    sync::Mutex,
};

use crate::streams::Framing;

/// A file that grows by whole frames. One writer at a time, in the order they came.
#[derive(Debug)]
pub(in crate::streams) struct FileSink {
    framing: Framing,
    file: Mutex<Growing>,
}

#[derive(Debug)]
struct Growing {
    file: File,
    /// Where the last whole frame ends.
    whole_bytes: u64,
    /// A frame may be incomplete: bytes after `whole_bytes` are cut off before the next write.
    torn: bool,
}

impl FileSink {
    pub(super) async fn open(path: &Path, framing: Framing) -> io::Result<Self> {
        // Opening a named pipe waits for its reader, and no signal could end that wait.
        if tokio::fs::metadata(path).await.is_ok_and(|found| found.file_type().is_fifo()) {
            return Err(io::Error::other("it is a named pipe, not a file"));
        }
        let file = OpenOptions::new().create(true).append(true).open(path).await?;
        let whole_bytes = file.metadata().await?.len();
        Ok(Self { framing, file: Mutex::new(Growing { file, whole_bytes, torn: false }) })
    }

    /// Appends one frame. Not durable before [`finish`](Self::finish).
    pub(super) async fn append(&self, data: &[u8]) -> anyhow::Result<()> {
        let frame = self.framing.frame(data);
        let mut growing = self.file.lock().await;
        growing.cut().await?;
        growing.torn = true;
        growing.file.write_all(&frame).await.context("writing a frame")?;
        // Tokio hands the bytes to a thread: only now is it known whether they were written.
        growing.file.flush().await.context("writing a frame")?;
        growing.torn = false;
        growing.whole_bytes += frame.len() as u64;
        Ok(())
    }

    pub(super) async fn finish(&self) -> anyhow::Result<()> {
        let mut growing = self.file.lock().await;
        growing.cut().await?;
        match growing.file.sync_all().await {
            // A pipe or a device has nothing to sync.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            result => result.context("syncing the file"),
        }
    }
}

impl Growing {
    /// Cuts off a frame that is not whole, if there is one.
    async fn cut(&mut self) -> anyhow::Result<()> {
        if self.torn {
            match self.file.set_len(self.whole_bytes).await {
                // A device has no length, and keeps nothing of a write that failed.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                result => result.context("cutting off a torn frame")?,
            }
            self.torn = false;
        }
        Ok(())
    }
}
