//! `lab`, `lab serve` and `lab service`: servers whose work is to serve requests.

use anyhow::Context as _;

use super::{
    args::{ServeArgs, ServerArgs, ServiceArgs, WholeArgs},
    ending::Ending,
    page::{self, load::BuiltInLoad, telling::Stories},
    pipeline::service,
    queue::{Embedded, Settings},
    server::{Process, Server},
};
use crate::{
    http_lab::{self, HttpLab, service::ServiceServer},
    pipeline,
    queue::Place,
    shutdown::Shutdown,
    streams::{self, Streams},
    telemetry::Telemetry,
    web::{self, Listener, System},
};

/// Serves the HTTP lab and the streams, and, with `whole`, all systems, until a signal; then drains.
///
/// # Errors
/// When the address cannot be bound, a store cannot be used, or the signal handlers cannot be installed.
pub async fn serve(
    args: ServeArgs,
    whole: Option<WholeArgs>,
    telemetry: Telemetry,
) -> anyhow::Result<Ending> {
    let listener = web::listen(args.addr.get(), "--addr (LAB_ADDR)")?;
    let shutdown = args.serving.shutdown();
    let mut systems = systems(&args, &listener, &telemetry, &shutdown)?;
    let server = &args.serving.server;
    shutdown.listen_for_signals().context("listening for signals")?;
    let Some(whole) = whole else { return run(systems, server, listener, &telemetry, shutdown).await };
    let Some((more, queue)) = more_systems(whole, &args, &listener, &telemetry, &shutdown).await? else {
        return Ok(Ending::Done);
    };
    systems.extend(more);
    let ending = run(systems, server, listener, &telemetry, shutdown).await;
    queue.close().await;
    ending
}

/// The systems that `lab` has in addition, and the queue, which is closed last; `None` if `shutdown` begins before the
/// queue's store answers.
pub(super) async fn more_systems(
    whole: WholeArgs,
    args: &ServeArgs,
    listener: &Listener,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<([System; 2], Embedded)>> {
    let WholeArgs { pipeline, store, queue, queue_worker } = whole;
    let settings = Settings { store, queue: queue.0, worker: Some(queue_worker.0) };
    let opened = Embedded::open(&settings, Place::UnderQueue, listener, telemetry, shutdown).await?;
    let Some(queue) = opened else { return Ok(None) };
    let pipeline = pipeline::system(&service(pipeline.0, args, telemetry, shutdown)?);
    Ok(Some(([pipeline, queue.system()], queue)))
}

/// The systems of `lab serve`.
pub(super) fn systems(
    args: &ServeArgs,
    listener: &Listener,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) -> anyhow::Result<Vec<System>> {
    let runtime = http_lab::Runtime {
        instruments: telemetry.instruments(),
        tracing: telemetry.tracing(),
        slo: telemetry.slo(),
        detached: shutdown.tracker().clone(),
    };
    let lab = HttpLab::start(&args.lab, runtime)?;
    let streams = streams_of(args, telemetry, shutdown)?;
    let load = built_in_load(args, &lab, listener, telemetry, shutdown)?;
    let watch = page::Watch::start(&lab, &load, telemetry.slo(), shutdown.clone());
    let stories = Stories::new(&watch, &load, shutdown.clone());
    let http = page::on(http_lab::system(&lab), &watch, &stories, shutdown);
    Ok(vec![http, page::load::system(&load), page::telling::system(&stories), started(args, &streams)])
}

/// Serves one simulated service until a signal; then drains.
///
/// # Errors
/// When the address cannot be bound, or the signal handlers cannot be installed.
pub async fn serve_service(args: ServiceArgs, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let listener = web::listen(args.addr.get(), "--addr (SERVICE_ADDR)")?;
    let shutdown = args.serving.shutdown();
    shutdown.listen_for_signals().context("listening for signals")?;
    let service =
        ServiceServer::start(&args.which, args.seed.get(), &telemetry.instruments(), telemetry.tracing());
    run(vec![service.system()], &args.serving.server, listener, &telemetry, shutdown).await
}

async fn run(
    systems: Vec<System>,
    server: &ServerArgs,
    listener: Listener,
    telemetry: &Telemetry,
    shutdown: Shutdown,
) -> anyhow::Result<Ending> {
    telemetry.stops_with(&shutdown);
    telemetry.observe_runtime();
    let process = Process { server, listener, telemetry, shutdown: shutdown.clone() };
    Server::start(systems, process, shutdown).await?.drained().await
}

fn built_in_load(
    args: &ServeArgs,
    lab: &HttpLab,
    listener: &Listener,
    telemetry: &Telemetry,
    shutdown: &Shutdown,
) -> anyhow::Result<BuiltInLoad> {
    let addr = listener.addr();
    let paths = lab.endpoints_now().into_iter().map(|endpoint| endpoint.path).collect();
    BuiltInLoad::new(paths, addr, telemetry.slo(), lab.flow().origin(), args.lab.seed.get(), shutdown.clone())
}

fn streams_of(args: &ServeArgs, telemetry: &Telemetry, shutdown: &Shutdown) -> anyhow::Result<Streams> {
    let runtime = streams::Runtime {
        instruments: telemetry.instruments(),
        shutdown: shutdown.clone(),
        seed: args.lab.seed.get(),
        observer: None,
    };
    Ok(Streams::new(args.streams.config()?, runtime))
}

/// The streams as a system, which starts with the server if `STREAMS_ENABLED` is set.
fn started(args: &ServeArgs, streams: &Streams) -> System {
    let system = streams::system(streams);
    if !args.streams_enabled {
        return system;
    }
    let streams = streams.clone();
    system.on_start(|| async move { streams.start().await.context("starting the streams") })
}
