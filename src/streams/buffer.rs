//! The bounded channel between streams and workers: admission, hand-over and the balance sheet under
//! one lock.
//!
//! A library's channel would need a second step for each policy (take the oldest out, count a
//! stream's share), and between the two steps the balance would not hold. Here each move is one
//! critical section, so [`Buffer::ledger`] balances whenever it is read, under load too. What that costs,
//! compared with other channels, is shown by `cargo bench --profile dist --bench channels`.
//!
//! Nothing selects around the hand-over: [`Buffer::next`] returns a chunk, or says that the pool has shrunk
//! or that the stream of chunks has ended.

use std::{collections::VecDeque, pin::pin, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use slab::Slab;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    chunk::{Chunk, Label, Place, Taken},
    ledger::{ChunkLedger, Reason},
    overload::Overload,
};

/// What a worker gets from the buffer.
#[derive(Debug)]
pub(super) enum Next {
    /// A chunk, in progress from now on.
    Chunk(Taken),
    /// The pool has shrunk below this worker.
    Retire,
    /// Closed and empty.
    End,
}

/// The result of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    Accepted,
    Dropped(Reason),
    /// The buffer is closed, or its stream need not wait any more: the chunk was never generated.
    Closed,
}

/// What happened to a chunk that had waited in the buffer and left it without a worker.
pub(super) type OnEvicted = Box<dyn Fn(Duration) + Send + Sync>;

pub(super) struct Buffer {
    state: Mutex<State>,
    /// Notifies workers of a chunk, another size of the pool, or the end.
    news: Notify,
    overload: Overload,
    capacity: usize,
    on_evicted: OnEvicted,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<(Chunk, u64, Instant)>,
    /// Chunks whose sources wait for room (`block`), first come, first served: one a stream at most.
    /// They are not generated yet.
    waiting: VecDeque<Waiting>,
    /// Streams that are joined, and those that have left but still have a chunk in the buffer.
    streams: Slab<Held>,
    workers: usize,
    /// The target number of generated streams: those with the lowest numbers.
    streams_wanted: usize,
    closed: bool,
    /// The drain was cut short: the chunks inside are counted as abandoned, and none is handed out any more.
    abandoned: bool,
    ledger: ChunkLedger,
}

/// What one stream has in the buffer.
#[derive(Debug, Default)]
struct Held {
    chunks: usize,
    /// Its source has ended.
    left: bool,
}

/// A chunk whose source waits for room.
#[derive(Debug)]
struct Waiting {
    chunk: Chunk,
    /// Signalled when the chunk has entered the buffer; dropped when it never will.
    entered: oneshot::Sender<()>,
}

impl Buffer {
    pub(super) fn new(capacity: usize, overload: Overload, workers: usize, on_evicted: OnEvicted) -> Self {
        let state = State {
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            streams: Slab::new(),
            workers,
            streams_wanted: usize::MAX,
            closed: false,
            abandoned: false,
            ledger: ChunkLedger::default(),
        };
        Self { state: Mutex::new(state), news: Notify::new(), overload, capacity, on_evicted }
    }

    /// The terms now; they balance.
    pub(super) fn ledger(&self) -> ChunkLedger {
        self.state.lock().ledger
    }

    /// Whether this many more streams may join: under `fair` each needs room for a chunk of its own.
    pub(super) fn has_room_for_streams(&self, more: usize) -> bool {
        self.overload != Overload::Fair || self.state.lock().streams.len() + more <= self.capacity
    }

    /// Counts a stream in, unless there is no room for it.
    pub(super) fn join(&self) -> Option<Place> {
        let mut state = self.state.lock();
        if self.overload == Overload::Fair && state.streams.len() >= self.capacity {
            return None;
        }
        Some(Place(state.streams.insert(Held::default())))
    }

