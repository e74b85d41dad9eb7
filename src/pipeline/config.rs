//! The pipeline's settings: their keys, flags, variables, and the checks between them.
//!
//! ```text
//!   config.yml (built in)  <  file (YAML of the same form, or TOML)  <  .env  <  environment  <  flag
//! ```
//!
//! Each value is checked by its type; what two values allow together (min and max, the thresholds) is
//! checked once more in [`Config::settings`], and refused in the same words: the key, the value, what is
//! allowed.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use super::scaling::{PAST_LIMIT_CHECKS, PolicyName};
use crate::{
    bounded,
    config::{Allowed, Fraction, Misfit, TimeText},
    share,
    sim::Profile,
    time,
};

/// The settings that are built in.
const EMBEDDED: &str = include_str!("config.yml");
/// A configuration file is read up to here.
const FILE_LIMIT_BYTES: usize = 64 << 10;

bounded!(
    /// How many workers.
    pub Workers: u32 = 1 to 1000
);
bounded!(
    /// How many jobs make up a backlog.
    pub BacklogJobs: u64 = 0 to 1000000
);
bounded!(
    /// One attempt in this many fails; 0: none.
    pub FailureRate: u32 = 0 to 1000000
);
bounded!(
    /// How often a failed job is tried again.
    pub Retries: u32 = 0 to 100
);
bounded!(
    /// How many jobs wait at most before the producer does.
    pub QueueCapacity: u32 = 1 to 1000000
);
bounded!(
    /// How many jobs of the backlog one worker is for.
    pub LagPerWorker: u32 = 1 to 100000
);

time!(
    /// Time between two events.
    pub Interval = 1 ms to 1 h
);
time!(
    /// How long something lasts.
    pub Length = 0 s to 24 h
);
share!(
    /// The share of the workers' time that is to be spent working.
    pub Utilisation = 0.05 to 1, such as "80% or 0.8"
);

