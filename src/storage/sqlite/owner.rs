//! One process owns a file: a lock beside it, which names the owner and is free as soon as that process has ended.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};

/// How much of the lock file is shown.
const SHOWN_LIMIT_BYTES: u64 = 200;
/// The log beside the file is cut to this length after a checkpoint.
const LOG_LIMIT_BYTES: u64 = 64 << 20;
/// How long to wait for a lock that some tool holds on the file.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// Who has a file, when that is not known.
const SOMEBODY: &str = "another process";

/// When a commit is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// Before it is answered.
    Full,
    /// When SQLite next writes a checkpoint.
    Normal,
}

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path}: in use by {by}")]
    Held {
        /// The file.
        path: String,
        /// Who has it.
        by: String,
    },
    /// A newer version of the program wrote it.
    #[error("its tables are of version {found}, this program knows up to {known}: a newer program wrote it")]
    Newer {
        /// The version of its tables.
        found: usize,
        /// The newest version that this program knows.
        known: usize,
    },
    /// The folder or the lock cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no database, or cannot be read.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// The right to a file, held until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Owner {
    path: PathBuf,
    /// Locked.
    lock: File,
}

impl Drop for Owner {
    /// Gives the lock free at once. A process that is just being started has a copy of the file until it runs its own
    /// program, and closing would leave the lock to that.
    fn drop(&mut self) {
        // Closing comes next and does the same, later.
        let _ = self.lock.unlock();
    }
}

impl Owner {
    /// Takes the right to `folder/NAME.sqlite`.
    pub(super) fn of(folder: &Path, name: &str) -> Result<Self, OpenError> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{name}.sqlite"));
        let lock = folder.join(format!("{name}.lock"));
        let mut lock = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(lock)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut by = String::new();
                // Who has it may be writing its name just now.
                let _ = lock.take(SHOWN_LIMIT_BYTES).read_to_string(&mut by);
                return Err(held(&path, if by.is_empty() { SOMEBODY } else { &by }));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        lock.set_len(0)?;
        lock.rewind()?;
        let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
        write!(lock, "process {} (`{}`)", std::process::id(), command(arguments))?;
        Ok(Self { path, lock })
    }

    /// Opens the file and brings its tables up to date.
    pub(super) fn connect(&self, synchronous: Synchronous, schema: &[&str]) -> Result<Connection, OpenError> {
        self.prepare(synchronous, schema).map_err(|error| match error {
            OpenError::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                held(&self.path, SOMEBODY)
            }
            error => error,
        })
    }

    fn prepare(&self, synchronous: Synchronous, schema: &[&str]) -> Result<Connection, OpenError> {
        let mut db = Connection::open(&self.path)?;
        db.busy_timeout(BUSY_LIMIT)?;
        // The lock file may be deleted, and other programs do not know it: then SQLite's own lock keeps them out.
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        db.pragma_update(None, "synchronous", synchronous)?;
        db.pragma_update(None, "journal_size_limit", LOG_LIMIT_BYTES)?;
        db.set_prepared_statement_cache_capacity(128);
        let found: usize = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > schema.len() {
            return Err(OpenError::Newer { found, known: schema.len() });
        }
        for (at, step) in schema.iter().enumerate().skip(found) {
            let change = db.transaction()?;
            change.execute_batch(step)?;
            change.pragma_update(None, "user_version", at + 1)?;
            change.commit()?;
        }
        Ok(db)
    }
}

fn held(path: &Path, by: &str) -> OpenError {
    OpenError::Held { path: path.display().to_string(), by: by.to_owned() }
}

/// The program and its subcommands. Flags are left out: their values may be secrets.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = arguments.take(3).take_while(|argument| !argument.starts_with('-')).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_named_without_its_secrets() {
        let command = |line: &str| command(line.split(' ').map(str::to_owned));
        assert_eq!(command("lab queue worker --workers 8"), "lab queue worker");
        assert_eq!(command("lab --admin-token s3cret"), "lab");
        assert_eq!(command("lab queue --redis-url=redis://:s3cret@h"), "lab queue");
    }

    #[test]
    fn a_process_that_is_being_started_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::of(folder.path(), "numbers").unwrap();
        let inherited = owner.lock.try_clone().unwrap();
        drop(owner);
        assert!(Owner::of(folder.path(), "numbers").is_ok());
        drop(inherited);
    }
}
