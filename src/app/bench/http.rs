//! `lab bench http`: compares the HTTP lab with plain handlers, and with itself without telemetry.
//!
//! Three servers run, and one of them is loaded at a time: the lab with everything enabled and services that take no
//! time, the same with telemetry disabled, and bare axum. The last has a handler with a constant response of the same
//! size and type, and for each endpoint a handler that does the same work. Each round measures every arm once, and
//! starts with the next arm. Processor time is counted in clock ticks (10 ms), which is half a percent of a busy
//! window of two seconds.

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use hyper::Response;
use hyper::header::CONTENT_TYPE;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::{Connections, Length, Rounds};
use super::child_server::{self, ChildServer};
use super::client::{Arm, Window};
use super::memory;
use super::report::{Aim, BenchReport, Figure, Quantity, Unit};
use super::stats::paired_ratios;
use super::stopping::unless_stopped;
use crate::app::output::JsonArg;
use crate::config::Allowed as _;
use crate::latency::milliseconds;

/// The constant, and every endpoint on three servers.
const ARMS: usize = 1 + 3 * ENDPOINTS.len();
pub(super) const ENDPOINTS: [&str; 4] = ["/sync", "/async", "/async-limited", "/async-timeout"];
const BARE: &str = "constant";

/// Services that take no time and do not fail, and limits that are never reached: only the lab's overhead remains.
pub(super) const ENVIRONMENT: [(&str, &str); 5] = [
    ("LAB_ADDR", "127.0.0.1:0"),
    ("SERVICE_A_LATENCY", "constant:0"),
    ("SERVICE_B_LATENCY", "constant:0"),
    ("SERVICE_B_ERROR_RATE", "0"),
    ("ASYNC_LIMIT", "10000"),
];
const TELEMETRY_OFF: (&str, &str) = ("OTEL_SDK_DISABLED", "true");

/// How long each arm is loaded before the first round.
pub(super) const WARM_UP: Duration = Duration::from_secs(1);

const SAME_WORK_RATIO: Quantity = Quantity {
    key: "requests_per_second_same_work_ratio",
    text: "requests/s, lab / same work",
    unit: Unit::Ratio,
    aim: Some(Aim::AtLeast(0.95)),
};
const CONSTANT_RATIO: Quantity = Quantity {
    key: "requests_per_second_constant_ratio",
    text: "requests/s, lab / constant",
    unit: Unit::Ratio,
    aim: None,
};
const CPU_RATIO: Quantity = Quantity {
    key: "cpu_per_request_same_work_ratio",
    text: "server CPU per request, lab / same work",
    unit: Unit::Ratio,
    aim: None,
};
const TELEMETRY_RATIO: Quantity = Quantity {
    key: "telemetry_cpu_ratio",
    text: "server CPU per request, telemetry on / off",
    unit: Unit::Ratio,
    aim: None,
};
const REQUESTS: Quantity =
    Quantity { key: "requests_per_second", text: "requests/s", unit: Unit::PerSecond, aim: None };
const CPU: Quantity = Quantity {
    key: "cpu_per_request_us",
    text: "server CPU per request",
    unit: Unit::Microseconds,
    aim: None,
};

/// Arguments of `lab bench http`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How often to measure each arm
    #[arg(long, default_value = "7", value_name = Rounds::ALLOWED)]
    rounds: Rounds,
    /// How long to measure each arm in a round
    #[arg(long = "for", default_value = "2s", value_name = Length::ALLOWED)]
    length: Length,
    /// Keep-alive connections, each with one request at a time
    #[arg(long, default_value = "64", value_name = Connections::ALLOWED)]
    connections: Connections,
    #[command(flatten)]
    pub(super) output: JsonArg,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = bench::http::Setting)]
pub(in crate::app) struct Setting {
    rounds: u32,
    length_ms: f64,
    connections: u32,
    answer_bytes: usize,
    cores: usize,
}

