//! `lab bench queue`, also `lab queue bench`: the shipped scripts and worker, as a ratio to a bare pipelined push and
//! pop of the same bytes.
//!
//! ```text
//!   for each store, in a turning order:  bare ──> enqueue in batches ──> through the ack at 100
//!                                        ──> one by one ──> POST /task ──> through the ack at 5
//!   then, store by store:  highest rate ──> half of it held ──> a backlog that nobody works on
//!   then:  each script at its limits
//! ```
//!
//! The stores are a Redis without persistence, a Redis with `appendfsync always`, and a file; each has 5 types with
//! limits that do not bind and 3 priorities. Worker, producer and stores share the machine; worker and producer run in
//! this process, on connections of their own, and `lab queue api` in another, as it is shipped.

mod bare;
mod disk;
mod folder;
mod held;
mod held_up;
mod http;
mod limits;
mod redis_server;
mod rows;
mod store;
mod work;

use std::{fmt, path::PathBuf};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::{
    folder::Folder,
    rows::{Readings, Share, StoreReadings},
    store::{PAYLOAD_BYTES, Store, Which},
};
use super::{
    args::{Length, Rounds},
    report::BenchReport,
    stopping::unless_stopped,
};
use crate::{
    app::{ending::Usage, output::JsonArg},
    bounded,
    config::Allowed as _,
    latency::milliseconds,
};

bounded!(
    /// Tasks of a round.
    pub(super) Tasks: u32 = 100 to 1000000
);
bounded!(
    /// Tasks of the backlog that nobody works on.
    pub(super) Backlog: u32 = 1000 to 900000
);

/// Arguments of `lab bench queue`.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// How often to measure each arm
    #[arg(long, default_value = "5", value_name = Rounds::ALLOWED)]
    rounds: Rounds,
    /// How many tasks an arm has in a round; enqueues one by one have a fifth of them
    #[arg(long, default_value = "20000", value_name = Tasks::ALLOWED)]
    tasks: Tasks,
    /// How long an arm takes at most
    #[arg(long = "for", default_value = "2s", value_name = Length::ALLOWED)]
    length: Length,
    /// How long half of the highest rate is held
    #[arg(long, default_value = "30s", value_name = Length::ALLOWED)]
    hold: Length,
    /// How many tasks the backlog has that nobody works on
    #[arg(long, default_value = "100000", value_name = Backlog::ALLOWED)]
    backlog: Backlog,
    /// The Redis server to start
    #[arg(long, default_value = "redis-server", value_name = "PROGRAM")]
    redis_server: PathBuf,
    /// Where the stores have their files [default: the folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: JsonArg,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = bench::queue::Setting)]
pub(in crate::app) struct Setting {
    rounds: u32,
    tasks: u32,
    length_ms: f64,
    hold_ms: f64,
    backlog: u32,
    payload_bytes: usize,
    types: usize,
    priorities: usize,
    cores: usize,
}

crate::document!(BenchReport<Setting> as "lab/bench-queue/1");

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores shared by stores, worker and clients; {} types with limits that do not bind, {} priorities, payloads of {} bytes",
            self.cores, self.types, self.priorities, self.payload_bytes
        )?;
        if self.backlog < 1_000_000 {
            write!(f, "; memory of {} pending tasks, scaled to a million", self.backlog)?;
        }
        Ok(())
    }
}

pub(super) async fn run(args: &Args, stop: &CancellationToken) -> anyhow::Result<BenchReport<Setting>> {
    let parent = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = Folder::in_folder(&parent)
        .map_err(|error| Usage(format!("--folder: {}: {error}", parent.display())))?;
    let readings = unless_stopped(stop, measure(args, &folder)).await?;
    Ok(BenchReport {
        command: format!(
            "lab bench queue --rounds {} --tasks {} --for {} --hold {} --backlog {}",
            args.rounds, args.tasks, args.length, args.hold, args.backlog
        ),
        setting: Setting {
            rounds: args.rounds.get(),
            tasks: args.tasks.get(),
            length_ms: milliseconds(args.length.get()),
            hold_ms: milliseconds(args.hold.get()),
            backlog: args.backlog.get(),
            payload_bytes: PAYLOAD_BYTES,
            types: store::KINDS.len(),
            priorities: crate::queue::Priority::ALL.len(),
            cores: std::thread::available_parallelism()?.get(),
        },
        figures: readings.figures(),
    })
}

async fn measure(args: &Args, folder: &Folder) -> anyhow::Result<Readings> {
    let mut stores = Vec::new();
    for which in Which::ALL {
        stores.push(Store::start(which, &args.redis_server, folder).await?);
    }
    let mut readings = Readings::new(disk::fdatasync_p99_ms(folder.path()).await?);
    let share = Share { tasks: args.tasks.get() as usize, length: args.length.get() };
    for round in 0..args.rounds.get() as usize {
        let what = format!("round {} of {} ", round + 1, args.rounds);
        for turn in 0..stores.len() {
            let at = (round + turn) % stores.len();
            rows::measure_round(&stores, at, share, &what, &mut readings).await?;
        }
    }
    for (store, found) in stores.iter().zip(&mut readings.stores) {
        let found: &mut StoreReadings = found;
        found.held = Some(held::measure(store, args.length.get(), args.hold.get()).await?);
        held_up::forget_ended(store).await?;
        found.held_up = Some(held_up::measure(store, args.backlog.get() as usize).await?);
    }
    for store in stores {
        store.stop().await?;
    }
    for round in 0..args.rounds.get() {
        let own = folder.below(&format!("limits{round}"))?;
        readings.limits.push(limits::measure(&args.redis_server, &own).await?);
    }
    Ok(readings)
}
