//! `lab bench start`: measures how long the lab takes to listen, and its idle memory.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::args::Rounds;
use super::child_server::ChildServer;
use super::report::{Aim, BenchReport, Figure, Quantity, Unit};
use super::stopping::unless_stopped;
use crate::app::output::JsonArg;
use crate::config::Allowed as _;
use crate::latency::milliseconds;

/// How long to wait after the start before reading the memory.
const SETTLE: Duration = Duration::from_millis(200);

const ENVIRONMENT: [(&str, &str); 1] = [("LAB_ADDR", "127.0.0.1:0")];

const LISTENING: Quantity = Quantity {
    key: "spawn_to_listening_ms",
    text: "spawn to `listening`",
    unit: Unit::Milliseconds,
    aim: Some(Aim::AtMost(100.0)),
};
const IDLE: Quantity =
    Quantity { key: "resident_idle_bytes", text: "resident, idle", unit: Unit::Bytes, aim: None };

/// Arguments of `lab bench start`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many starts to measure, after one that is not measured
    #[arg(long, default_value = "20", value_name = Rounds::ALLOWED)]
    starts: Rounds,
    #[command(flatten)]
    pub(super) output: JsonArg,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = bench::start::Setting)]
pub(in crate::app) struct Setting {
    starts: u32,
    settle_ms: f64,
}

crate::document!(BenchReport<Setting> as "lab/bench-start/1");

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after one start that is not counted; idle memory {} ms after the start", self.settle_ms)
    }
}

pub(super) async fn run(args: &Args, stop: &CancellationToken) -> anyhow::Result<BenchReport<Setting>> {
    let program = std::env::current_exe()?;
    let mut listening_ms = Vec::new();
    let mut resident_bytes = Vec::new();
    // The first start reads the program from disk.
    start_once(&program, stop).await?;
    for _ in 0..args.starts.get() {
        let started = start_once(&program, stop).await?;
        listening_ms.push(milliseconds(started.listening));
        resident_bytes.push(started.resident_bytes as f64);
    }
    let figures = [Figure::of("serve", LISTENING, listening_ms), Figure::of("serve", IDLE, resident_bytes)];
    Ok(BenchReport {
        command: format!("lab bench start --starts {}", args.starts),
        setting: Setting { starts: args.starts.get(), settle_ms: milliseconds(SETTLE) },
        figures: figures.into_iter().flatten().collect(),
    })
}

struct Started {
    listening: Duration,
    resident_bytes: u64,
}

async fn start_once(program: &Path, stop: &CancellationToken) -> anyhow::Result<Started> {
    let spawned = Instant::now();
    let server = unless_stopped(stop, ChildServer::start(program, &["serve"], &ENVIRONMENT)).await?;
    let listening = spawned.elapsed();
    let usage = unless_stopped(stop, async {
        time::sleep(SETTLE).await;
        server.usage()
    })
    .await;
    let stopped = server.stop().await;
    let resident_bytes = usage?.resident_bytes;
    stopped?;
    Ok(Started { listening, resident_bytes })
}
