//! Workers: take a chunk, process it, report its result.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::time::Instant;

use super::{
    buffer::{Buffer, Next},
    chunk::Taken,
    ledger::Reason,
    metrics::StreamMetrics,
    sink::Sink,
    stats::Recorder,
};

/// One processed chunk, for the line that is printed about it.
pub struct Processed<'a> {
    /// The worker's number, from 0.
    pub worker: usize,
    /// The chunk's number among all that were generated, from 0.
    pub number: u64,
    /// Its stream's name.
    pub stream: &'a dyn std::fmt::Display,
    /// Its length, bytes.
    pub length_bytes: usize,
}

impl std::fmt::Display for Processed<'_> {
    /// The line that is printed for a processed chunk.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Worker {} processed chunk {} from stream {}, length of chunk's data is {}",
            self.worker, self.number, self.stream, self.length_bytes
        )
    }
}

/// Called by the worker for every processed chunk: it must be quick and must not block.
pub type Observer = Arc<dyn Fn(&Processed<'_>) + Send + Sync>;

/// What all workers of a run share.
pub(super) struct WorkerContext {
    pub(super) buffer: Arc<Buffer>,
    pub(super) sink: Arc<Sink>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) metrics: Arc<StreamMetrics>,
    pub(super) observer: Option<Observer>,
    /// Chunks that the sink gave up on.
    pub(super) given_up: AtomicU64,
}

impl WorkerContext {
    /// Works until the pool shrinks below `worker`, or nothing more comes.
    pub(super) async fn work(&self, worker: usize) {
        let mut had = None;
        while let Next::Chunk(taken) = self.buffer.next(worker, had.take()).await {
            had = Some(self.process(worker, taken).await);
        }
    }

    async fn process(&self, worker: usize, taken: Taken) -> Result<(), Reason> {
        let Taken { chunk, number, wait } = taken;
        let result = self.sink.process(&chunk).await;
        let latency = Instant::now().saturating_duration_since(chunk.intended);
        match result {
            Ok(()) => {
                self.recorder.processed(&chunk.stream, chunk.intended, latency, wait);
                self.metrics.processed(latency, wait, chunk.data.len());
                if let Some(observer) = &self.observer {
                    let stream = &chunk.stream.label;
                    observer(&Processed { worker, number, stream, length_bytes: chunk.data.len() });
                }
                Ok(())
            }
            Err(error) => {
                // The first, the tenth, the hundredth ... is worth a line; each of them is not.
                let given_up = self.given_up.fetch_add(1, Relaxed) + 1;
                if given_up.checked_ilog10().is_some_and(|power| given_up == 10_u64.pow(power)) {
                    tracing::warn!(given_up, error = format!("{error:#}"), "the sink gave up on chunks");
                }
                tracing::debug!(
                    stream = %chunk.stream.label, chunk = chunk.index, error = format!("{error:#}"), "a chunk is given up"
                );
                self.metrics.sink_failed(latency, wait);
                Err(Reason::Sink)
            }
        }
    }
}
