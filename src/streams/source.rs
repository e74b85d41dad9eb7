//! Generated streams: each emits chunks on its own schedule, whether or not earlier ones were processed.
//!
//! The schedule is the sum of the drawn pauses, so that neither a late timer nor back-pressure slows
//! it down: a late chunk is emitted as soon as possible, and its latency counts from its intended time.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    buffer::{Buffer, Offered},
    chunk::{Chunk, Stream},
    draw,
    stats::Recorder,
};
use crate::sim::sleep_until_nearest;

/// What all generated streams of a run share.
pub(super) struct Generator {
    pub(super) buffer: Arc<Buffer>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) seed: u64,
    pub(super) interval_ms: u64,
    pub(super) chunk_size_bytes: usize,
    /// How often stream 0 emits for each time another one does.
    pub(super) noisy_factor: u32,
}

impl Generator {
    /// Emits the chunks of stream `number` until no more than that number of streams are wanted. The
    /// stream has joined the buffer.
    pub(super) async fn emit(&self, number: u32, stream: Arc<Stream>, mut wanted: watch::Receiver<usize>) {
        // Looked at once at the start, then only when it has changed.
        wanted.mark_changed();
        let mut intended = Instant::now();
        for index in 0.. {
            let pause_ms = draw::pause_ms(self.seed, number, index, self.interval_ms);
            let speed = if number == 0 { self.noisy_factor } else { 1 };
            intended += Duration::from_millis(pause_ms) / speed;
            let mut now = Instant::now();
            if now < intended {
                tokio::select! {
                    biased;
                    _ = wanted.wait_for(|wanted| number as usize >= *wanted) => break,
                    () = sleep_until_nearest(intended) => {}
                }
                now = Instant::now();
            } else {
                match wanted.has_changed() {
                    Ok(false) => {}
                    Ok(true) if (number as usize) < *wanted.borrow_and_update() => {}
                    _ => break,
                }
                // A stream that is late, or never pauses, yields to the others.
                tokio::task::coop::consume_budget().await;
            }
            self.recorder.emitted(now.saturating_duration_since(intended));
            let data = draw::payload(self.seed, number, index, self.chunk_size_bytes);
            let chunk = Chunk { stream: stream.clone(), index, intended, offered: now, data };
            // Under `block` this may wait, as long as the stream is wanted.
            if self.buffer.offer(chunk).await != Offered::Closed {
                self.recorder.generated(&stream, intended);
            }
        }
        self.buffer.leave(stream.place);
    }
}
