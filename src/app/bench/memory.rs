//! Measures the memory of a request in flight, from the resident memory without requests and with ten thousand.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use rustix::process::{Resource, getrlimit};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::child_server::ChildServer;
use super::client::all_were_200;
use super::report::{Aim, Figure, Quantity, Unit};
use super::stopping::unless_stopped;
use crate::app::generator::Generator;
use crate::load::http::{Http, Settings};
use crate::load::{Pace, Plan, Schedule, Spacing};
use crate::web::raise_descriptor_limit;

const REQUESTS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();

/// Descriptors in addition to those of the requests.
const OTHER_DESCRIPTORS: u64 = 200;

const ENDPOINT: &str = "/async";

/// How long both services take, so that no request ends while the memory is read.
const SERVICE_LATENCY: Duration = Duration::from_secs(20);
const ENVIRONMENT: [(&str, &str); 5] = [
    ("LAB_ADDR", "127.0.0.1:0"),
    ("SERVICE_A_LATENCY", "constant:20000"),
    ("SERVICE_B_LATENCY", "constant:20000"),
    ("SERVICE_B_ERROR_RATE", "0"),
    ("LAB_MAX_IN_FLIGHT", "50000"),
];

/// How often to read the number of requests in flight.
const POLL: Duration = Duration::from_millis(100);

/// How much longer than the services a request may take.
const PATIENCE: Duration = Duration::from_secs(20);

const PER_REQUEST: Quantity = Quantity {
    key: "resident_per_request_bytes",
    text: "resident, per request in flight",
    unit: Unit::Bytes,
    aim: Some(Aim::AtMost(14_000.0)),
};
const BEFORE: Quantity =
    Quantity { key: "resident_before_bytes", text: "resident, none in flight", unit: Unit::Bytes, aim: None };
const HELD: Quantity = Quantity {
    key: "resident_in_flight_bytes",
    text: "resident, 10,000 in flight",
    unit: Unit::Bytes,
    aim: None,
};
const AFTER: Quantity =
    Quantity { key: "resident_after_bytes", text: "resident, all answered", unit: Unit::Bytes, aim: None };

/// Starts a server, holds the requests in flight and reads its memory.
pub(super) async fn figures(program: &Path, stop: &CancellationToken) -> anyhow::Result<Vec<Figure>> {
    raise_descriptor_limit();
    let (descriptors, needed) =
        (getrlimit(Resource::Nofile).current, u64::from(REQUESTS.get()) + OTHER_DESCRIPTORS);
    ensure!(
        descriptors.is_none_or(|descriptors| descriptors >= needed),
        "{needed} file descriptors are needed, but the limit is {} (ulimit -Hn)",
        descriptors.unwrap_or_default(),
    );
    let server = unless_stopped(stop, ChildServer::start(program, &["serve"], &ENVIRONMENT)).await?;
    let resident = unless_stopped(stop, Resident::read(&server)).await;
    let stopped = server.stop().await;
    let Resident { before, held, after } = resident?;
    stopped?;
    let per_request = (held - before) / f64::from(REQUESTS.get());
    let figures = [(PER_REQUEST, per_request), (BEFORE, before), (HELD, held), (AFTER, after)];
    Ok(figures.into_iter().filter_map(|(quantity, bytes)| Figure::of(ENDPOINT, quantity, [bytes])).collect())
}

/// Resident memory in bytes before, during and after.
struct Resident {
    before: f64,
    held: f64,
    after: f64,
}

impl Resident {
    async fn read(server: &ChildServer) -> anyhow::Result<Self> {
        let resident = || anyhow::Ok(server.usage()?.resident_bytes as f64);
        // Scrape once before the first reading, so that the scrape's buffers do not count as the requests'.
        in_flight(server).await?;
        let before = resident()?;

        // All at once, each on its own connection.
        let schedule =
            Schedule::Phases { phases: format!("burst {REQUESTS}").parse()?, spacing: Spacing::Constant };
        let pace = Pace::Open { schedule, max_in_flight: REQUESTS };
        let plan = Plan { pace, timeout: SERVICE_LATENCY + PATIENCE, slo: SERVICE_LATENCY + PATIENCE };
        let http = Http::new(&[server.target(ENDPOINT)?], &Settings::plain(REQUESTS));
        let generator = Generator::default();
        let burst = generator.run(plan, Arc::new(http), "10,000 in flight ");
        let while_in_flight = async {
            wait_until_all_in_flight(server).await?;
            resident()
        };
        let (measured, held) = tokio::try_join!(burst, while_in_flight)?;
        all_were_200(&measured, ENDPOINT)?;
        Ok(Self { before, held, after: resident()? })
    }
}

async fn wait_until_all_in_flight(server: &ChildServer) -> anyhow::Result<()> {
    let give_up = Instant::now() + SERVICE_LATENCY;
    loop {
        let in_flight = in_flight(server).await?;
        if in_flight >= f64::from(REQUESTS.get()) {
            return Ok(());
        }
        if Instant::now() >= give_up {
            bail!("{in_flight} of {REQUESTS} requests are in flight after {SERVICE_LATENCY:?}");
        }
        time::sleep(POLL).await;
    }
}

async fn in_flight(server: &ChildServer) -> anyhow::Result<f64> {
    let page = server.get("/metrics").await?;
    Ok(in_flight_gauge(&String::from_utf8_lossy(page.body())))
}

/// The value of `http_inflight` for the endpoint; 0 if there is no such series.
fn in_flight_gauge(exposition: &str) -> f64 {
    let endpoint = format!("endpoint=\"{ENDPOINT}\"");
    exposition
        .lines()
        .filter_map(|line| line.strip_prefix("http_inflight{")?.split_once('}'))
        .filter(|(labels, _)| labels.split(',').any(|label| label == endpoint))
        .filter_map(|(_, value)| value.split_whitespace().next()?.parse::<f64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_is_found_among_others() {
        let text = "\
            # TYPE http_inflight gauge\n\
            http_inflight{endpoint=\"/async-limited\"} 7\n\
            http_inflight{endpoint=\"/async\",otel_scope_name=\"lab\"} 10000\n\
            http_inflight_other{endpoint=\"/async\"} 3\n";
        assert_eq!(in_flight_gauge(text), 10_000.0);
        assert_eq!(in_flight_gauge(""), 0.0);
    }

    #[test]
    fn the_services_latency_is_the_one_that_the_wait_assumes() {
        let latency = format!("constant:{}", SERVICE_LATENCY.as_millis());
        let services =
            ENVIRONMENT.iter().filter(|(name, value)| name.ends_with("_LATENCY") && *value == latency);
        assert_eq!(services.count(), 2);
    }
}
