//! The orchestrator at full speed, for benchmarks: no pauses between chunks, nothing to process.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Config, Framing, LongLines, Overload, SinkSpec, Statistics,
    buffer::{Buffer, Next},
    chunk::{Chunk, Label, Place, Stream},
    draw,
    metrics::StreamMetrics,
    run::{Parts, Run},
    sink::Sink,
    stats::Recorder,
};
use crate::{shutdown::Shutdown, telemetry::Instruments};

/// The settings that both sides of a race share.
#[derive(Debug, Clone, Copy)]
pub struct Race {
    /// Producers.
    pub streams: usize,
    /// Consumers.
    pub workers: usize,
    /// Places between them.
    pub buffer_size: usize,
    /// The longest chunk, bytes; 1: as good as none.
    pub chunk_size_bytes: usize,
    /// The longest pause between two chunks of a stream, milliseconds.
    pub interval_ms: u64,
    /// What happens when the buffer is full.
    pub overload: Overload,
}

impl Default for Race {
    /// The orchestrator's defaults, without pauses and losses.
    fn default() -> Self {
        Self {
            streams: 100,
            workers: 50,
            buffer_size: 500,
            chunk_size_bytes: 1,
            interval_ms: 0,
            overload: Overload::Block,
        }
    }
}

impl Race {
    /// The bytes of a chunk, as the orchestrator draws them.
    #[must_use]
    pub fn payload(&self, stream: u32, index: u64) -> bytes::Bytes {
        draw::payload(1, stream, index, self.chunk_size_bytes)
    }

    /// Runs the whole orchestrator for `span` with a sink that does nothing, and drains it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn orchestrator(
        &self,
        span: Duration,
        instruments: &Instruments,
    ) -> anyhow::Result<Statistics> {
        let config = Config {
            workers: self.workers,
            streams: self.streams,
            interval_ms: self.interval_ms,
            chunk_size_bytes: self.chunk_size_bytes,
            buffer_size: self.buffer_size,
            unbounded: true,
            noisy_factor: 1,
            overload: self.overload,
            slo_ms: 100,
            sink: SinkSpec::Simulate,
            sink_timeout_ms: 1,
            sink_retries: 0,
            listen: None,
            framing: Framing::Lines,
            frame_limit_bytes: 1,
            long_lines: LongLines::Close,
            peers_limit: 0,
            peer_idle_ms: 1,
        };
        let metrics = Arc::new(StreamMetrics::new(instruments, config.slo_ms));
        let stop = Shutdown::new(None, Duration::ZERO);
        let parts = Parts { seed: 1, metrics, observer: None, stop: stop.clone() };
        let run = Run::with_sink(config, Sink::Nothing, parts)?;
        run.set_going().await;
        tokio::time::sleep(span).await;
        stop.trigger();
        run.drain_when_stopped().await;
        Ok(run.statistics())
    }

    /// How long it takes one thread to record `samples` chunks: in the recorder, and in the instruments.
    #[must_use]
    pub fn recording(samples: u64, instruments: &Instruments) -> (Duration, Duration) {
        let slo = Duration::from_millis(100);
        let (recorder, metrics) = (Recorder::new(false, slo), StreamMetrics::new(instruments, 100));
        let stream = Stream { id: 0, label: Label::Number(0), place: Place(0) };
        let times =
            |at: u64| (Duration::from_micros(20_000 + at % 30_000), Duration::from_micros(at % 1_000));
        let begun = Instant::now();
        for at in 0..samples {
            let (latency, wait) = times(at);
            recorder.generated(&stream, begun);
            recorder.processed(&stream, begun, latency, wait);
        }
        let recorded = begun.elapsed();
        let begun = Instant::now();
        for at in 0..samples {
            let (latency, wait) = times(at);
            metrics.processed(latency, wait, 512);
        }
        metrics.publish();
        (recorded, begun.elapsed())
    }

    /// Sends `chunks` from each producer through the bare buffer; returns the chunks that came out and
    /// how long it took.
    pub async fn buffer(&self, chunks: u64) -> (u64, Duration) {
        let buffer = Arc::new(Buffer::new(self.buffer_size, self.overload, self.workers, Box::new(|_| {})));
        let begun = Instant::now();
        let mut producers = tokio::task::JoinSet::new();
        for number in 0..u32::try_from(self.streams).unwrap_or(u32::MAX) {
            let (buffer, race) = (buffer.clone(), *self);
            let Some(place) = buffer.join() else {
                break;
            };
            let stream = Arc::new(Stream { id: number, label: Label::Number(number), place });
            producers.spawn(async move {
                for index in 0..chunks {
                    let data = race.payload(number, index);
                    let now = Instant::now();
                    let chunk = Chunk { stream: stream.clone(), index, intended: now, offered: now, data };
                    buffer.offer(chunk).await;
                    tokio::task::coop::consume_budget().await;
                }
                buffer.leave(place);
            });
        }
        let mut consumers = tokio::task::JoinSet::new();
        for worker in 0..self.workers {
            let buffer = buffer.clone();
            consumers.spawn(async move {
                let mut had = None;
                while let Next::Chunk(_) = buffer.next(worker, had).await {
                    had = Some(Ok(()));
                    tokio::task::coop::consume_budget().await;
                }
            });
        }
        producers.join_all().await;
        buffer.close();
        consumers.join_all().await;
        (buffer.ledger().processed, begun.elapsed())
    }
}
