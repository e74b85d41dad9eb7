//! `lab streams`: runs the stream orchestrator, in real or virtual time.
//!
//! ```text
//!   signal, or end of the duration ──> streams stop ──> drain ──> statistics ──> exit
//!        └ a second signal ──> the remaining chunks are abandoned, counted and printed ──> exit 130
//! ```
//!
//! A small server shows health, metrics and the live view until the drain has ended.

mod printer;
mod status_line;

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use anyhow::Context as _;

use self::printer::Printer;
use super::{
    args::{DrainMs, ServerArgs},
    ending::Ending,
    output::{JsonArg, Results},
    server::{Process, Server},
    status_line::StatusLine,
};
use crate::{
    config::{Allowed as _, ListenAddr, Misfit, SeedArg, Span, counted},
    output,
    shutdown::Shutdown,
    streams::{self, Observer, Streams},
    telemetry::{self, Instruments, Telemetry},
    web,
};

/// How long open connections may still take after the streams have ended.
const SERVER_STOP_LIMIT: Duration = Duration::from_secs(2);

/// The arguments of `lab streams`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct StreamsArgs {
    /// The address of its server: health, metrics, the live view
    #[arg(long, env = "STREAMS_ADDR", default_value = "127.0.0.1:8083", value_name = ListenAddr::ALLOWED)]
    pub addr: ListenAddr,
    /// Stop after this time; unset: at a signal
    #[arg(long, value_name = Span::ALLOWED, allow_hyphen_values = true, help_heading = "Run")]
    pub duration: Option<Span>,
    /// Run in virtual time, as fast as the machine can: the same seed prints the same bytes
    #[arg(long = "virtual", help_heading = "Run")]
    pub virtual_time: bool,
    /// Print a line for each processed chunk, also on a terminal
    #[arg(long, help_heading = "Output", conflicts_with = "quiet")]
    pub verbose: bool,
    /// Print only the final statistics
    #[arg(long, help_heading = "Output")]
    pub quiet: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub json: JsonArg,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub seed: SeedArg,
    /// After a stop signal: the time limit of the drain; unset: until all chunks are processed
    #[arg(long, env = "LAB_DRAIN_MS", value_name = DrainMs::ALLOWED, help_heading = "Server")]
    pub drain_ms: Option<DrainMs>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub streams: streams::Args,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: ServerArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: telemetry::Config,
}

impl StreamsArgs {
    /// Checks that the values do not conflict.
    ///
    /// # Errors
    /// The first value that conflicts with another.
    pub fn check(&self) -> Result<(), Misfit> {
        let config = self.streams.config()?;
        if self.virtual_time && self.duration.is_none() {
            return Err(Misfit::new(
                "--duration",
                "unset",
                "with --virtual, a time such as 60s, because no signal ends the run",
            ));
        }
        if self.virtual_time && !config.is_self_contained() {
            let allowed = "with --virtual, only the simulated sink and no listening address, because others run in real time";
            return Err(Misfit::new("--virtual", true, allowed));
        }
        Ok(())
    }

    fn has_lines(&self) -> bool {
        !self.quiet
            && !self.json.is_on_stdout()
            && (self.verbose || self.virtual_time || !std::io::stdout().is_terminal())
    }

    fn has_status_line(&self) -> bool {
        !self.quiet && !self.json.is_on_stdout() && !self.has_lines()
    }
}