/// Declares the configuration in a table: each setting's description, key, flag, variable and type.
macro_rules! config {
    ($($(#[$about:meta])+ $key:ident $flag:literal $variable:literal: $type:ty,)+) => {
        /// The pipeline's configuration. Defaults are those of `config.yml`.
        #[derive(Debug, Clone, clap::Args)]
        #[group(skip)]
        #[command(next_help_heading = "Pipeline")]
        pub struct Config {
            $(
                $(#[$about])+
                #[arg(id = concat!("pipeline_", stringify!($key)), long = $flag, env = $variable,
                      default_value = embedded(stringify!($key)), value_name = <$type>::ALLOWED)]
                pub $key: $type,
            )+
        }
    };
}

config! {
    /// Workers that are always there
    min_workers "min-workers" "PIPELINE_MIN_WORKERS": Workers,
    /// Workers at most
    max_workers "max-workers" "PIPELINE_MAX_WORKERS": Workers,
    /// Policy threshold: one worker more at this backlog
    grow_threshold "grow-threshold" "PIPELINE_GROW_THRESHOLD": BacklogJobs,
    /// Policy threshold: one worker fewer at this backlog; below the grow threshold
    shrink_threshold "shrink-threshold" "PIPELINE_SHRINK_THRESHOLD": BacklogJobs,
    /// Time between two looks of the supervisor
    check_interval "check-interval" "PIPELINE_CHECK_INTERVAL": Interval,
    /// One simulated attempt in this many fails; 0: none
    failure_rate "failure-rate" "PIPELINE_FAILURE_RATE": FailureRate,
    /// Time between two jobs in a burst
    burst_interval "burst-interval" "PIPELINE_BURST_INTERVAL": Interval,
    /// How long a burst lasts; 0s: there are none
    burst_length "burst-length" "PIPELINE_BURST_LENGTH": Length,
    /// Time between two jobs in an idle phase
    idle_interval "idle-interval" "PIPELINE_IDLE_INTERVAL": Interval,
    /// How long an idle phase lasts; 0s: there are none
    idle_length "idle-length" "PIPELINE_IDLE_LENGTH": Length,
    /// Jobs that wait at most before the producer does; a retry always finds room
    queue_capacity "queue-capacity" "PIPELINE_QUEUE_CAPACITY": QueueCapacity,
    /// How long a simulated attempt works
    work "work" "PIPELINE_WORK": Profile,
    /// How often a failed job is tried again before it has failed for good
    max_retries "max-retries" "PIPELINE_MAX_RETRIES": Retries,
    /// Wait before the first retry at most; doubled for each further one, drawn from its upper half
    retry_backoff "retry-backoff" "PIPELINE_RETRY_BACKOFF": Length,
    /// Wait before any retry at most
    retry_backoff_max "retry-backoff-max" "PIPELINE_RETRY_BACKOFF_MAX": Length,
    /// How the number of workers is chosen
    policy "policy" "PIPELINE_POLICY": PolicyName,
    /// Policies target and little: the share of the workers' time to be spent working
    target_utilisation "target-utilisation" "PIPELINE_TARGET_UTILISATION": Utilisation,
    /// Policies target and keda: a deviation that is left alone
    tolerance "tolerance" "PIPELINE_TOLERANCE": Fraction,
    /// Policies target and keda: shrink only to the most that was recommended in this time
    stabilisation "stabilisation" "PIPELINE_STABILISATION": Length,
    /// Policy keda: jobs of the backlog for each worker
    lag_per_worker "lag-per-worker" "PIPELINE_LAG_PER_WORKER": LagPerWorker,
    /// Policy little: the time in which what waits is to be worked off
    drain_objective "drain-objective" "PIPELINE_DRAIN_OBJECTIVE": Interval,
    /// Policy pid: jobs that are to wait
    pid_queue "pid-queue" "PIPELINE_PID_QUEUE": BacklogJobs,
    /// Policy pid: the time in which a deviation is to be corrected
    pid_settle "pid-settle" "PIPELINE_PID_SETTLE": Interval,
}

/// A [`Config`] whose values also allow each other.
#[derive(Debug, Clone)]
pub struct Settings(Config);

impl std::ops::Deref for Settings {
    type Target = Config;
    fn deref(&self) -> &Config {
        &self.0
    }
}

impl Config {
    /// The settings that are built in.
    ///
    /// # Panics
    /// Never: a test reads them.
    pub fn embedded() -> Self {
        use clap::FromArgMatches as _;
        let command = <Self as clap::Args>::augment_args(clap::Command::new("pipeline"));
        let matches = command.mut_args(|argument| argument.env(None::<&str>)).get_matches_from(["pipeline"]);
        match Self::from_arg_matches(&matches) {
            Ok(config) => config,
            Err(error) => unreachable!("{error}"),
        }
    }

    /// Checks what the values allow together.
    ///
    /// # Errors
    /// The first value that another one does not allow.
    pub fn settings(self) -> Result<Settings, Misfit> {
        let misfit =
            |variable, value: &dyn fmt::Display, allowed: String| Err(Misfit::new(variable, value, allowed));
        if self.min_workers > self.max_workers {
            let allowed = format!("at most max_workers, which is {}", self.max_workers);
            return misfit("PIPELINE_MIN_WORKERS", &self.min_workers, allowed);
        }
        if self.shrink_threshold >= self.grow_threshold {
            let allowed = format!("less than grow_threshold, which is {}", self.grow_threshold);
            return misfit("PIPELINE_SHRINK_THRESHOLD", &self.shrink_threshold, allowed);
        }
        if self.burst_length.get().is_zero() && self.idle_length.get().is_zero() {
            let allowed = "more than 0s unless burst_length is".to_owned();
            return misfit("PIPELINE_IDLE_LENGTH", &self.idle_length, allowed);
        }
        if self.retry_backoff > self.retry_backoff_max {
            let allowed = format!("at most retry_backoff_max, which is {}", self.retry_backoff_max);
            return misfit("PIPELINE_RETRY_BACKOFF", &self.retry_backoff, allowed);
        }
        let remembered = self.check_interval.get() * PAST_LIMIT_CHECKS;
        if self.stabilisation.get() > remembered {
            let allowed =
                format!("at most {PAST_LIMIT_CHECKS} check intervals, which is {}", TimeText(remembered));
            return misfit("PIPELINE_STABILISATION", &self.stabilisation, allowed);
        }
        Ok(Settings(self))
    }
}

/// The built-in value of a key.
fn embedded(key: &str) -> &'static str {
    static VALUES: LazyLock<BTreeMap<String, String>> =
        LazyLock::new(|| read_yaml(EMBEDDED).unwrap_or_default());
    VALUES.get(&variable(key)).map_or("", String::as_str)
}