crate::document!(BenchReport<Setting> as "lab/bench-http/1");

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores shared by client and server, responses of {} bytes",
            self.cores, self.answer_bytes
        )
    }
}

pub(super) async fn run(args: &Args, stop: &CancellationToken) -> anyhow::Result<BenchReport<Setting>> {
    let program = std::env::current_exe()?;
    let servers = unless_stopped(stop, Servers::start(&program)).await?;
    let rounds = unless_stopped(stop, servers.measure(args)).await;
    let answer_bytes = servers.answer_bytes;
    let stopped = servers.stop().await;
    let mut figures = rounds?.figures();
    stopped?;
    figures.extend(memory::figures(&program, stop).await?);
    Ok(BenchReport {
        command: format!(
            "lab bench http --rounds {} --for {} --connections {}",
            args.rounds, args.length, args.connections
        ),
        setting: Setting {
            rounds: args.rounds.get(),
            length_ms: milliseconds(args.length.get()),
            connections: args.connections.get(),
            answer_bytes,
            cores: std::thread::available_parallelism()?.get(),
        },
        figures,
    })
}

/// The servers that are compared.
struct Servers {
    lab: ChildServer,
    silent: ChildServer,
    bare: ChildServer,
    answer_bytes: usize,
}

impl Servers {
    async fn start(program: &Path) -> anyhow::Result<Self> {
        let lab = ChildServer::start(program, &["serve"], &ENVIRONMENT).await?;
        let without_telemetry = [&ENVIRONMENT[..], &[TELEMETRY_OFF]].concat();
        let silent = ChildServer::start(program, &["serve"], &without_telemetry).await?;

        let answer = longest_response(&lab).await?;
        let bytes = answer.body().len().to_string();
        let content_type =
            answer.headers().get(CONTENT_TYPE).context("the lab's response has no content type")?;
        let bare_args = ["bench", "bare", "--bytes", &bytes, "--content-type", content_type.to_str()?];
        let bare = ChildServer::start(program, &bare_args, &[]).await?;
        Ok(Self { lab, silent, bare, answer_bytes: answer.body().len() })
    }

    /// Measures every arm once per round, after a warm-up.
    async fn measure(&self, args: &Args) -> anyhow::Result<Comparison> {
        let arms = self.arms(NonZeroU32::new(args.connections.get()).unwrap_or(NonZeroU32::MIN));
        for arm in arms {
            arm.window(WARM_UP, "warm-up ").await?;
        }
        let mut readings = arms.map(|_| Readings::default());
        for round in 0..args.rounds.get() as usize {
            let what = format!("round {} of {} ", round + 1, args.rounds);
            for turn in 0..arms.len() {
                let arm = (round + turn) % arms.len();
                readings[arm].push(arms[arm].window(args.length.get(), &what).await?);
            }
        }
        let [constant, endpoints @ ..] = readings;
        let mut endpoints = endpoints.into_iter();
        let mut next = || std::array::from_fn(|_| endpoints.next().unwrap_or_default());
        Ok(Comparison { constant, lab: next(), same_work: next(), silent: next() })
    }