/// Runs the streams until a signal, or for their duration, and drains.
///
/// # Errors
/// When an address, the sink or a file cannot be opened.
pub async fn run_streams(args: StreamsArgs, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let listener = web::listen(args.addr.get(), "--addr (STREAMS_ADDR)")?;
    let results = args.json.open()?;
    let shutdown = Shutdown::new(args.drain_ms.map(DrainMs::get), Duration::ZERO);
    telemetry.stops_with(&shutdown);
    shutdown.listen_for_signals().context("listening for signals")?;
    telemetry.observe_runtime();
    let printer = Arc::new(Printer::threaded(args.quiet || args.json.is_on_stdout()));
    let streams = streams(&args, telemetry.instruments(), &shutdown, &printer)?;

    // Started before the server accepts requests.
    tokio::select! {
        biased;
        begun = begin(&args, &streams, &printer) => begun?,
        () = shutdown.aborted().cancelled() => {
            output::to_stderr("lab: stopped before the streams had started");
            return Ok(Ending::Aborted);
        }
    }
    let process =
        Process { server: &args.server, listener, telemetry: &telemetry, shutdown: shutdown.clone() };
    // The server stays open while the streams drain, so that viewers can watch the drain.
    let http = Shutdown::new(Some(SERVER_STOP_LIMIT), Duration::ZERO);
    let server = Server::start(vec![streams::system(&streams)], process, http).await?;
    if let Some(addr) = streams.listening() {
        output::to_stderr(format_args!("taking streams on tcp://{addr}"));
    }
    let status_line = args.has_status_line().then(|| StatusLine::start(status_line::look(streams.clone())));
    let over = async {
        match args.duration {
            Some(span) => tokio::time::sleep(span.get()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = shutdown.stopping().cancelled() => printer.print("\nShutdown signal received..."),
        () = streams.lifecycle().ended() => printer.print("\nThe streams were stopped..."),
        () = over => {
            printer.print("\nThe time is over...");
            // As a signal does: the drain has the same bound, if it has one.
            shutdown.trigger();
        }
    }
    streams.lifecycle().ended().await;
    drop(status_line);
    let ending = end(&streams, &printer, results);
    let printed = printer.finish(&shutdown).await;
    let closed = server.close().await?;
    let ending = match ending? {
        Ending::Done => closed,
        ending => ending,
    };
    ending.once_printed(printed, &shutdown)
}

/// Runs the streams in virtual time. Call it on a current-thread runtime with a paused clock.
///
/// # Errors
/// When the output cannot be written.
pub async fn run_streams_virtually(args: StreamsArgs) -> anyhow::Result<Ending> {
    let results = args.json.open()?;
    let shutdown = Shutdown::new(None, Duration::ZERO);
    let printer = Arc::new(Printer::direct(args.quiet || args.json.is_on_stdout()));
    let streams = streams(&args, Instruments::silent(), &shutdown, &printer)?;
    begin(&args, &streams, &printer).await?;
    if let Some(span) = args.duration {
        tokio::time::sleep(span.get()).await;
    }
    printer.print("\nThe time is over...");
    streams.stop().await;
    let ending = end(&streams, &printer, results);
    printer.finish(&shutdown).await?;
    ending
}

fn streams(
    args: &StreamsArgs,
    instruments: Instruments,
    shutdown: &Shutdown,
    printer: &Arc<Printer>,
) -> anyhow::Result<Streams> {
    let observer: Option<Observer> = args.has_lines().then(|| {
        let printer = printer.clone();
        Arc::new(move |processed: &streams::Processed<'_>| printer.line(processed.to_string())) as Observer
    });
    let seed = args.seed.get();
    let runtime = streams::Runtime { instruments, shutdown: shutdown.clone(), seed, observer };
    Ok(Streams::new(args.streams.config()?, runtime))
}

/// Prints the settings and starts the streams.
async fn begin(args: &StreamsArgs, streams: &Streams, printer: &Printer) -> anyhow::Result<()> {
    let config = args.streams.config()?;
    printer.print(&format!("Starting the application...\n\n{}", config.banner()));
    // Printed before the first chunk is emitted, so before its line.
    let (workers, generated) = (config.workers(), config.streams());
    let started =
        format!("Application is running...\n{workers} workers started\n{generated} streams started");
    streams
        .start_with(&streams::Overrides::default(), || printer.print(&started))
        .await
        .context("starting the streams")
}

/// Prints the statistics of the run and returns its ending.
fn end(streams: &Streams, printer: &Printer, results: Results) -> anyhow::Result<Ending> {
    let statistics = streams.statistics().context("there was no run")?;
    let results = results.json(&statistics.report());
    let (text, written) = results.finish(|| format!("\n{}\nApplication exited.", statistics.text()));
    // Even under --quiet.
    printer.print_always(&text);
    written?;
    if !statistics.ledger.balances() {
        output::to_stderr("lab: the balance does not hold");
        return Ok(Ending::Failed);
    }
    let lost = statistics.ledger.dropped_by.sink;
    if lost > 0 {
        output::to_stderr(format_args!("lab: the sink lost {}", counted(lost, "chunk", "chunks")));
        return Ok(Ending::Failed);
    }
    Ok(Ending::Done)
}
