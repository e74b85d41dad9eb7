//! The scripts, each joined with the prelude at build. One script, one transition.

use std::sync::LazyLock;

use ::redis::Value;

use super::{args::Args, keys::KEYS, reply::Reply};
use crate::storage::{
    StoreError,
    redis::{Redis, Script},
};

/// Runs a script with the fixed keys.
pub(super) async fn run(redis: &Redis, script: &Script, args: &Args) -> Result<Reply, StoreError> {
    redis.run::<Value>(script, &KEYS, args).await.map(Reply)
}

macro_rules! scripts {
    ($($name:ident = $file:literal $flags:literal,)+) => {
        $(
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
                let name = $file.strip_suffix(".lua").unwrap_or($file);
                Script::new(name, concat!("#!lua", $flags, "\n", include_str!("prelude.lua"), include_str!($file)))
            });
        )+
    };
}

// Only enqueue is refused when memory is full.
scripts! {
    ENQUEUE = "enqueue.lua" "",
    REGISTER = "register.lua" " flags=allow-oom",
    BEAT = "beat.lua" " flags=allow-oom",
    REPORT = "report.lua" " flags=allow-oom",
    REPORTS = "reports.lua" " flags=no-writes,allow-oom",
    EXCHANGE = "exchange.lua" " flags=allow-oom",
    PROMOTE = "promote.lua" " flags=allow-oom",
    REAP = "reap.lua" " flags=allow-oom",
    LEAVE = "leave.lua" " flags=allow-oom",
    SWEEP = "sweep.lua" " flags=allow-oom",
    CANCEL = "cancel.lua" " flags=allow-oom",
    RUN_NOW = "run_now.lua" " flags=allow-oom",
    UNBURY = "unbury.lua" " flags=allow-oom",
    RULE = "rule.lua" " flags=allow-oom",
    GET = "get.lua" " flags=no-writes,allow-oom",
    STATS = "stats.lua" " flags=no-writes,allow-oom",
    LANES = "lanes.lua" " flags=no-writes,allow-oom",
    PEEK = "peek.lua" " flags=no-writes,allow-oom",
    ADMIT = "admit.lua" " flags=allow-oom",
    LIST = "list.lua" " flags=no-writes,allow-oom",
    SCHEMA = "schema.lua" " flags=no-writes,allow-oom",
    AUDIT_TASKS = "audit_tasks.lua" " flags=allow-oom",
    AUDIT_LANES = "audit_lanes.lua" " flags=allow-oom",
    AUDIT_COUNTS = "audit_counts.lua" " flags=allow-oom",
}
