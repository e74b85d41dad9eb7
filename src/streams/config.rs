//! The orchestrator's configuration: flags, variables, and the checks between them.

use std::net::SocketAddr;

use super::{
    change::Overrides,
    framing::{Framing, LongLines},
    overload::Overload,
    ranges::{BufferSize, ChunkSize, NoisyFactor, StreamInterval, StreamsCount, WorkersCount},
    sink::SinkSpec,
};
use crate::{
    bounded,
    config::{Allowed, ListenAddr, Misfit},
    size, time,
};

size!(
    /// The longest frame a peer may send.
    pub FrameLimitBytes = 1 B to 16 MiB
);
bounded!(
    /// Peers at a time.
    pub PeersLimit: u64 = 1 to 1000000
);
time!(
    /// How long a peer may be silent.
    pub PeerIdleMs = 10 ms to 24 h in milliseconds
);
time!(
    /// How long one delivery may take.
    pub SinkTimeoutMs = 1 ms to 10 m in milliseconds
);
bounded!(
    /// Further attempts at a delivery that failed.
    pub SinkRetries: u64 = 0 to 100
);
time!(
    /// A chunk processed within this time is good.
    pub StreamsSloMs = 1 ms to 60 s in milliseconds
);

/// The orchestrator's flags and variables.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Streams")]
pub struct Args {
    /// Workers in the pool
    #[arg(long, env = "WORKERS_COUNT", default_value = "50", value_name = WorkersCount::ALLOWED)]
    pub workers_count: WorkersCount,
    /// Generated streams; unset: 100, or none when --listen takes real ones
    #[arg(long, env = "STREAMS_COUNT", value_name = StreamsCount::ALLOWED)]
    pub streams_count: Option<StreamsCount>,
    /// The longest pause between two chunks of a stream
    #[arg(long, env = "STREAM_INTERVAL", default_value = "1000", value_name = StreamInterval::ALLOWED)]
    pub stream_interval: StreamInterval,
    /// The longest chunk
    #[arg(long, env = "CHUNK_SIZE", default_value = "1024", value_name = ChunkSize::ALLOWED)]
    pub chunk_size: ChunkSize,
    /// Places in the buffer between streams and workers
    #[arg(long, env = "BUFFER_SIZE", default_value = "500", value_name = BufferSize::ALLOWED)]
    pub buffer_size: BufferSize,
    /// Lift the upper ends of these ranges, to test larger sizes
    #[arg(long, env = "STREAMS_UNBOUNDED_RANGES", default_value = "false", value_name = "true or false")]
    pub unbounded_ranges: bool,
    /// What happens to a chunk when the buffer is full
    #[arg(long, env = "STREAMS_OVERLOAD", default_value = "drop-newest", value_name = Overload::ALLOWED)]
    pub overload: Overload,
    /// A noisy neighbour: the first generated stream emits this many times as often as each other one
    #[arg(long, env = "STREAMS_NOISY_FACTOR", default_value = "1", value_name = NoisyFactor::ALLOWED)]
    pub noisy_factor: NoisyFactor,
    /// A chunk processed within this time of its intended emission is good
    #[arg(long, env = "STREAMS_SLO_MS", default_value = "100", value_name = StreamsSloMs::ALLOWED)]
    pub streams_slo_ms: StreamsSloMs,
    /// What processing a chunk is: simulated work, a delivery, or a line in a file
    #[arg(long, env = "STREAMS_SINK", default_value = "simulate", value_name = SinkSpec::ALLOWED)]
    pub sink: SinkSpec,
    /// How long one attempt at a delivery may take
    #[arg(long, env = "STREAMS_SINK_TIMEOUT_MS", default_value = "5000", value_name = SinkTimeoutMs::ALLOWED)]
    pub sink_timeout_ms: SinkTimeoutMs,
    /// Further attempts at a delivery that failed, with growing pauses between them
    #[arg(long, env = "STREAMS_SINK_RETRIES", default_value = "3", value_name = SinkRetries::ALLOWED)]
    pub sink_retries: SinkRetries,
    /// Take real streams over TCP at this address: each connection is a stream
    #[arg(long, env = "STREAMS_LISTEN", value_name = ListenAddr::ALLOWED)]
    pub listen: Option<ListenAddr>,
    /// How chunks are separated in real streams and in a file
    #[arg(long, env = "STREAMS_FRAMING", default_value = "lines", value_name = Framing::ALLOWED)]
    pub framing: Framing,
    /// The longest frame; a longer one closes its connection, unless it is a line and --long-lines skips it
    #[arg(long, env = "STREAMS_FRAME_LIMIT_BYTES", default_value = "65536", value_name = FrameLimitBytes::ALLOWED)]
    pub frame_limit_bytes: FrameLimitBytes,
    /// What happens when a line is longer: the peer is closed, or the line is skipped
    #[arg(long, env = "STREAMS_LONG_LINES", default_value = "close", value_name = LongLines::ALLOWED)]
    pub long_lines: LongLines,
    /// Limit of connected peers; one more is refused
    #[arg(long, env = "STREAMS_PEERS_LIMIT", default_value = "1000", value_name = PeersLimit::ALLOWED)]
    pub peers_limit: PeersLimit,
    /// How long a peer may be silent before its connection is closed
    #[arg(long, env = "STREAMS_PEER_IDLE_MS", default_value = "60000", value_name = PeerIdleMs::ALLOWED)]
    pub peer_idle_ms: PeerIdleMs,
}

