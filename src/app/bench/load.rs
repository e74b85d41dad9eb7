//! `lab bench load`: compares the load generator with wrk and k6, and its open loop with its schedule.
//!
//! The server is the bare handler in its own process. Each generator is a process too, with the same number of
//! connections and the same length. Each round runs every generator once, and starts with the next one. A generator's
//! processor time is that which the kernel charged to the ended child. The report lists the generators that are not
//! installed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::args::{Connections, Length, Rounds};
use super::child_server::ChildServer;
use super::report::{Aim, BenchReport, Figure, Quantity, Unit};
use super::stats::paired_ratios;
use super::stopping::unless_stopped;
use super::usage::ended_children;
use crate::app::output::JsonArg;
use crate::config::Allowed as _;
use crate::latency::milliseconds;

/// The length of the response bodies.
const RESPONSE_BYTES: &str = "200";
/// The rate of the open loop.
const OPEN_RATE: f64 = 5_000.0;

const REQUESTS: Quantity =
    Quantity { key: "requests_per_second", text: "requests/s", unit: Unit::PerSecond, aim: None };
const CPU: Quantity =
    Quantity { key: "cpu_per_request_us", text: "own CPU per request", unit: Unit::Microseconds, aim: None };
const RATIO: Quantity = Quantity {
    key: "requests_per_second_ratio",
    text: "requests/s, lab / wrk",
    unit: Unit::Ratio,
    aim: Some(Aim::AtLeast(0.95)),
};
const ACHIEVED: Quantity = Quantity {
    key: "achieved_rate_ratio",
    text: "sent / scheduled at 5,000/s",
    unit: Unit::Ratio,
    aim: Some(Aim::AtLeast(0.99)),
};
const LAG: Quantity = Quantity {
    key: "send_lag_p99_ms",
    text: "p99 of send - intended start",
    unit: Unit::Milliseconds,
    aim: Some(Aim::AtMost(2.0)),
};

/// Arguments of `lab bench load`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How often to run each generator (1 to 1000)
    #[arg(long, default_value = "5", value_name = Rounds::ALLOWED)]
    rounds: Rounds,
    /// How long each generator runs in a round, in whole seconds, because wrk accepts no others
    #[arg(long = "for", default_value = "5s", value_name = Length::ALLOWED)]
    length: Length,
    /// How many connections the closed loops use
    #[arg(long, default_value = "64", value_name = Connections::ALLOWED)]
    connections: Connections,
    /// The wrk program to compare with
    #[arg(long, default_value = "wrk", value_name = "PROGRAM")]
    wrk: PathBuf,
    /// The k6 program to compare with
    #[arg(long, default_value = "k6", value_name = "PROGRAM")]
    k6: PathBuf,
    #[command(flatten)]
    pub(super) output: JsonArg,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = bench::load::Setting)]
pub(in crate::app) struct Setting {
    rounds: u32,
    length_ms: f64,
    connections: u32,
    cores: usize,
    absent: Vec<&'static str>,
}

crate::document!(BenchReport<Setting> as "lab/bench-load/1");

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores shared by generator and bare server", self.cores)?;
        if !self.absent.is_empty() {
            write!(f, "; not installed: {}", self.absent.join(", "))?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    Wrk,
    Closed,
    K6,
    Open,
}

impl Arm {
    const ALL: [Self; 4] = [Self::Wrk, Self::Closed, Self::K6, Self::Open];

    const fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::Closed => "lab load --closed",
            Self::K6 => "k6",
            Self::Open => "lab load",
        }
    }
}

/// The summary that a generator prints.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Summary {
    requests: f64,
    requests_per_second: f64,
    /// 0 if the generator does not print it.
    send_lag_p99_ms: f64,
}

/// A generator's summary and its processor time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    summary: Summary,
    cpu_us: f64,
}

/// The results of all generators.
#[derive(Debug)]
struct Comparison {
    figures: Vec<Figure>,
    /// The generators that are not installed.
    absent: Vec<&'static str>,
}

pub(super) async fn run(args: &Args, stop: &CancellationToken) -> anyhow::Result<BenchReport<Setting>> {
    let program = std::env::current_exe()?;
    let bare = ["bench", "bare", "--bytes", RESPONSE_BYTES];
    let server = unless_stopped(stop, ChildServer::start(&program, &bare, &[])).await?;
    let url = server.url().to_string();
    let comparison = unless_stopped(stop, measure(args, &program, &url)).await;
    server.stop().await?;
    let Comparison { figures, absent } = comparison?;
    Ok(BenchReport {
        command: format!(
            "lab bench load --rounds {} --for {} --connections {}",
            args.rounds, args.length, args.connections
        ),
        setting: Setting {
            rounds: args.rounds.get(),
            length_ms: milliseconds(whole_seconds(args)),
            connections: args.connections.get(),
            cores: std::thread::available_parallelism()?.get(),
            absent,
        },
        figures,
    })
}

/// How long each generator runs: whole seconds, because wrk accepts no others.
fn whole_seconds(args: &Args) -> Duration {
    Duration::from_secs(args.length.get().as_secs())
}

