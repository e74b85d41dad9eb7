//! The queue as a system of a server.

use axum::Router;
use utoipa::{OpenApi as _, openapi::OpenApi};

use super::{
    api,
    config::{Config, StoreArgs},
    handle::Queue,
    monitor, sheet,
};
use crate::{
    shutdown::Shutdown,
    telemetry::Instruments,
    web::{BodyLimit, Check, RouteLimit, System, documented_parameters},
};

/// Where the queue's routes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the root of a server of its own.
    Root,
    /// Under `/queue`, beside other systems.
    UnderQueue,
}

impl Place {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::UnderQueue => "/queue",
        }
    }

    const fn page(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::UnderQueue => "/queue",
        }
    }

    /// Tasks, one or several: the prefix of both paths.
    const fn bodies_under(self) -> &'static str {
        match self {
            Self::Root => "/task",
            Self::UnderQueue => "/queue/task",
        }
    }
}

/// The queue as a system of a server, which stops with `shutdown`.
pub fn system(queue: &Queue, place: Place, instruments: &Instruments, shutdown: &Shutdown) -> System {
    let about = "the reliable queue: enqueue, watch, pause, replay";
    let system = System::new("queue", "Queue", place.page(), about);
    let prefix = place.prefix();
    let document = document(place);
    let open = documented_parameters(api::open_routes(queue, prefix), &document);
    let (viewed, stopping) = (queue.clone(), shutdown.clone());
    system
        .openapi(document)
        .link("Systems", place.page(), about)
        .variables::<StoreArgs>()
        .variables::<Config>()
        .metrics(instruments)
        .problems(api::KINDS)
        .limit(RouteLimit { under: place.bodies_under(), body: BodyLimit::Bytes(api::BATCH_LIMIT_BYTES) })
        .controls(guarded(queue, prefix))
        .views(move |frame| {
            open.merge(api::scan_routes(&viewed)).merge(monitor::views(
                &viewed,
                place.page(),
                prefix,
                &stopping,
                frame,
            ))
        })
        .check(check(queue))
        .sheet(sheet::sheet(queue))
}

/// Whether the store answers.
pub fn check(queue: &Queue) -> Check {
    let queue = queue.clone();
    Check::new("queue", move || {
        let queue = queue.clone();
        async move { queue.broker().stats().await.map(drop).map_err(|error| error.to_string()) }
    })
}

fn guarded(queue: &Queue, prefix: &str) -> Router {
    api::guarded_routes(queue, prefix).merge(monitor::guarded_routes(queue, prefix))
}

fn document(place: Place) -> OpenApi {
    let mut document =
        api::Api::openapi().merge_from(monitor::Monitor::openapi()).merge_from(monitor::Controls::openapi());
    let paths = std::mem::take(&mut document.paths.paths);
    let prefix = place.prefix();
    document.paths.paths = paths.into_iter().map(|(path, item)| (format!("{prefix}{path}"), item)).collect();
    document.merge_from(monitor::page_document(place.page())).merge_from(api::ScanApi::openapi())
}