/// What the orchestrator runs with, checked as a whole.
#[derive(Debug, Clone)]
pub struct Config {
    pub(super) workers: usize,
    pub(super) streams: usize,
    pub(super) interval_ms: u64,
    pub(super) chunk_size_bytes: usize,
    pub(super) buffer_size: usize,
    pub(super) unbounded: bool,
    pub(super) noisy_factor: u32,
    pub(super) overload: Overload,
    pub(super) slo_ms: u64,
    pub(super) sink: SinkSpec,
    pub(super) sink_timeout_ms: u64,
    pub(super) sink_retries: u32,
    pub(super) listen: Option<SocketAddr>,
    pub(super) framing: Framing,
    pub(super) frame_limit_bytes: usize,
    pub(super) long_lines: LongLines,
    pub(super) peers_limit: usize,
    pub(super) peer_idle_ms: u64,
}

/// Streams that are generated by default.
const STREAMS_DEFAULT: usize = 100;

impl Args {
    /// The values, checked against upper ends and against each other.
    ///
    /// # Errors
    /// [`Misfit`] names the value at fault.
    pub fn config(&self) -> Result<Config, Misfit> {
        let unbounded = self.unbounded_ranges;
        let streams = match self.streams_count {
            Some(count) => count.within(unbounded)?,
            None if self.listen.is_some() => 0,
            None => STREAMS_DEFAULT,
        };
        let config = Config {
            workers: self.workers_count.within(unbounded)?,
            streams,
            interval_ms: self.stream_interval.within(unbounded)? as u64,
            chunk_size_bytes: self.chunk_size.within(unbounded)?,
            buffer_size: self.buffer_size.within(unbounded)?,
            unbounded,
            noisy_factor: self.noisy_factor.get(),
            overload: self.overload,
            slo_ms: self.streams_slo_ms.ms(),
            sink: self.sink.clone(),
            sink_timeout_ms: self.sink_timeout_ms.ms(),
            sink_retries: u32::try_from(self.sink_retries.get()).unwrap_or(u32::MAX),
            listen: self.listen.map(ListenAddr::get),
            framing: self.framing,
            frame_limit_bytes: usize::try_from(self.frame_limit_bytes.get()).unwrap_or(usize::MAX),
            long_lines: self.long_lines,
            peers_limit: usize::try_from(self.peers_limit.get()).unwrap_or(usize::MAX),
            peer_idle_ms: self.peer_idle_ms.ms(),
        };
        config.fits()?;
        Ok(config)
    }
}

impl Config {
    /// Refuses values that contradict each other.
    fn fits(&self) -> Result<(), Misfit> {
        if self.overload == Overload::Fair && self.streams > self.buffer_size {
            let allowed = format!(
                "at most BUFFER_SIZE ({}) under the overload policy fair, where each stream has a place",
                self.buffer_size
            );
            return Err(Misfit::new("STREAMS_COUNT", self.streams, allowed));
        }
        if self.streams > 0 && self.framing == Framing::Lines && matches!(self.sink, SinkSpec::File(_)) {
            let allowed = "length, when generated streams (random bytes) go to a file";
            return Err(Misfit::new("STREAMS_FRAMING", self.framing, allowed));
        }
        if self.framing == Framing::Length && self.long_lines == LongLines::Skip {
            return Err(Misfit::new(
                "STREAMS_LONG_LINES",
                self.long_lines,
                "close, under the framing length",
            ));
        }
        Ok(())
    }

    /// This configuration with `overrides`.
    ///
    /// # Errors
    /// [`Misfit`] names the value at fault.
    pub fn with(&self, overrides: &Overrides) -> Result<Self, Misfit> {
        let unbounded = self.unbounded;
        let mut config = self.clone();
        if let Some(count) = overrides.workers_count {
            config.workers = count.within(unbounded)?;
        }
        if let Some(count) = overrides.streams_count {
            config.streams = count.within(unbounded)?;
        }
        if let Some(interval) = overrides.stream_interval {
            config.interval_ms = interval.within(unbounded)? as u64;
        }
        if let Some(size) = overrides.chunk_size {
            config.chunk_size_bytes = size.within(unbounded)?;
        }
        if let Some(size) = overrides.buffer_size {
            config.buffer_size = size.within(unbounded)?;
        }
        config.overload = overrides.overload.unwrap_or(config.overload);
        config.noisy_factor = overrides.noisy_factor.map_or(config.noisy_factor, NoisyFactor::get);
        config.fits()?;
        Ok(config)
    }

    /// The banner: the settings of the run.
    pub fn banner(&self) -> String {
        format!(
            "=== Configuration ===\n\
             Workers Count:    {}\n\
             Streams Count:    {}\n\
             Stream Interval:  {} ms\n\
             Chunk Size:       {} bytes\n\
             Buffer Size:      {}\n\
             ====================",
            self.workers, self.streams, self.interval_ms, self.chunk_size_bytes, self.buffer_size
        )
    }

    /// Workers at start.
    pub const fn workers(&self) -> usize {
        self.workers
    }

    /// Generated streams at start.
    pub const fn streams(&self) -> usize {
        self.streams
    }

    /// Whether it uses nothing outside this process, as virtual time needs.
    pub const fn is_self_contained(&self) -> bool {
        matches!(self.sink, SinkSpec::Simulate) && self.listen.is_none()
    }
}