    /// Counts a stream out: at once, or when its last chunk leaves the buffer.
    pub(super) fn leave(&self, place: Place) {
        let mut state = self.state.lock();
        state.streams[place.0].left = true;
        state.forget_if_gone(place);
    }

    /// Offers a chunk. Under `block` this waits for room, and a chunk whose offer is dropped
    /// meanwhile was never generated; otherwise it does not wait. A stream offers one at a time.
    pub(super) async fn offer(&self, chunk: Chunk) -> Offered {
        let place = chunk.stream.place;
        let entered = {
            let mut state = self.state.lock();
            if state.closed {
                return Offered::Closed;
            }
            // Chunks that already wait go first.
            let must_wait = self.overload == Overload::Block
                && (state.queue.len() >= self.capacity || !state.waiting.is_empty());
            if !must_wait {
                return self.admit(state, chunk);
            }
            if !state.wants(&chunk) {
                return Offered::Closed;
            }
            let (entered, told) = oneshot::channel();
            state.waiting.push_back(Waiting { chunk, entered });
            told
        };
        let mut in_line = InLine { buffer: self, place, over: false };
        let entered = entered.await;
        in_line.over = true;
        if entered.is_ok() { Offered::Accepted } else { Offered::Closed }
    }

    fn admit(&self, mut state: MutexGuard<'_, State>, chunk: Chunk) -> Offered {
        let full = state.queue.len() >= self.capacity;
        let now = chunk.offered;
        let refusal = match self.overload {
            Overload::Fair if state.held(&chunk) >= self.share(&state) => Some(Reason::Share),
            Overload::Fair | Overload::DropOldest if full && self.evict(&mut state, now) => None,
            _ => full.then_some(Reason::Full),
        };
        match refusal {
            Some(reason) => {
                state.ledger.generated += 1;
                state.ledger.drop_chunks(reason, 1);
                Offered::Dropped(reason)
            }
            None => {
                state.enqueue(chunk, now);
                drop(state);
                self.news.notify_one();
                Offered::Accepted
            }
        }
    }

    /// How many places one stream may hold.
    fn share(&self, state: &State) -> usize {
        self.capacity / state.streams.len().max(1)
    }

    /// Makes one place, and says whether it could. Under `fair` the oldest chunk of a stream above its
    /// share goes: there is one, because the newcomer is below its own and the shares do not add up to
    /// more than the places.
    fn evict(&self, state: &mut State, now: Instant) -> bool {
        let share = self.share(state);
        let at = match self.overload {
            Overload::Fair => state.queue.iter().position(|(chunk, ..)| state.held(chunk) > share),
            _ => Some(0),
        };
        let Some((chunk, _, queued)) = at.and_then(|at| state.queue.remove(at)) else {
            return false;
        };
        state.release(chunk.stream.place);
        state.ledger.queued -= 1;
        state.ledger.drop_chunks(Reason::Evicted, 1);
        (self.on_evicted)(now.saturating_duration_since(queued));
        true
    }

    /// Settles the chunk that `worker` had, if it had one, and waits for what it does next. Cancel safe: nothing
    /// is lost when the wait is dropped.
    pub(super) async fn next(&self, worker: usize, mut had: Option<Result<(), Reason>>) -> Next {
        loop {
            if let Some(next) = self.try_next(worker, had.take()) {
                return next;
            }
            let mut news = pin!(self.news.notified());
            // Subscribe before checking, so that no notification is missed in between.
            news.as_mut().enable();
            if let Some(next) = self.try_next(worker, None) {
                return next;
            }
            news.await;
        }
    }

