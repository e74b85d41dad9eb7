//! `lab bench builds OTHER`: what a change of the program costs, as a ratio to the build before it.
//!
//! Three servers stand idle while one of them is driven: the other build, this one, and this one while viewers read
//! the page's stream. Each endpoint is driven on each of them once a round, in an order that turns; ratios are taken
//! within a round. They compare the server's processor time per request, which a busy client or a slow machine changes
//! less than the requests per second.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::{self, Connections, Length, Rounds};
use super::child_server::{self, ChildServer};
use super::client::Arm;
use super::http::{ENDPOINTS, ENVIRONMENT, WARM_UP};
use super::report::{Aim, BenchReport, Figure, Quantity, Unit};
use super::stats::paired_ratios;
use super::stopping::unless_stopped;
use super::viewers::Viewers;
use crate::app::output::JsonArg;
use crate::config::Allowed as _;
use crate::latency::milliseconds;

const RATIO: Quantity = Quantity {
    key: "cpu_per_request_builds_ratio",
    text: "server CPU per request, this build / other",
    unit: Unit::Ratio,
    aim: Some(Aim::AtMost(1.02)),
};
const WATCHED_RATIO: Quantity = Quantity {
    key: "cpu_per_request_watched_ratio",
    text: "the same with viewers / other without",
    unit: Unit::Ratio,
    aim: Some(Aim::AtMost(1.1)),
};
const CPU: Quantity = Quantity {
    key: "cpu_per_request_us",
    text: "server CPU per request",
    unit: Unit::Microseconds,
    aim: None,
};
const GROWTH: Quantity = Quantity {
    key: "resident_last_first_ratio",
    text: "resident, after the last round / the first",
    unit: Unit::Ratio,
    aim: Some(Aim::AtMost(1.05)),
};
const RESIDENT: Quantity = Quantity { key: "resident_bytes", text: "resident", unit: Unit::Bytes, aim: None };

/// Arguments of `lab bench builds`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The other build: a `lab` made from another version
    #[arg(value_name = "PROGRAM")]
    other: PathBuf,
    /// How often every arm is measured
    #[arg(long, default_value = "20", value_name = Rounds::ALLOWED)]
    rounds: Rounds,
    /// How long every arm is driven in a round
    #[arg(long = "for", default_value = "1s", value_name = Length::ALLOWED)]
    length: Length,
    /// Keep-alive connections, each with one request at a time
    #[arg(long, default_value = "64", value_name = Connections::ALLOWED)]
    connections: Connections,
    /// Viewers that read the page's stream
    #[arg(long, default_value = "200", value_name = args::Viewers::ALLOWED)]
    viewers: args::Viewers,
    #[command(flatten)]
    pub(super) output: JsonArg,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = bench::builds::Setting)]
pub(in crate::app) struct Setting {
    rounds: u32,
    length_ms: f64,
    connections: u32,
    viewers: u32,
    cores: usize,
}

crate::document!(BenchReport<Setting> as "lab/bench-builds/1");

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores shared by client and server; {} viewers", self.cores, self.viewers)
    }
}

pub(super) async fn run(args: &Args, stop: &CancellationToken) -> anyhow::Result<BenchReport<Setting>> {
    let servers = unless_stopped(stop, Servers::start(&args.other)).await?;
    let measured = unless_stopped(stop, servers.measure(args)).await;
    let stopped = servers.stop().await;
    let figures = measured?.figures();
    stopped?;
    Ok(BenchReport {
        command: format!(
            "lab bench builds PROGRAM --rounds {} --for {} --connections {} --viewers {}",
            args.rounds, args.length, args.connections, args.viewers
        ),
        setting: Setting {
            rounds: args.rounds.get(),
            length_ms: milliseconds(args.length.get()),
            connections: args.connections.get(),
            viewers: args.viewers.get(),
            cores: std::thread::available_parallelism()?.get(),
        },
        figures,
    })
}

