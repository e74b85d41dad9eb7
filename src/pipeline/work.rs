//! The work of a job: simulated, or a command.

use std::time::Duration;

use jiff::Timestamp;
use rand::RngExt as _;
use tokio::time::Instant;

use super::{
    config::Config,
    job::{Attempt, Job, JobError},
};
use crate::{
    exec::{Call, Guard, Limits, Template},
    sim::{Key, Profile, Purpose},
};

/// The name of the pipeline in the keys of draws.
const SERVICE: char = 'P';
/// The assumed time of a command until some have ended.
const COMMAND_EXPECTED: Duration = Duration::from_secs(1);

/// How a job is worked on, and how long a failed one waits.
#[derive(Debug)]
pub(super) struct Work {
    kind: Kind,
    seed: u64,
    backoff: Duration,
    backoff_max: Duration,
}

#[derive(Debug)]
enum Kind {
    Simulated { profile: Profile, failure_rate: u32 },
    Command(Exec),
}

/// A command for each job.
#[derive(Debug)]
pub struct Exec {
    /// The command.
    pub template: Template,
    /// Its resource limits.
    pub limits: Limits,
    /// The guard that ends it with this process.
    pub guard: Guard,
    /// Whether the run stops at the first job that fails for good.
    pub stop_on_failure: bool,
}

impl Exec {
    /// The command for a job, with the job's id, attempt and worker in its environment.
    fn call(&self, worker: u64, job: &Job) -> Result<Call, JobError> {
        let line = job.line.as_ref().ok_or(JobError::Invalid("a command needs a line"))?;
        let text = line.text.as_ref().map_err(|why| JobError::Invalid(why))?;
        let arguments = self.template.fill(&text.content, |name| text.field(name));
        Ok(Call {
            program: self.template.program().to_owned(),
            arguments: arguments.map_err(|field| JobError::NoField(field.to_owned()))?,
            environment: vec![
                ("LAB_JOB_ID", line.name()),
                ("LAB_JOB_ATTEMPT", (job.failed_attempts + 1).to_string()),
                ("LAB_JOB_WORKER", worker.to_string()),
            ],
            input: text.line.to_string(),
        })
    }
}

impl Work {
    /// Simulated work: takes a time and may fail, by draws that depend on nothing but the seed, the job's
    /// number and the attempt.
    pub(super) fn simulated(config: &Config, seed: u64) -> Self {
        let kind = Kind::Simulated { profile: config.work.clone(), failure_rate: config.failure_rate.get() };
        Self::of(kind, config, seed)
    }

    /// A command for each job.
    pub(super) fn command(config: &Config, exec: Exec, seed: u64) -> Self {
        Self::of(Kind::Command(exec), config, seed)
    }

    fn of(kind: Kind, config: &Config, seed: u64) -> Self {
        Self { kind, seed, backoff: config.retry_backoff.get(), backoff_max: config.retry_backoff_max.get() }
    }

    /// Makes one attempt, by this worker.
    pub(super) async fn attempt(&self, worker: u64, job: &Job) -> Attempt {
        let begun = Instant::now();
        match &self.kind {
            Kind::Simulated { profile, failure_rate } => {
                let key = self.key(job);
                // On the timers' grid of whole milliseconds, or each would round up.
                let ms = profile.sample(&mut key.rng(Purpose::Latency)).round() as u64;
                tokio::time::sleep(Duration::from_millis(ms)).await;
                let fails =
                    *failure_rate > 0 && key.rng(Purpose::Failure).random_range(0..*failure_rate) == 0;
                let outcome = if fails { Err(JobError::Simulated) } else { Ok(()) };
                Attempt { outcome, took: begun.elapsed(), started_at: None, output: None }
            }
            Kind::Command(exec) => {
                let started_at = Some(Timestamp::now());
                let (outcome, output) = match exec.call(worker, job) {
                    Ok(call) => {
                        let ended = call.run(exec.limits, &exec.guard).await;
                        (ended.outcome.map_err(JobError::from), ended.output)
                    }
                    Err(error) => (Err(error), None),
                };
                Attempt { outcome, took: begun.elapsed(), started_at, output }
            }
        }
    }

    /// Whether the run stops at the first job that fails for good.
    pub(super) fn stops_on_failure(&self) -> bool {
        matches!(&self.kind, Kind::Command(exec) if exec.stop_on_failure)
    }

    /// How long `job` waits after a failed attempt.
    pub(super) fn backoff(&self, job: &Job) -> Duration {
        let jitter = self.key(job).rng(Purpose::Backoff).random::<f64>();
        backoff(self.backoff, self.backoff_max, job.failed_attempts, jitter)
    }

    /// The assumed time of an attempt until some have ended.
    pub(super) fn expected(&self) -> Duration {
        match &self.kind {
            Kind::Simulated { profile, .. } => Duration::from_secs_f64(profile.mean_ms() / 1e3),
            Kind::Command(_) => COMMAND_EXPECTED,
        }
    }

    fn key(&self, job: &Job) -> Key {
        Key { seed: self.seed, request: job.id, service: SERVICE, attempt: job.failed_attempts }
    }
}

/// The wait before retry number `retry` (from 0): `base` doubled for each earlier one, at most `limit`, of
/// which `jitter` (0 to 1) chooses a point in the upper half, in whole milliseconds. Jitter keeps jobs that
/// failed together from coming back together.
pub(super) fn backoff(base: Duration, limit: Duration, retry: u32, jitter: f64) -> Duration {
    let factor = 2_u32.checked_pow(retry).unwrap_or(u32::MAX);
    let whole = base.saturating_mul(factor).min(limit);
    let ms = whole.as_secs_f64() * 1e3 * (0.5 + 0.5 * jitter.clamp(0.0, 1.0));
    Duration::from_millis(ms.round() as u64)
}
