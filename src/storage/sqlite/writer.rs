//! The writer: the one thread that uses the file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};

use crate::storage::StoreError;

/// Jobs of one commit at most.
const GROUP_JOBS_LIMIT: usize = 500;

/// Answers a job, once it is known whether its group was committed.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What became of a job before the commit.
struct Ran {
    failed: Option<StoreError>,
    reply: Reply,
}

/// A job, and whom to answer.
trait Work<S>: Send {
    /// Runs it within a transaction.
    fn run(self: Box<Self>, db: &Connection, state: &mut S) -> Ran;
    /// Answers it without running it.
    fn refuse(self: Box<Self>, error: StoreError);
}

struct Task<F, T> {
    job: F,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<S, T, F> Work<S> for Task<F, T>
where
    T: Send + 'static,
    F: FnOnce(&Connection, &mut S) -> rusqlite::Result<T> + Send,
{
    fn run(self: Box<Self>, db: &Connection, state: &mut S) -> Ran {
        let Self { job, answer } = *self;
        let result = match catch_unwind(AssertUnwindSafe(|| job(db, state))) {
            Ok(result) => result.map_err(|error| store_error(&error)),
            Err(_) => Err(StoreError::Refused("the request met a fault in this program".to_owned())),
        };
        let failed = result.as_ref().err().cloned();
        let reply = move |committed: Result<(), StoreError>| {
            // Nobody may wait any more.
            let _ = answer.send(result.and_then(|value| committed.map(|()| value)));
        };
        Ran { failed, reply: Box::new(reply) }
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        let _ = self.answer.send(Err(error));
    }
}

/// What the writer is handed.
pub(super) struct Job<S>(Option<Box<dyn Work<S>>>);

impl<S> Job<S> {
    /// Runs `job`, and sends its result to `answer` after the commit.
    pub(super) fn new<T: Send + 'static>(
        job: impl FnOnce(&Connection, &mut S) -> rusqlite::Result<T> + Send + 'static,
        answer: oneshot::Sender<Result<T, StoreError>>,
    ) -> Self {
        Self(Some(Box::new(Task { job, answer })))
    }

    /// Ends the writer.
    pub(super) fn close() -> Self {
        Self(None)
    }
}

/// Makes the state from the tables.
type Load<S> = Box<dyn Fn(&Connection) -> rusqlite::Result<S> + Send>;

/// The writer's file, state and queue.
pub(super) struct Writer<S> {
    pub(super) db: Connection,
    /// `None`: it has to be loaded again.
    pub(super) state: Option<S>,
    pub(super) load: Load<S>,
    pub(super) queue: mpsc::Receiver<Job<S>>,
}

impl<S> Writer<S> {
    /// Runs jobs until it is closed or all handles are gone.
    pub(super) fn run(mut self) {
        let mut group = Vec::new();
        while self.queue.blocking_recv_many(&mut group, GROUP_JOBS_LIMIT) > 0 {
            let received = group.len();
            // What comes after the end is dropped: its caller sees that nobody answers.
            let works: Vec<_> = group.drain(..).map_while(|Job(work)| work).collect();
            let is_closed = works.len() < received;
            self.commit(works);
            if is_closed {
                return;
            }
        }
    }

    /// Runs a group in one transaction and answers it.
    fn commit(&mut self, works: Vec<Box<dyn Work<S>>>) {
        if let Err(error) = self.db.execute_batch("BEGIN IMMEDIATE") {
            let error = store_error(&error);
            works.into_iter().for_each(|work| work.refuse(error.clone()));
            return;
        }
        let mut replies = Vec::with_capacity(works.len());
        let mut works = works.into_iter();
        let mut result = Ok(());
        while result.is_ok()
            && let Some(work) = works.next()
        {
            result = self.step(work, &mut replies);
        }
        let commit = || self.db.execute_batch("COMMIT").map_err(|error| commit_error(&error));
        let Err(error) = result.and_then(|()| commit()) else {
            replies.into_iter().for_each(|reply| reply(Ok(())));
            return;
        };
        // SQLite ends the transaction itself after some errors.
        if !self.db.is_autocommit() {
            let _ = self.db.execute_batch("ROLLBACK");
        }
        self.state = None;
        replies.into_iter().for_each(|reply| reply(Err(error.clone())));
        works.for_each(|work| work.refuse(error.clone()));
    }

    /// Runs one job in a savepoint. An error ends the group.
    fn step(&mut self, work: Box<dyn Work<S>>, replies: &mut Vec<Reply>) -> Result<(), StoreError> {
        let mut state = match self.begin_job() {
            Ok(state) => state,
            Err(error) => {
                work.refuse(error.clone());
                return Err(error);
            }
        };
        let Ran { failed, reply } = work.run(&self.db, &mut state);
        replies.push(reply);
        let ended = match failed {
            None => {
                self.state = Some(state);
                self.db.execute_batch("RELEASE job")
            }
            // SQLite has ended the whole transaction, as it does when the disk is full.
            Some(error) if self.db.is_autocommit() => return Err(error),
            Some(_) => self.db.execute_batch("ROLLBACK TO job; RELEASE job"),
        };
        ended.map_err(|error| store_error(&error))
    }

    /// Hands the state out to a job, which hands it back if it succeeds.
    fn begin_job(&mut self) -> Result<S, StoreError> {
        let state = match self.state.take() {
            Some(state) => state,
            None => (self.load)(&self.db)
                .map_err(|error| StoreError::Away(format!("its state cannot be read: {error}")))?,
        };
        self.db.execute_batch("SAVEPOINT job").map_err(|error| store_error(&error))?;
        Ok(state)
    }
}

/// What an error of SQLite means to who asked.
fn store_error(error: &rusqlite::Error) -> StoreError {
    let said = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(said),
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen,
        ) => StoreError::Away(said),
        _ => StoreError::Refused(said),
    }
}

/// The same of a commit: if the disk failed while it was written, it may be found in the file after a crash.
fn commit_error(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => StoreError::OutcomeUnknown(error.to_string()),
        _ => store_error(error),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_commit_that_a_failing_disk_broke_may_have_been_kept() {
        let error = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert!(matches!(commit_error(&error(ffi::SQLITE_IOERR_FSYNC)), StoreError::OutcomeUnknown(_)));
        assert!(matches!(commit_error(&error(ffi::SQLITE_FULL)), StoreError::Full(_)));
        assert!(matches!(store_error(&error(ffi::SQLITE_IOERR_READ)), StoreError::Away(_)));
        assert!(matches!(store_error(&error(ffi::SQLITE_CONSTRAINT)), StoreError::Refused(_)));
    }
}
