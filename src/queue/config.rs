//! The queue's flags and variables.

use std::path::PathBuf;

use crate::{
    bounded,
    config::Allowed as _,
    queue::broker::Caps,
    size,
    storage::redis::{Copies, RedisUrl},
    time,
};

bounded!(
    /// Tasks that have not ended, dead letters included.
    pub TasksLimit: u64 = 1 to 100000000
);
size!(
    /// The payloads of all tasks that have not ended.
    pub QueueBytesLimit = 1 MB to 1000 GB
);
size!(
    /// The payload of one task.
    pub PayloadLimitBytes = 1 B to 1 MB
);
bounded!(
    /// How often a task may fail before it is a dead letter.
    pub MaxAttempts: u32 = 1 to 100
);
time!(
    /// How long one attempt may take.
    pub TaskTimeoutMs = 1 ms to 24 h in milliseconds
);
bounded!(
    /// Records of tasks that ended, or dead letters.
    pub KeptLimit: u64 = 0 to 10000000
);
time!(
    /// How long a record or a dead letter is kept.
    pub KeptMs = 1 s to 8760 h in milliseconds
);

bounded!(
    /// Replicas that have a task before its enqueue is answered.
    pub Replicas: u32 = 0 to 16
);
time!(
    /// How long an enqueue waits for them. It must be well below the time limit of a reply.
    pub ReplicatedWithinMs = 1 ms to 2 s in milliseconds
);

/// Where the queue is kept.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Store")]
pub struct StorePlace {
    /// The Redis server that holds the queue; unset: a file in --data-dir, which only one process can use
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = RedisUrl::ALLOWED)]
    pub redis_url: Option<RedisUrl>,
    /// The folder of embedded stores; it is created if it is missing
    #[arg(long, env = "LAB_DATA_DIR", default_value = "./lab-data", value_name = "the path of a folder")]
    pub data_dir: PathBuf,
}

/// Where the queue is kept, and in how many copies.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Store")]
pub struct StoreArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub place: StorePlace,
    /// How many replicas of Redis an enqueue waits for; if they have it in time it is `replicated`. 0: none
    #[arg(long, env = "QUEUE_REPLICAS", default_value = "0", value_name = Replicas::ALLOWED)]
    pub replicas: Replicas,
    /// How long it waits for them
    #[arg(long, env = "QUEUE_REPLICATED_WITHIN_MS", default_value = "500", value_name = ReplicatedWithinMs::ALLOWED)]
    pub replicated_within_ms: ReplicatedWithinMs,
}

impl StoreArgs {
    /// The copies that an enqueue waits for.
    pub fn copies(&self) -> Option<Copies> {
        let (replicas, within) = (self.replicas.get(), self.replicated_within_ms.get());
        (replicas > 0).then_some(Copies { replicas, within })
    }
}

/// What the queue takes and keeps.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Queue")]
pub struct Config {
    /// The most tasks that have not ended, dead letters included; more are refused
    #[arg(long, env = "QUEUE_TASKS_LIMIT", default_value = "1000000", value_name = TasksLimit::ALLOWED)]
    pub tasks_limit: TasksLimit,
    /// The most bytes of their payloads together; more are refused
    #[arg(long, env = "QUEUE_BYTES_LIMIT", default_value = "1GB", value_name = QueueBytesLimit::ALLOWED)]
    pub bytes_limit: QueueBytesLimit,
    /// The largest payload
    #[arg(long, env = "QUEUE_PAYLOAD_LIMIT_BYTES", default_value = "64kB", value_name = PayloadLimitBytes::ALLOWED)]
    pub payload_limit_bytes: PayloadLimitBytes,
    /// How often a task may fail before it is a dead letter, unless it says otherwise
    #[arg(long, env = "QUEUE_MAX_ATTEMPTS", default_value = "5", value_name = MaxAttempts::ALLOWED)]
    pub max_attempts: MaxAttempts,
    /// The time limit of one attempt, unless the task says otherwise
    #[arg(long = "timeout-ms", env = "QUEUE_TIMEOUT_MS", default_value = "60000", value_name = TaskTimeoutMs::ALLOWED)]
    pub task_timeout_ms: TaskTimeoutMs,
    /// The most records of tasks that ended
    #[arg(long, env = "QUEUE_DONE_LIMIT", default_value = "100000", value_name = KeptLimit::ALLOWED)]
    pub done_limit: KeptLimit,
    /// How long such a record is kept
    #[arg(long, env = "QUEUE_DONE_KEPT_MS", default_value = "24h", value_name = KeptMs::ALLOWED)]
    pub done_kept_ms: KeptMs,
    /// The most dead letters
    #[arg(long, env = "QUEUE_DEAD_LIMIT", default_value = "100000", value_name = KeptLimit::ALLOWED)]
    pub dead_limit: KeptLimit,
    /// How long a dead letter is kept
    #[arg(long, env = "QUEUE_DEAD_KEPT_MS", default_value = "720h", value_name = KeptMs::ALLOWED)]
    pub dead_kept_ms: KeptMs,
}

impl Config {
    /// The limits as the broker takes them.
    pub fn caps(&self) -> Caps {
        Caps {
            tasks: self.tasks_limit.get(),
            bytes: self.bytes_limit.get(),
            done: self.done_limit.get(),
            done_age_ms: self.done_kept_ms.ms(),
            dead: self.dead_limit.get(),
            dead_age_ms: self.dead_kept_ms.ms(),
            ..Caps::default()
        }
    }
}
