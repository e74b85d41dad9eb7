//! `lab queue worker`: does the work of a queue that other processes share.

use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::{args::WorkArgs, refusal::refused};
use crate::{
    app::{
        DrainMs,
        ending::Ending,
        server::{Process, Server, index},
    },
    config::counted,
    output,
    queue::{Queue, Tally, check, tend},
    shutdown::Shutdown,
    telemetry::Telemetry,
    web::{self, Listener, System},
};

/// How long open connections may still take after the work has ended.
const SERVER_STOP_LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn run(args: WorkArgs, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let listener = match args.addr {
        Some(addr) => Some(web::listen(addr.get(), "--addr (QUEUE_WORKER_ADDR)")?),
        None => None,
    };
    let shutdown = Shutdown::new(args.drain_ms.map(DrainMs::get), Duration::ZERO);
    telemetry.stops_with(&shutdown);
    shutdown.listen_for_signals().context("listening for signals")?;
    telemetry.observe_runtime();
    let announce = || listener.iter().for_each(Listener::announce);
    let opened = args.store.open_shared("lab queue worker", announce, &shutdown).await;
    let Some(broker) = opened.map_err(refused)? else { return Ok(Ending::Done) };
    let instruments = telemetry.instruments();
    let worker = args.worker.worker(broker.clone(), &instruments, telemetry.tracing())?;
    let queue = Queue::new(broker, args.queue.clone(), &instruments);
    let tending = CancellationToken::new();
    tokio::spawn({
        let (queue, tending) = (queue.clone(), tending.clone());
        async move { tend(&queue, &tending).await }
    });
    let server = match listener {
        None => None,
        Some(listener) => {
            let process =
                Process { server: &args.server, listener, telemetry: &telemetry, shutdown: shutdown.clone() };
            // It answers until the last task has ended.
            let http = Shutdown::new(Some(SERVER_STOP_LIMIT), Duration::ZERO);
            let lead = lead(&args);
            let system = System::new("queue", "Queue worker", "/", "does the work of tasks")
                .metrics(&instruments)
                .check(check(&queue))
                .views(move |frame| index(frame, lead));
            Some(Server::start(vec![system], process, http).await?)
        }
    };
    output::to_stderr(format_args!("working on {}", work(&args)));
    let ended = worker.run(&shutdown).await;
    tending.cancel();
    if let Some(server) = server {
        server.close().await?;
    }
    let Tally { started, succeeded, failed, handed_back, lost } = ended.context("the worker cannot go on")?;
    output::to_stderr(format_args!(
        "stopped: {started} started, {succeeded} succeeded, {failed} failed, {handed_back} handed back, {lost} lost \
         with a lease"
    ));
    Ok(match shutdown.aborted().is_cancelled() {
        true => Ending::Aborted,
        false if handed_back > 0 => Ending::Failed,
        false => Ending::Done,
    })
}

/// What it works on, and how much at a time.
fn work(args: &WorkArgs) -> String {
    let url = args.store.place.redis_url.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{url}, {} at a time", counted(u64::from(args.worker.concurrency.get()), "task", "tasks"))
}

/// What its page says.
fn lead(args: &WorkArgs) -> String {
    format!(
        "This process works on {}. What waits, what runs and what failed is on the page of `lab queue monitor`.",
        work(args)
    )
}
