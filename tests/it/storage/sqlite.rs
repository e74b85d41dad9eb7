//! SQLite: one owner, group commit, and jobs that fail.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use lab::storage::{
    Durability, StoreError,
    sqlite::{OpenError, Sqlite, Synchronous},
};
use rusqlite::Connection;

pub(super) const SCHEMA: &[&str] = &["CREATE TABLE number (value INTEGER NOT NULL UNIQUE) STRICT"];

/// The sum of what is in the table, kept in memory.
pub(super) fn load(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("SELECT coalesce(sum(value), 0) FROM number", [], |row| row.get(0))
}

pub(super) fn open(folder: &Path) -> Result<Sqlite<i64>, OpenError> {
    Sqlite::open(folder, "numbers", Synchronous::Full, SCHEMA, load)
}

pub(super) async fn add(file: &Sqlite<i64>, value: i64) -> Result<i64, StoreError> {
    let job = move |db: &Connection, sum: &mut i64| {
        *sum += value;
        db.execute("INSERT INTO number (value) VALUES (?1)", [value])?;
        Ok(*sum)
    };
    file.write(job).await
}

#[tokio::test]
async fn what_was_answered_is_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = open(folder.path()).expect("opened");
    assert_eq!(file.durability(), Durability::Fsynced);
    assert_eq!(add(&file, 3).await, Ok(3));
    // The owner is still at it: this is what a copy of the disk would show.
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["numbers.sqlite", "numbers.sqlite-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("copied");
    }
    let other = open(copy.path()).expect("opened");
    assert_eq!(add(&other, 4).await, Ok(7));
    file.close().await;
    assert_eq!(add(&file, 5).await, Err(StoreError::Away("the file was closed".to_owned())));
    assert_eq!(add(&open(folder.path()).expect("free again"), 1).await, Ok(4));
}

#[tokio::test]
async fn a_job_that_fails_is_undone_alone_and_the_state_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = open(folder.path()).expect("opened");
    let jobs = [add(&file, 1), add(&file, 1), add(&file, 2), add(&file, 1), add(&file, 4)];
    let answers = futures_util::future::join_all(jobs).await;
    let good: Vec<_> = answers.iter().filter_map(|answer| answer.clone().ok()).collect();
    assert_eq!(good, [1, 3, 7]);
    assert!(
        answers
            .iter()
            .filter_map(|answer| answer.clone().err())
            .all(|error| matches!(error, StoreError::Refused(_)))
    );
    let panicked = file
        .write(|db, sum| {
            *sum = 1_000;
            db.execute("INSERT INTO number (value) VALUES (100)", [])?;
            if *sum == 1_000 {
                panic!("a fault");
            }
            Ok(())
        })
        .await;
    assert!(matches!(panicked, Err(StoreError::Refused(_))), "{panicked:?}");
    assert_eq!(add(&file, 8).await, Ok(15));
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_kept_and_it_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = open(folder.path()).expect("opened");
    add(&file, 1).await.expect("stored");
    let limit = |pages: u32| {
        file.write(move |db, _| {
            db.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, u32>(0))
        })
    };
    limit(4).await.expect("set");
    let mut stored = 1;
    let full = loop {
        // Several at a time are one commit.
        let jobs = (0..50).map(|nth| add(&file, stored + nth + 1));
        let answers = futures_util::future::join_all(jobs).await;
        match answers.iter().find_map(|answer| answer.clone().err()) {
            Some(error) => break error,
            None => stored += 50,
        }
    };
    assert!(matches!(full, StoreError::Full(_)), "{full:?}");
    limit(1_000_000).await.expect("set");
    let (sum, loaded) = file.write(|db, sum| Ok((*sum, load(db)?))).await.expect("answered");
    assert_eq!(sum, loaded, "the state is what the tables say");
    assert!(add(&file, 1_000_000).await.is_ok());
}

#[tokio::test]
async fn whatever_happens_the_state_is_what_the_tables_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = open(folder.path()).expect("opened");
    // Every value twice: half of the jobs fail.
    let jobs = (0..2_000).map(|nth| add(&file, nth / 2 + 1));
    let answers = futures_util::future::join_all(jobs).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1_000);
    let (sum, loaded) = file.write(|db, sum| Ok((*sum, load(db)?))).await.expect("answered");
    assert_eq!((sum, loaded), (500_500, 500_500));
}

#[tokio::test]
async fn a_second_owner_is_told_who_the_first_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = open(folder.path()).expect("opened");
    let held = open(folder.path()).expect_err("in use").to_string();
    let own = format!("numbers.sqlite: in use by process {} (`", std::process::id());
    assert!(held.contains(&own), "{held}");
    drop(file);
    // The lock of a process that was killed is free at once.
    let lock = folder.path().join("other.lock");
    let mut holder = Command::new("/bin/sh")
        .args(["-c", "exec 9>>\"$0\"; flock 9; printf 'process 7 (`lab`)' >&9; echo locked; read _"])
        .arg(&lock)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("read");
    let other = || Sqlite::open(folder.path(), "other", Synchronous::Full, SCHEMA, load);
    let held = other().expect_err("in use").to_string();
    assert!(held.ends_with("other.sqlite: in use by process 7 (`lab`)"), "{held}");
    holder.kill().expect("killed");
    holder.wait().expect("ended");
    assert!(other().is_ok());
}

#[tokio::test]
async fn a_newer_file_or_another_one_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let newer = [SCHEMA[0], "CREATE TABLE more (value INTEGER) STRICT"];
    Sqlite::open(folder.path(), "numbers", Synchronous::Full, &newer, load).expect("opened").close().await;
    let refused = open(folder.path()).expect_err("newer").to_string();
    assert!(refused.contains("of version 2, this program knows up to 1"), "{refused}");
    // An older one is brought up to date.
    let older = tempfile::tempdir().expect("a folder");
    open(older.path()).expect("opened").close().await;
    assert!(Sqlite::open(older.path(), "numbers", Synchronous::Full, &newer, load).is_ok());
    let mut file = std::fs::File::create(older.path().join("text.sqlite")).expect("created");
    file.write_all(&[b'x'; 5_000]).expect("written");
    let refused =
        Sqlite::open(older.path(), "text", Synchronous::Full, SCHEMA, load).expect_err("no database");
    assert!(matches!(refused, OpenError::Sqlite(_)), "{refused:?}");
}
