//! A run in virtual time: hours in a moment, and the same bytes for the same seed.
//!
//! One thread, a paused clock that jumps to the next timer, no order that depends on a hash or on chance.

use std::{io, time::Duration};

use super::{Journal, Load, Pipeline, PipelineEnd, Rate, Runtime, config::Settings};
use crate::{output::Writer, shutdown::Shutdown, telemetry::Instruments};

/// The settings of a run in virtual time.
#[derive(Debug)]
pub struct Run {
    /// The settings.
    pub settings: Settings,
    /// The seed of all draws.
    pub seed: u64,
    /// The producer's rate.
    pub rate: Rate,
    /// When the signal comes.
    pub length: Duration,
}

impl Run {
    /// Runs, drains, and writes the log to `out`. Call it outside a Tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot be started, or `out` cannot be written.
    pub fn run(self, out: Writer) -> io::Result<PipelineEnd> {
        runtime()?.block_on(async {
            let journal = Journal::in_virtual_time(out.clone());
            let runtime = Runtime { instruments: Instruments::silent(), journal, seed: self.seed };
            let pipeline = Pipeline::new(self.settings, runtime);
            pipeline.set(Some(self.rate), None);
            let shutdown = Shutdown::new(None, Duration::ZERO);
            let signal = shutdown.clone();
            tokio::spawn(async move {
                tokio::time::sleep(self.length).await;
                signal.trigger();
            });
            let ended = pipeline.run(Load::Producer, None, &shutdown).await;
            out.finish(shutdown.stopping(), shutdown.aborted()).await?;
            Ok(ended)
        })
    }
}

/// A runtime whose clock advances only while every task waits.
pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
}