/// The variable of a key: the seed of draws is the lab's, all others are the pipeline's own.
fn variable(key: &str) -> String {
    if key == "seed" { "LAB_SEED".to_owned() } else { format!("PIPELINE_{}", key.to_uppercase()) }
}

/// Reads a file of the form of `config.yml` into variables and their values. Whether a variable is known,
/// and its value allowed, is its reader's affair.
///
/// # Errors
/// What is wrong with the form, in one line.
pub fn read_yaml(text: &str) -> Result<BTreeMap<String, String>, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        pipeline: Option<BTreeMap<String, Scalar>>,
    }
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Whole(u64),
        Number(f64),
        Flag(bool),
        Text(String),
    }
    if text.len() > FILE_LIMIT_BYTES {
        return Err(format!("a file of at most {FILE_LIMIT_BYTES} bytes is allowed"));
    }
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(String::new(), |at| format!("line {}: ", at.line()));
        let allowed = match error.without_snippet() {
            serde_saphyr::Error::DuplicateMappingKey { .. } => "each key is allowed once",
            _ => "a mapping pipeline: with keys and plain values is allowed",
        };
        format!("{line}{allowed}")
    })?;
    let values = file.pipeline.unwrap_or_default().into_iter().map(|(key, value)| {
        let value = match value {
            Scalar::Whole(number) => number.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Flag(flag) => flag.to_string(),
            Scalar::Text(text) => text,
        };
        (variable(&key), value)
    });
    Ok(values.collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_built_in_settings_are_complete_and_stay() {
        let settings = Config::embedded().settings().expect("the built-in settings allow each other");
        assert_eq!((settings.min_workers.get(), settings.max_workers.get()), (2, 8));
        assert_eq!((settings.grow_threshold.get(), settings.shrink_threshold.get()), (50, 10));
        assert_eq!(settings.check_interval.get(), Duration::from_secs(1));
        assert_eq!(settings.failure_rate.get(), 10);
        let values = read_yaml(EMBEDDED).expect("YAML");
        let command = <Config as clap::Args>::augment_args(clap::Command::new("pipeline"));
        let known: std::collections::BTreeSet<String> = command
            .get_arguments()
            .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()))
            .collect();
        assert_eq!(values.into_keys().collect::<std::collections::BTreeSet<_>>(), known);
    }

    #[test]
    fn conflicting_values_are_refused_with_what_is_allowed() {
        let check = |change: &dyn Fn(&mut Config), expect: &str| {
            let mut config = Config::embedded();
            change(&mut config);
            assert_eq!(config.settings().expect_err(expect).to_string(), expect);
        };
        let workers = |number: u64| Workers::try_from(number).expect("in range");
        check(
            &|config| config.min_workers = workers(9),
            "PIPELINE_MIN_WORKERS: \"9\" is not allowed: at most max_workers, which is 8",
        );
        check(
            &|config| config.grow_threshold = BacklogJobs::try_from(10).expect("in range"),
            "PIPELINE_SHRINK_THRESHOLD: \"10\" is not allowed: less than grow_threshold, which is 10",
        );
        check(
            &|config| config.stabilisation = "11m".parse().expect("in range"),
            "PIPELINE_STABILISATION: \"660s\" is not allowed: at most 600 check intervals, which is 600s",
        );
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        for bad in
            ["pipeline: [1]", "other: {a: 1}", "pipeline: {a: {b: 1}}", "\tx", "pipeline: {a: &x 1, b: *y}"]
        {
            assert!(read_yaml(bad).is_err(), "{bad}");
        }
        assert_eq!(read_yaml("pipeline:\n").map(|values| values.len()), Ok(0));
        let values =
            read_yaml("pipeline:\n  check_interval: 2s\n  tolerance: 0.2\n  seed: 7\n").expect("a file");
        assert_eq!(values["PIPELINE_CHECK_INTERVAL"], "2s");
        assert_eq!(values["PIPELINE_TOLERANCE"], "0.2");
        assert_eq!(values["LAB_SEED"], "7");
    }
}
