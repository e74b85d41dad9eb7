//! What a request in flight takes: resident memory before, and with ten thousand of them.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use anyhow::{bail, ensure};
use hyper::Uri;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::descriptors;
use super::report::{Aim, Figure, Quantity, Unit};
use super::server::Server;
use super::unless_stopped;
use crate::load::burst::Burst;
use crate::load::connection::Connection;

const REQUESTS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();

/// Descriptors beside those of the requests.
const OTHER_DESCRIPTORS: u64 = 200;

const ENDPOINT: &str = "/async";

/// Both services take this long, so that nothing is answered while the memory is read.
const SERVICE_LATENCY: Duration = Duration::from_secs(20);
const ENVIRONMENT: [(&str, &str); 5] = [
    ("LAB_ADDR", "127.0.0.1:0"),
    ("SERVICE_A_LATENCY", "constant:20000"),
    ("SERVICE_B_LATENCY", "constant:20000"),
    ("SERVICE_B_ERROR_RATE", "0"),
    ("LAB_MAX_IN_FLIGHT", "50000"),
];

/// How often the server is asked how many it has in flight.
const POLL: Duration = Duration::from_millis(100);

/// How long answers may be late before they are given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A longer `/metrics` page is an error.
const METRICS_LIMIT_BYTES: usize = 16 << 20;

const PER_REQUEST: Quantity = Quantity {
    key: "resident_per_request_bytes",
    text: "resident, a request in flight",
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

/// Holds the requests in flight on a server of their own and reads its memory.
pub(super) async fn figures(program: &Path, stop: &CancellationToken) -> anyhow::Result<Vec<Figure>> {
    descriptors::raise_to(u64::from(REQUESTS.get()) + OTHER_DESCRIPTORS)?;
    let server = unless_stopped(stop, Server::start(program, &["serve"], &ENVIRONMENT)).await?;
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
    async fn read(server: &Server) -> anyhow::Result<Self> {
        let resident = || anyhow::Ok(server.usage()?.resident_bytes as f64);
        // The first scrape is before the first reading: its buffers are not the requests'.
        let mut scrape = Connection::open(server.addr()).await?;
        in_flight(&mut scrape).await?;
        let before = resident()?;

        let burst = Burst { addr: server.addr(), target: Uri::from_static(ENDPOINT), requests: REQUESTS };
        let requests = burst.start();
        wait_until_all_in_flight(&mut scrape).await?;
        let held = resident()?;

        let tally = requests.finish(SERVICE_LATENCY + PATIENCE).await;
        ensure!(
            tally.ok() == u64::from(REQUESTS.get()),
            "not every request was answered with 200: {:?}, {:?}, {} unfinished",
            tally.by_status,
            tally.errors,
            tally.unfinished(),
        );
        Ok(Self { before, held, after: resident()? })
    }
}

async fn wait_until_all_in_flight(scrape: &mut Connection) -> anyhow::Result<()> {
    let give_up = Instant::now() + SERVICE_LATENCY;
    loop {
        let in_flight = in_flight(scrape).await?;
        if in_flight >= f64::from(REQUESTS.get()) {
            return Ok(());
        }
        if Instant::now() >= give_up {
            bail!("{in_flight} of {REQUESTS} requests are in flight after {SERVICE_LATENCY:?}");
        }
        time::sleep(POLL).await;
    }
}

async fn in_flight(scrape: &mut Connection) -> anyhow::Result<f64> {
    let page = scrape.fetch(&Uri::from_static("/metrics"), METRICS_LIMIT_BYTES).await?;
    ensure!(page.status.is_success(), "/metrics answers {}", page.status);
    Ok(in_flight_gauge(&String::from_utf8_lossy(&page.body)))
}

/// The value of `http_inflight` for the endpoint; 0 while there is no such series.
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
    fn the_services_take_as_long_as_the_wait_supposes() {
        let latency = format!("constant:{}", SERVICE_LATENCY.as_millis());
        let services =
            ENVIRONMENT.iter().filter(|(name, value)| name.ends_with("_LATENCY") && *value == latency);
        assert_eq!(services.count(), 2);
    }
}
