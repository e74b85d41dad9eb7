//! The buffer's moves in any order, and its waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;
use tokio::{sync::Barrier, task::JoinSet};

use super::*;
use crate::streams::chunk::{Label, Stream};

const CAPACITY: usize = 8;

fn buffer(overload: Overload, workers: usize) -> Buffer {
    Buffer::new(CAPACITY, overload, workers, Box::new(|_| {}))
}

/// A stream that joins `buffer`.
fn joined(buffer: &Buffer, id: u32) -> Arc<Stream> {
    let place = buffer.join().expect("room for the stream");
    Arc::new(Stream { id, label: Label::Number(id), place })
}

/// What the policy owes to a chunk, from nothing but the moves so far: chunks by the ids of their streams, oldest
/// first, and the streams that are in.
#[derive(Debug, Default)]
struct Model {
    queue: VecDeque<u32>,
    streams: Vec<u32>,
}

impl Model {
    fn held(&self, id: u32) -> usize {
        self.queue.iter().filter(|held| **held == id).count()
    }

    /// Streams that count: joined ones, and those that left but still have a chunk inside.
    fn counted(&self) -> usize {
        let mut counted: Vec<u32> = self.streams.iter().chain(&self.queue).copied().collect();
        counted.sort_unstable();
        counted.dedup();
        counted.len()
    }

    fn offer(&mut self, overload: Overload, id: u32) -> Offered {
        let full = self.queue.len() == CAPACITY;
        let share = CAPACITY / self.counted();
        let evicted = match overload {
            Overload::DropNewest if full => return Offered::Dropped(Reason::Full),
            Overload::Fair if self.held(id) >= share => return Offered::Dropped(Reason::Share),
            Overload::Fair if full => self.queue.iter().position(|held| self.held(*held) > share),
            Overload::DropOldest if full => Some(0),
            _ => None,
        };
        if let Some(at) = evicted {
            self.queue.remove(at);
        }
        self.queue.push_back(id);
        Offered::Accepted
    }
}

fn chunk(stream: &Arc<Stream>, index: u64) -> Chunk {
    let now = Instant::now();
    Chunk { stream: stream.clone(), index, intended: now, offered: now, data: Bytes::new() }
}

