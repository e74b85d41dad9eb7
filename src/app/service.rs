//! `lab service a|b`: one simulated service as a server.

use axum::{Router, http::StatusCode};

use super::{Ending, ServiceArgs, server};
use crate::{
    http_lab::{Runtime, service::ServiceServer},
    telemetry::Telemetry,
    web::{Health, Metrics},
};

/// Serves the service until it is told to stop, and drains.
///
/// # Errors
/// When the address cannot be taken, or the process cannot hear signals.
pub async fn serve(args: ServiceArgs, telemetry: Telemetry) -> anyhow::Result<Ending> {
    let shutdown = args.stop.shutdown();
    let runtime = Runtime {
        meter: telemetry.meter(),
        tracer: telemetry.tracer(),
        detached: shutdown.tracker().clone(),
        slo_ms: args.telemetry.slo_ms.get(),
    };
    let service = ServiceServer::start(&args.which, args.seed, &runtime);
    let metrics = Metrics::new(&telemetry.meter());
    let house =
        Router::new().merge(Health::new(shutdown.clone()).routes()).fallback(async || StatusCode::NOT_FOUND);
    let router = metrics.count_requests(house).merge(service.routes()).merge(server::scrape(&telemetry));
    let drained = args.server.run(args.addr, router, &telemetry, &metrics, &shutdown).await?;
    Ok(server::report(drained, &shutdown, || {
        vec![format!("{} calls", service.audit().service.sum.in_flight)]
    })
    .await)
}