    fn try_next(&self, worker: usize, had: Option<Result<(), Reason>>) -> Option<Next> {
        // Outside the lock, and once for all that happens under it.
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.abandoned {
            return Some(Next::End);
        }
        if let Some(result) = had {
            state.ledger.in_progress -= 1;
            match result {
                Ok(()) => state.ledger.processed += 1,
                Err(reason) => state.ledger.drop_chunks(reason, 1),
            }
        }
        if worker >= state.workers {
            let others_turn = !state.queue.is_empty();
            drop(state);
            if others_turn {
                self.news.notify_one();
            }
            return Some(Next::Retire);
        }
        let Some((chunk, number, queued)) = state.queue.pop_front() else {
            return state.closed.then_some(Next::End);
        };
        state.release(chunk.stream.place);
        state.ledger.queued -= 1;
        state.ledger.in_progress += 1;
        if let Some(Waiting { chunk: waiting, entered }) = state.waiting.pop_front() {
            state.enqueue(waiting, now);
            drop(state);
            // A source that gave up just now finds its chunk in the buffer, as one that had not waited does.
            let _ = entered.send(());
            // It entered like any other chunk, so an idle worker is notified.
            self.news.notify_one();
        }
        Some(Next::Chunk(Taken { chunk, number, wait: now.saturating_duration_since(queued) }))
    }

    /// The wanted number of workers.
    pub(super) fn workers(&self) -> usize {
        self.state.lock().workers
    }

    /// Sets the wanted number of workers; those above it end after their current chunk.
    pub(super) fn set_workers(&self, workers: usize) {
        self.state.lock().workers = workers;
        self.news.notify_waiters();
    }

    /// From now on `streams` generated streams are wanted: those above no longer wait for room.
    pub(super) fn set_streams(&self, streams: usize) {
        let mut state = self.state.lock();
        state.streams_wanted = streams;
        let waiting = std::mem::take(&mut state.waiting);
        let (stay, go): (VecDeque<_>, VecDeque<_>) =
            waiting.into_iter().partition(|waiting| state.wants(&waiting.chunk));
        state.waiting = stay;
        drop(state);
        drop(go);
    }

    /// Nothing more comes in; workers end when the buffer is empty.
    pub(super) fn close(&self) {
        let waiting = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        drop(waiting);
        self.news.notify_waiters();
    }

    /// Abandons the chunks that are queued or in progress; later reports of workers are ignored.
    pub(super) fn abandon(&self) {
        self.close();
        let mut state = self.state.lock();
        state.abandoned = true;
        state.queue.clear();
        let ledger = &mut state.ledger;
        let left = std::mem::take(&mut ledger.queued) + std::mem::take(&mut ledger.in_progress);
        ledger.drop_chunks(Reason::Abandoned, left);
    }
}

/// A source's wait for room. When it is dropped, its chunk leaves the line.
struct InLine<'a> {
    buffer: &'a Buffer,
    place: Place,
    over: bool,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if !self.over {
            let mut state = self.buffer.state.lock();
            state.waiting.retain(|waiting| waiting.chunk.stream.place != self.place);
        }
    }
}

impl State {
    /// Whether a chunk may wait for room.
    fn wants(&self, chunk: &Chunk) -> bool {
        !matches!(chunk.stream.label, Label::Number(number) if number as usize >= self.streams_wanted)
    }

    /// Chunks that the stream of `chunk` has in the buffer.
    fn held(&self, chunk: &Chunk) -> usize {
        self.streams[chunk.stream.place.0].chunks
    }

    /// A chunk enters the buffer, and counts as generated from now on.
    fn enqueue(&mut self, chunk: Chunk, now: Instant) {
        let number = self.ledger.generated;
        self.ledger.generated += 1;
        self.ledger.queued += 1;
        self.streams[chunk.stream.place.0].chunks += 1;
        self.queue.push_back((chunk, number, now));
    }

    /// A chunk of the stream at `place` leaves the buffer.
    fn release(&mut self, place: Place) {
        self.streams[place.0].chunks -= 1;
        self.forget_if_gone(place);
    }

    fn forget_if_gone(&mut self, place: Place) {
        if self.streams.get(place.0).is_some_and(|held| held.left && held.chunks == 0) {
            self.streams.remove(place.0);
        }
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