#[derive(Debug, Clone)]
enum Move {
    Join,
    Leave(usize),
    Offer(usize),
    Take,
    Settle(bool),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        1 => Just(Move::Join),
        1 => (0_usize..6).prop_map(Move::Leave),
        8 => (0_usize..6).prop_map(Move::Offer),
        4 => Just(Move::Take),
        4 => any::<bool>().prop_map(Move::Settle),
    ];
    prop::collection::vec(one, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_move_keeps_the_balance_the_bounds_and_the_policy(moves in moves(), policy in 0_usize..4) {
        let overload = Overload::ALL[policy];
        let buffer = buffer(overload, 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut streams: Vec<Arc<Stream>> = Vec::new();
        let mut model = Model::default();
        let mut indexes = vec![0_u64; 1_000];
        let mut last_taken = vec![None; 1_000];
        let (mut next_id, mut held_by_workers) = (0, 0_u64);
        for step in moves {
            match step {
                Move::Join => {
                    let place = buffer.join();
                    let room = overload != Overload::Fair || model.counted() < CAPACITY;
                    prop_assert_eq!(place.is_some(), room);
                    if let Some(place) = place {
                        streams.push(Arc::new(Stream { id: next_id, label: Label::Number(next_id), place }));
                        model.streams.push(next_id);
                        next_id += 1;
                    }
                }
                Move::Leave(at) if at < streams.len() => {
                    let stream = streams.remove(at);
                    buffer.leave(stream.place);
                    model.streams.retain(|id| *id != stream.id);
                }
                Move::Offer(at) if at < streams.len() => {
                    let source = &streams[at];
                    if overload == Overload::Block && model.queue.len() == CAPACITY {
                        continue;
                    }
                    let index = &mut indexes[source.id as usize];
                    let offered = runtime.block_on(buffer.offer(chunk(source, *index)));
                    *index += 1;
                    prop_assert_eq!(offered, model.offer(overload, source.id), "{}: {:?}", overload, model);
                }
                Move::Take => {
                    if let Some(Next::Chunk(taken)) = buffer.try_next(0, None) {
                        prop_assert_eq!(Some(taken.chunk.stream.id), model.queue.pop_front());
                        let last = last_taken[taken.chunk.stream.id as usize].replace(taken.chunk.index);
                        prop_assert!(last.is_none_or(|last| last < taken.chunk.index), "out of order");
                        held_by_workers += 1;
                    }
                }
                Move::Settle(good) if held_by_workers > 0 => {
                    let result = if good { Ok(()) } else { Err(Reason::Sink) };
                    if let Some(Next::Chunk(taken)) = buffer.try_next(0, Some(result)) {
                        prop_assert_eq!(Some(taken.chunk.stream.id), model.queue.pop_front());
                        held_by_workers += 1;
                    }
                    held_by_workers -= 1;
                }
                Move::Leave(_) | Move::Offer(_) | Move::Settle(_) => {}
            }
            let ledger = buffer.ledger();
            prop_assert!(ledger.balances(), "{:?}", ledger);
            prop_assert!(ledger.queued <= CAPACITY as u64);
            prop_assert_eq!(ledger.queued, model.queue.len() as u64);
            prop_assert_eq!(ledger.in_progress, held_by_workers);
        }
        buffer.abandon();
        let ledger = buffer.ledger();
        prop_assert!(ledger.balances() && ledger.queued == 0 && ledger.in_progress == 0);
    }
}

#[tokio::test]
async fn under_fair_a_newcomer_finds_room_where_others_hold_more_than_their_new_share() {
    let buffer = buffer(Overload::Fair, 1);
    let old = joined(&buffer, 0);
    for index in 0..CAPACITY as u64 {
        assert_eq!(buffer.offer(chunk(&old, index)).await, Offered::Accepted, "alone it has all places");
    }
    assert_eq!(buffer.offer(chunk(&old, 8)).await, Offered::Dropped(Reason::Share));
    let new = joined(&buffer, 1);
    for index in 0..4 {
        assert_eq!(buffer.offer(chunk(&new, index)).await, Offered::Accepted);
    }
    assert_eq!(buffer.offer(chunk(&new, 4)).await, Offered::Dropped(Reason::Share));
    assert_eq!(buffer.ledger().dropped_by.evicted, 4);
    let held = |stream: &Arc<Stream>| buffer.state.lock().streams[stream.place.0].chunks;
    assert_eq!((held(&old), held(&new)), (4, 4));
    assert!((2..CAPACITY).all(|_| buffer.join().is_some()), "room for each stream");
    assert_eq!(buffer.join(), None, "and no more");
}

#[tokio::test]
async fn a_stream_that_left_counts_until_its_last_chunk_is_out() {
    let buffer = buffer(Overload::Fair, 1);
    let gone = joined(&buffer, 0);
    assert_eq!(buffer.offer(chunk(&gone, 0)).await, Offered::Accepted);
    buffer.leave(gone.place);
    assert_eq!(buffer.state.lock().streams.len(), 1);
    assert!(matches!(buffer.next(0, None).await, Next::Chunk(_)));
    assert_eq!(buffer.state.lock().streams.len(), 0);
}

#[tokio::test]
async fn drop_oldest_keeps_the_newest_and_returns_the_wait_of_the_others() {
    let evicted = Arc::new(AtomicU64::new(0));
    let count = evicted.clone();
    let hear = Box::new(move |_| {
        count.fetch_add(1, Relaxed);
    });
    let buffer = Buffer::new(2, Overload::DropOldest, 1, hear);
    let source = joined(&buffer, 0);
    for index in 0..5 {
        assert_eq!(buffer.offer(chunk(&source, index)).await, Offered::Accepted);
    }
    assert_eq!(evicted.load(Relaxed), 3);
    for expected in [3, 4] {
        let Next::Chunk(taken) = buffer.next(0, None).await else { panic!("a chunk") };
        assert_eq!((taken.chunk.index, taken.number), (expected, expected));
    }
}

#[tokio::test(start_paused = true)]
async fn block_waits_for_room_first_come_first_served_and_a_close_ends_the_wait() {
    let buffer = Arc::new(buffer(Overload::Block, 1));
    let source = joined(&buffer, 0);
    for index in 0..CAPACITY as u64 {
        assert_eq!(buffer.offer(chunk(&source, index)).await, Offered::Accepted);
    }
    let mut offers = JoinSet::new();
    for index in 8..11 {
        let (buffer, source) = (buffer.clone(), source.clone());
        offers.spawn(async move { (index, buffer.offer(chunk(&source, index)).await) });
        tokio::task::yield_now().await;
    }
    assert_eq!(buffer.ledger().generated, CAPACITY as u64, "who waits has not generated yet");
    assert!(matches!(buffer.next(0, None).await, Next::Chunk(_)));
    assert_eq!(offers.join_next().await.unwrap().unwrap(), (8, Offered::Accepted));
    buffer.close();
    while let Some(offer) = offers.join_next().await {
        assert_eq!(offer.unwrap().1, Offered::Closed);
    }
    assert!(buffer.ledger().balances());
    for _ in 0..CAPACITY {
        assert!(matches!(buffer.next(0, None).await, Next::Chunk(_)));
    }
    assert!(matches!(buffer.next(0, None).await, Next::End));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_no_longer_wanted_does_not_wait_for_room() {
    let buffer = Arc::new(buffer(Overload::Block, 1));
    let (stays, goes) = (joined(&buffer, 0), joined(&buffer, 1));
    for index in 0..CAPACITY as u64 {
        assert_eq!(buffer.offer(chunk(&stays, index)).await, Offered::Accepted);
    }
    let mut offers = JoinSet::new();
    for stream in [&goes, &stays] {
        let (buffer, chunk) = (buffer.clone(), chunk(stream, 9));
        offers.spawn(async move {
            let id = chunk.stream.id;
            (id, buffer.offer(chunk).await)
        });
        tokio::task::yield_now().await;
    }
    buffer.set_streams(1);
    assert_eq!(offers.join_next().await.unwrap().unwrap(), (1, Offered::Closed));
    assert_eq!(buffer.offer(chunk(&goes, 10)).await, Offered::Closed, "nor does it get in line");
    assert!(matches!(buffer.next(0, None).await, Next::Chunk(_)));
    assert_eq!(offers.join_next().await.unwrap().unwrap(), (0, Offered::Accepted));
    assert_eq!(buffer.ledger().generated, CAPACITY as u64 + 1);
    assert!(buffer.ledger().balances());
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_waited_for_room_finds_the_worker_that_is_idle() {
    let buffer = Arc::new(Buffer::new(1, Overload::Block, 2, Box::new(|_| {})));
    let mut workers = JoinSet::new();
    for worker in 0..2 {
        let buffer = buffer.clone();
        workers.spawn(async move { buffer.next(worker, None).await });
    }
    // Both wait; one offer finds room, the other stands in line.
    tokio::task::yield_now().await;
    let (first, second) = (joined(&buffer, 0), joined(&buffer, 1));
    let (one, two) = tokio::join!(buffer.offer(chunk(&first, 0)), buffer.offer(chunk(&second, 0)));
    assert_eq!((one, two), (Offered::Accepted, Offered::Accepted));
    for _ in 0..2 {
        // Neither worker is done with its chunk, so that none comes back for the other's.
        let next = tokio::time::timeout(Duration::from_secs(1), workers.join_next()).await;
        assert!(matches!(next, Ok(Some(Ok(Next::Chunk(_))))), "{next:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_workers_retire_at_once_and_pass_the_news_on() {
    let buffer = Arc::new(buffer(Overload::DropNewest, 3));
    let mut workers = JoinSet::new();
    for worker in 0..3 {
        let buffer = buffer.clone();
        workers.spawn(async move { (worker, buffer.next(worker, None).await) });
    }
    tokio::task::yield_now().await;
    buffer.set_workers(1);
    let mut retired = Vec::new();
    for _ in 0..2 {
        let (worker, next) = workers.join_next().await.unwrap().unwrap();
        assert!(matches!(next, Next::Retire));
        retired.push(worker);
    }
    retired.sort_unstable();
    assert_eq!(retired, [1, 2]);
    assert_eq!(buffer.offer(chunk(&joined(&buffer, 0), 0)).await, Offered::Accepted);
    let (worker, next) = workers.join_next().await.unwrap().unwrap();
    assert!(worker == 0 && matches!(next, Next::Chunk(_)));
}

/// Real threads: no wake-up is lost while workers come and go, and a dropped wait loses nothing.
#[test]
fn nothing_is_lost_between_threads() {
    const CHUNKS: u64 = 20_000;
    for overload in [Overload::Block, Overload::DropOldest, Overload::DropNewest, Overload::Fair] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
        runtime.block_on(async {
            let buffer = Arc::new(buffer(overload, 4));
            let start = Arc::new(Barrier::new(8));
            let mut tasks = JoinSet::new();
            for id in 0..4 {
                let (buffer, start, source) = (buffer.clone(), start.clone(), joined(&buffer, id));
                tasks.spawn(async move {
                    start.wait().await;
                    for index in 0..CHUNKS / 4 {
                        buffer.offer(chunk(&source, index)).await;
                    }
                    buffer.leave(source.place);
                    0
                });
            }
            let mut workers = JoinSet::new();
            for worker in 0..4 {
                let (buffer, start) = (buffer.clone(), start.clone());
                workers.spawn(async move {
                    start.wait().await;
                    let (mut processed, mut had) = (0_u64, None);
                    loop {
                        // Every other wait is given up after a while and begun again.
                        let patience =
                            Duration::from_micros(if processed.is_multiple_of(2) { 50 } else { 60_000_000 });
                        match tokio::time::timeout(patience, buffer.next(worker, had.take())).await {
                            Err(_) => {}
                            Ok(Next::Chunk(_)) => {
                                processed += 1;
                                had = Some(Ok(()));
                            }
                            Ok(Next::End | Next::Retire) => return processed,
                        }
                    }
                });
            }
            while tasks.join_next().await.is_some() {}
            buffer.close();
            let mut processed = 0;
            while let Some(count) = workers.join_next().await {
                processed += count.unwrap();
            }
            let ledger = buffer.ledger();
            assert!(ledger.balances() && ledger.queued == 0 && ledger.in_progress == 0, "{ledger:?}");
            assert_eq!((ledger.generated, ledger.processed), (CHUNKS, processed), "{overload}");
            assert_eq!(buffer.state.lock().streams.len(), 0);
        });
    }
}
