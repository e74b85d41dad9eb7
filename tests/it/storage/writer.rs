//! SQLite: what befalls the writer and its file from outside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    task::Poll,
    time::Duration,
};

use futures_util::poll;
use lab::storage::{
    StoreError,
    sqlite::{OpenError, Sqlite, Synchronous},
};
use rusqlite::Connection;

use super::sqlite::{SCHEMA, add, load, open};

#[tokio::test]
async fn a_state_that_cannot_be_loaded_is_loaded_when_it_can_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let fails = Arc::new(AtomicBool::new(false));
    let seen = fails.clone();
    let load = move |db: &Connection| {
        if seen.load(SeqCst) { Err(rusqlite::Error::InvalidQuery) } else { load(db) }
    };
    let file = Sqlite::open(folder.path(), "numbers", Synchronous::Full, SCHEMA, load).expect("opened");
    assert_eq!(add(&file, 1).await, Ok(1));
    fails.store(true, SeqCst);
    assert!(add(&file, 1).await.is_err(), "there is one already");
    for _ in 0..2 {
        let away = add(&file, 2).await.expect_err("no state");
        let StoreError::Away(why) = &away else { panic!("{away:?}") };
        assert!(why.contains("Query is not read-only"), "{why}");
    }
    fails.store(false, SeqCst);
    assert_eq!(add(&file, 4).await, Ok(5));
}

#[tokio::test]
async fn who_closes_waits_for_the_end_also_after_somebody_gave_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = open(folder.path()).expect("opened");
    let (release, released) = mpsc::channel::<()>();
    let mut slow = Box::pin(file.write(move |_, _| {
        // The test lets it go on.
        let _ = released.recv();
        Ok(())
    }));
    assert!(poll!(&mut slow).is_pending());
    {
        let mut gave_up = Box::pin(file.close());
        assert!(poll!(&mut gave_up).is_pending());
    }
    let mut close = Box::pin(file.close());
    assert_eq!(poll!(&mut close), Poll::Pending);
    drop(release);
    close.await;
    assert_eq!(slow.await, Ok(()));
    assert!(open(folder.path()).is_ok(), "it is free");
}

#[tokio::test]
async fn a_deleted_lock_file_lets_no_second_owner_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = open(folder.path()).expect("opened");
    assert_eq!(add(&file, 1).await, Ok(1));
    std::fs::remove_file(folder.path().join("numbers.lock")).expect("deleted");
    let held = open(folder.path()).expect_err("in use");
    assert!(matches!(held, OpenError::Held { .. }), "{held:?}");
    // Nor does any other program change it meanwhile.
    let tool = Connection::open(folder.path().join("numbers.sqlite")).expect("opened");
    tool.busy_timeout(Duration::ZERO).expect("set");
    assert!(tool.execute("DELETE FROM number", []).is_err());
    drop(tool);
    assert_eq!(add(&file, 2).await, Ok(3));
}