struct Servers {
    other: ChildServer,
    this: ChildServer,
    watched: ChildServer,
}

impl Servers {
    async fn start(other: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self {
            other: ChildServer::start(other, &["serve"], &ENVIRONMENT).await?,
            this: ChildServer::start(&program, &["serve"], &ENVIRONMENT).await?,
            watched: ChildServer::start(&program, &["serve"], &ENVIRONMENT).await?,
        })
    }

    /// Drives every arm once a round, after each server has been warmed up.
    async fn measure(&self, args: &Args) -> anyhow::Result<Comparison> {
        let connections = NonZeroU32::new(args.connections.get()).unwrap_or(NonZeroU32::MIN);
        let servers = [&self.other, &self.this, &self.watched];
        let arms: Vec<Arm<'_>> = ENDPOINTS
            .into_iter()
            .flat_map(|path| servers.map(|server| Arm { server, path, connections }))
            .collect();
        let mut viewers = Viewers::connect(&self.watched, args.viewers.get()).await?;
        for arm in &arms[..servers.len()] {
            arm.window(WARM_UP, "warm-up ").await?;
        }
        let mut found =
            Comparison { cpu_us: arms.iter().map(|_| Vec::new()).collect(), resident: Vec::new() };
        for round in 0..args.rounds.get() as usize {
            let what = format!("round {} of {} ", round + 1, args.rounds);
            for turn in 0..arms.len() {
                let arm = (round + turn) % arms.len();
                let window = arms[arm].window(args.length.get(), &what).await?;
                found.cpu_us[arm].push(window.cpu_per_request.as_secs_f64() * 1e6);
                viewers.all_connected()?;
            }
            found.resident.push(self.watched.usage()?.resident_bytes as f64);
        }
        Ok(found)
    }

    async fn stop(self) -> anyhow::Result<()> {
        child_server::stop_all([self.other, self.this, self.watched]).await
    }
}

struct Comparison {
    /// Of the other build, this one, and this one with viewers; endpoint after endpoint. A reading a round.
    cpu_us: Vec<Vec<f64>>,
    /// Of the watched server, after each round.
    resident: Vec<f64>,
}

impl Comparison {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (endpoint, arms) in ENDPOINTS.into_iter().zip(self.cpu_us.chunks(3)) {
            let [other, this, watched] = arms else { continue };
            figures.push(Figure::of(endpoint, RATIO, paired_ratios(this, other)));
            figures.push(Figure::of(endpoint, WATCHED_RATIO, paired_ratios(watched, other)));
            figures.push(Figure::of(endpoint, CPU, this.iter().copied()));
        }
        let growth = self.resident.last().zip(self.resident.first()).map(|(last, first)| last / first);
        figures.push(Figure::of("with viewers", GROWTH, growth));
        figures.push(Figure::of("with viewers", RESIDENT, self.resident.iter().copied()));
        figures.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_is_set_against_the_other_build_in_the_same_round() {
        let arm = |us: f64| vec![us, us * 2.0];
        let cpu_us =
            ENDPOINTS.into_iter().flat_map(|_| [10.0, 10.1, 11.5].map(arm)).collect::<Vec<Vec<f64>>>();
        let figures = Comparison { cpu_us, resident: vec![100.0, 103.0] }.figures();
        let median = |subject, key| {
            figures
                .iter()
                .find(|figure| figure.subject == subject && figure.quantity.key == key)
                .map(|figure| (figure.spread.median * 1e3).round() / 1e3)
        };
        assert_eq!(median("/async", "cpu_per_request_builds_ratio"), Some(1.01));
        assert_eq!(median("/async-timeout", "cpu_per_request_watched_ratio"), Some(1.15));
        assert_eq!(median("with viewers", "resident_last_first_ratio"), Some(1.03));
        assert_eq!(figures.len(), 4 * 3 + 2);
    }
}
