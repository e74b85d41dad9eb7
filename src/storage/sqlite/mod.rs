//! SQLite, owned by one process: a writer thread with group commit, beside which nobody else has the file.
//!
//! ```text
//!   write(job) ──bounded queue──> writer: BEGIN, savepoint a job, ... COMMIT (synced) ──> answers
//!                                     └ state: what the system keeps in memory, made from the tables
//! ```
//!
//! All jobs that wait when the writer is free are one transaction: under load one sync carries many of them. A job
//! that fails is rolled back alone.

mod owner;
mod writer;

use std::{fmt, path::Path, sync::Arc};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::{
    owner::Owner,
    writer::{Job, Writer},
};
use super::{Durability, StoreError};

pub use owner::{OpenError, Synchronous};

/// Jobs that wait for the writer at most; further ones wait for room.
const QUEUED_JOBS_LIMIT: usize = 10_000;

/// A file and its writer, with a state `S` that the jobs share; cheap to clone.
pub struct Sqlite<S> {
    jobs: mpsc::Sender<Job<S>>,
    ended: Arc<tokio::sync::Mutex<Option<oneshot::Receiver<()>>>>,
    synchronous: Synchronous,
}

impl<S> Clone for Sqlite<S> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), ended: self.ended.clone(), synchronous: self.synchronous }
    }
}

impl<S> fmt::Debug for Sqlite<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sqlite")
    }
}

impl<S: Send + 'static> Sqlite<S> {
    /// Opens or makes `folder/NAME.sqlite`, brings its tables up to date with the steps of `schema`, and starts the
    /// writer with the state that `load` makes. After a job or a commit has failed, `load` is called again before the
    /// next job; while it fails, jobs are answered with [`StoreError::Away`].
    ///
    /// # Errors
    /// When another process owns the file, it is of a newer version, or it cannot be opened.
    pub fn open(
        folder: &Path,
        name: &str,
        synchronous: Synchronous,
        schema: &[&str],
        load: impl Fn(&Connection) -> rusqlite::Result<S> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let owner = Owner::of(folder, name)?;
        let db = owner.connect(synchronous, schema)?;
        let state = load(&db)?;
        let (jobs, queue) = mpsc::channel(QUEUED_JOBS_LIMIT);
        let (end, ended) = oneshot::channel();
        let writer = Writer { db, state: Some(state), load: Box::new(load), queue };
        let run = move || {
            writer.run();
            // Only now may another process have the file.
            drop(owner);
            let _ = end.send(());
        };
        std::thread::Builder::new().name(format!("{name}-writer")).spawn(run)?;
        Ok(Self { jobs, ended: Arc::new(tokio::sync::Mutex::new(Some(ended))), synchronous })
    }

    /// Runs `job` in the next group commit, and answers once that is committed. The job checks before it writes: if
    /// it fails, what it wrote is undone and the state is loaded again, which takes time. A job whose future is
    /// dropped still runs.
    ///
    /// # Errors
    /// As [`StoreError`] says. Nothing of the job was kept then.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &mut S) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let closed = || StoreError::Away("the file was closed".to_owned());
        self.jobs.send(Job::new(job, answer)).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// What an accepted write survives.
    pub fn durability(&self) -> Durability {
        match self.synchronous {
            Synchronous::Full => Durability::Fsynced,
            Synchronous::Normal => Durability::Appended,
        }
    }

    /// Commits what was submitted, closes the file and gives it free. Later jobs are answered with
    /// [`StoreError::Away`].
    pub async fn close(&self) {
        let _ = self.jobs.send(Job::close()).await;
        let mut ended = self.ended.lock().await;
        // Who is dropped while waiting leaves it to the next one.
        if let Some(end) = &mut *ended {
            let _ = end.await;
            *ended = None;
        }
    }
}