async fn measure(args: &Args, program: &Path, url: &str) -> anyhow::Result<Comparison> {
    let mut arms = Vec::new();
    let mut absent = Vec::new();
    for arm in Arm::ALL {
        // One second as a warm-up, which also shows whether the generator is installed.
        match generate(arm, args, program, url, 1).await? {
            Some(_) => arms.push((arm, Vec::new())),
            None => absent.push(arm.name()),
        }
    }
    let count = arms.len();
    for round in 0..args.rounds.get() as usize {
        for turn in 0..count {
            let (arm, readings) = &mut arms[(round + turn) % count];
            let reading = generate(*arm, args, program, url, whole_seconds(args).as_secs()).await?;
            readings.push(reading.context("the generator is not installed any more")?);
        }
    }
    let rates_of = |wanted: Arm| -> Vec<f64> {
        let readings = arms.iter().filter(|(arm, _)| *arm == wanted).flat_map(|(_, readings)| readings);
        readings.map(|reading: &Reading| reading.summary.requests_per_second).collect()
    };
    let mut figures = Vec::new();
    for (arm, readings) in &arms {
        let name = arm.name();
        let rates = rates_of(*arm);
        if *arm == Arm::Open {
            figures.push(Figure::of(name, ACHIEVED, rates.iter().map(|rate| rate / OPEN_RATE)));
            figures.push(Figure::of(
                name,
                LAG,
                readings.iter().map(|reading| reading.summary.send_lag_p99_ms),
            ));
        } else {
            figures.push(Figure::of(name, REQUESTS, rates.iter().copied()));
        }
        if *arm == Arm::Closed {
            figures.push(Figure::of(name, RATIO, paired_ratios(&rates, &rates_of(Arm::Wrk))));
        }
        figures.push(Figure::of(name, CPU, readings.iter().map(|reading| reading.cpu_us)));
    }
    Ok(Comparison { figures: figures.into_iter().flatten().collect(), absent })
}

/// Runs a generator to its end; `None` if it is not installed.
async fn generate(
    arm: Arm,
    args: &Args,
    program: &Path,
    url: &str,
    seconds: u64,
) -> anyhow::Result<Option<Reading>> {
    let length = format!("{seconds}s");
    let connections = args.connections.to_string();
    let rate = OPEN_RATE.to_string();
    let script = format!(
        "import http from 'k6/http'; export const options = {{ vus: {connections}, duration: '{length}' }};\n\
         export default function () {{ http.get('{url}'); }}\n\
         export function handleSummary(data) {{\n\
         const reqs = data.metrics.http_reqs.values; return {{ stdout: JSON.stringify(reqs) }}; }}\n"
    );
    let (path, arguments, input) = match arm {
        Arm::Wrk => (args.wrk.as_path(), vec!["-t1", "-c", &connections, "-d", &length, url], ""),
        Arm::K6 => {
            let arguments = vec!["run", "--quiet", "--no-usage-report", "--address", "", "-"];
            (args.k6.as_path(), arguments, script.as_str())
        }
        Arm::Closed => (program, vec!["load", url, "--closed", &connections, "--for", &length, "--json"], ""),
        Arm::Open => (program, vec!["load", url, "--rate", &rate, "--for", &length, "--json"], ""),
    };
    let before = ended_children()?;
    let child = Command::new(path)
        .args(&arguments)
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.with_context(|| format!("cannot start {}", path.display()))?,
    };
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    let cpu = ended_children()?.saturating_sub(before);
    ensure!(output.status.success(), "{} ended with {}", arm.name(), output.status);
    let text = String::from_utf8(output.stdout)?;
    let summary = parse(arm, &text)
        .with_context(|| format!("{} printed an unexpected output: {text:.200}", arm.name()))?;
    ensure!(summary.requests > 0.0, "{} got no response", arm.name());
    Ok(Some(Reading { summary, cpu_us: micros(cpu) / summary.requests }))
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Parses a generator's output; `None` if it is not as expected.
fn parse(arm: Arm, text: &str) -> Option<Summary> {
    let (requests, requests_per_second, send_lag_p99_ms) = match arm {
        Arm::Wrk => {
            let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?;
            let count = text.lines().find_map(|line| line.trim().split_once(" requests in "))?.0;
            (count.parse().ok()?, rate.trim().parse().ok()?, 0.0)
        }
        Arm::K6 => {
            let json: Value = serde_json::from_str(text.trim()).ok()?;
            (json["count"].as_f64()?, json["rate"].as_f64()?, 0.0)
        }
        Arm::Closed | Arm::Open => {
            let json: Value = serde_json::from_str(text).ok()?;
            let summary = &json["summary"];
            let rate = if arm == Arm::Open { "sent_per_second" } else { "answered_per_second" };
            let lag = &json["measured"]["recorder"]["send_lag"]["percentiles"]["p99_ms"];
            let lag_ms = lag.as_f64().unwrap_or(f64::NAN);
            (summary["answered"].as_f64()?, summary[rate].as_f64()?, lag_ms)
        }
    };
    Some(Summary { requests, requests_per_second, send_lag_p99_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_each_generator_is_parsed() {
        let summary = |requests, requests_per_second, send_lag_p99_ms| {
            Some(Summary { requests, requests_per_second, send_lag_p99_ms })
        };
        let wrk = "Running 1s test @ http://x/\n  1 threads and 64 connections\n  12345 requests in 1.00s, 2.04MB read\n\
                   Requests/sec:  12346.78\nTransfer/sec:      1.94MB\n";
        assert_eq!(parse(Arm::Wrk, wrk), summary(12_345.0, 12_346.78, 0.0));
        assert_eq!(parse(Arm::K6, r#"{"count":50,"rate":49.5}"#), summary(50.0, 49.5, 0.0));
        let lab = r#"{"summary":{"answered":7,"sent_per_second":4999.5,"answered_per_second":3.0},
            "measured":{"recorder":{"send_lag":{"percentiles":{"p99_ms":1.5}}}}}"#;
        assert_eq!(parse(Arm::Open, lab), summary(7.0, 4_999.5, 1.5));
        assert_eq!(parse(Arm::Closed, lab), summary(7.0, 3.0, 1.5));
        for arm in Arm::ALL {
            assert_eq!(parse(arm, "nothing"), None, "{}", arm.name());
        }
    }
}