    /// The constant, the lab's endpoints, plain endpoints that do the same work, and the lab's without telemetry.
    fn arms(&self, connections: NonZeroU32) -> [Arm<'_>; ARMS] {
        let servers = [&self.lab, &self.bare, &self.silent];
        std::array::from_fn(|arm| match arm.checked_sub(1) {
            None => Arm { server: &self.bare, path: "/", connections },
            Some(at) => Arm {
                server: servers[at / ENDPOINTS.len()],
                path: ENDPOINTS[at % ENDPOINTS.len()],
                connections,
            },
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        child_server::stop_all([self.lab, self.silent, self.bare]).await
    }
}

/// The longest response among one of each endpoint.
async fn longest_response(lab: &ChildServer) -> anyhow::Result<Response<Bytes>> {
    let mut answers = Vec::new();
    for endpoint in ENDPOINTS {
        answers.push(lab.get(endpoint).await?);
    }
    answers.into_iter().max_by_key(|answer| answer.body().len()).context("the lab has no endpoints")
}

/// The readings of an arm, one per round.
#[derive(Debug, Default)]
struct Readings {
    requests_per_second: Vec<f64>,
    cpu_per_request_us: Vec<f64>,
}

impl Readings {
    fn push(&mut self, window: Window) {
        self.requests_per_second.push(window.requests_per_second);
        self.cpu_per_request_us.push(window.cpu_per_request.as_secs_f64() * 1e6);
    }

    fn figures(&self, subject: &'static str) -> impl Iterator<Item = Option<Figure>> {
        let requests = Figure::of(subject, REQUESTS, self.requests_per_second.iter().copied());
        let cpu = Figure::of(subject, CPU, self.cpu_per_request_us.iter().copied());
        [requests, cpu].into_iter()
    }
}

/// The readings of all arms; those of endpoints in the order of [`ENDPOINTS`].
struct Comparison {
    constant: Readings,
    lab: [Readings; ENDPOINTS.len()],
    same_work: [Readings; ENDPOINTS.len()],
    silent: [Readings; ENDPOINTS.len()],
}

impl Comparison {
    fn figures(&self) -> Vec<Figure> {
        let constant = &self.constant;
        let mut figures = Vec::new();
        for (at, endpoint) in ENDPOINTS.into_iter().enumerate() {
            let (lab, same_work, silent) = (&self.lab[at], &self.same_work[at], &self.silent[at]);
            let ratios = [
                (SAME_WORK_RATIO, &lab.requests_per_second, &same_work.requests_per_second),
                (CONSTANT_RATIO, &lab.requests_per_second, &constant.requests_per_second),
                (CPU_RATIO, &lab.cpu_per_request_us, &same_work.cpu_per_request_us),
                (TELEMETRY_RATIO, &lab.cpu_per_request_us, &silent.cpu_per_request_us),
            ];
            figures
                .extend(ratios.map(|(quantity, a, b)| Figure::of(endpoint, quantity, paired_ratios(a, b))));
            figures.extend(lab.figures(endpoint));
        }
        figures.extend(constant.figures(BARE));
        figures.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(requests_per_second: f64, cpu_us: f64) -> Readings {
        let mut readings = Readings::default();
        for factor in [1.0, 2.0] {
            readings.push(Window {
                requests_per_second: requests_per_second * factor,
                cpu_per_request: Duration::from_secs_f64(cpu_us / factor / 1e6),
            });
        }
        readings
    }

    #[test]
    fn each_endpoint_is_compared_with_the_same_work_a_constant_and_no_telemetry() {
        let rounds = Comparison {
            constant: readings(1_000.0, 10.0),
            same_work: [900.0, 1_000.0, 1_000.0, 1_000.0].map(|rate| readings(rate, 10.0)),
            lab: [900.0, 800.0, 700.0, 600.0].map(|rate| readings(rate, 12.0)),
            silent: [11.0, 10.0, 9.0, 8.0].map(|cpu_us| readings(1_000.0, cpu_us)),
        };
        let figures = rounds.figures();
        let median = |subject, key| {
            figures
                .iter()
                .find(|figure| figure.subject == subject && figure.quantity.key == key)
                .map(|figure| (figure.spread.median * 1e3).round() / 1e3)
        };
        assert_eq!(median("/sync", "requests_per_second_same_work_ratio"), Some(1.0));
        assert_eq!(median("/async-timeout", "requests_per_second_constant_ratio"), Some(0.6));
        assert_eq!(median("/async", "cpu_per_request_same_work_ratio"), Some(1.2));
        assert_eq!(median("/async-timeout", "telemetry_cpu_ratio"), Some(1.5));
        assert_eq!(median("constant", "requests_per_second"), Some(1_500.0));
        assert_eq!(figures.len(), 4 * 6 + 2);
    }
}
