//! What the OpenAPI document says about the streams.

use utoipa::OpenApi;

use super::{
    Dropped, Ledger, Overload, Overrides, Phase, Resize, Status, Streams,
    gateway::Received,
    routes,
    stats::{LatencyReport, NeighbourReport, PercentileReport, Report},
};

#[derive(OpenApi)]
#[openapi(
    paths(routes::show, routes::audit, routes::start, routes::stop, routes::resize, routes::take_in),
    components(schemas(
        Dropped,
        LatencyReport,
        Ledger,
        NeighbourReport,
        Overload,
        Overrides,
        PercentileReport,
        Phase,
        Received,
        Report,
        Resize,
        Status
    ))
)]
struct StreamsApi;

impl Streams {
    /// The routes as an OpenAPI document.
    pub fn openapi(&self) -> utoipa::openapi::OpenApi {
        StreamsApi::openapi()
    }
}
