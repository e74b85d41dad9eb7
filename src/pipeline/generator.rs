//! The built-in load: bursts and idle phases in turn, or one rate until another is set.

use std::{fmt, str::FromStr, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    config::{Config, Interval},
    scaling::PolicyName,
};
use crate::{
    config::{self, Allowed, Invalid, read_rate},
    documented,
    web::Unit,
};

/// The load that the producer makes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Bursts and idle phases in turn.
    Generator,
    /// A job each interval.
    Every(Interval),
    /// Jobs a second; the time between two is an [`Interval`].
    Of(config::Rate),
}

impl Rate {
    /// The time between two jobs, if it is constant.
    fn interval(self) -> Option<Duration> {
        match self {
            Self::Generator => None,
            Self::Every(interval) => Some(interval.get()),
            Self::Of(rate) => Some(Duration::from_secs_f64(1.0 / rate.get())),
        }
    }
}

/// The most and the fewest jobs a second.
const FASTEST: f64 = 1e3 / Interval::MIN.as_millis() as f64;
const SLOWEST: f64 = 1e3 / Interval::MAX.as_millis() as f64;

/// What a page sets it with: a number and its unit, or the built-in load.
pub(super) const UNITS: [Unit; 5] = [
    Unit { suffix: "/s", label: "jobs a second", range: Some((SLOWEST, FASTEST)) },
    Unit { suffix: "/m", label: "jobs a minute", range: Some((SLOWEST * 60.0, FASTEST * 60.0)) },
    Unit { suffix: "/h", label: "jobs an hour", range: Some((SLOWEST * 3_600.0, FASTEST * 3_600.0)) },
    Unit { suffix: "ms", label: "ms between jobs", range: Some((1e3 / FASTEST, 1e3 / SLOWEST)) },
    Unit { suffix: "generator", label: "bursts and pauses", range: None },
];

impl Allowed for Rate {
    const ALLOWED: &'static str = "generator, a rate from 1/h to 1000/s (a bare number is per second), or a time from 1ms to 1h \
         between two jobs, such as 250ms";
}

impl FromStr for Rate {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let read = match read_rate(text) {
            _ if text.trim() == "generator" => Some(Self::Generator),
            Some(rate) => config::Rate::try_from(rate).ok().map(Self::Of),
            None => text.parse().ok().map(Self::Every),
        };
        let is_slow_enough =
            |rate: &Self| rate.interval().is_none_or(|interval| Interval::try_from(interval).is_ok());
        read.filter(is_slow_enough).ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generator => f.write_str("generator"),
            Self::Every(interval) => interval.fmt(f),
            Self::Of(rate) => {
                let text = rate.to_string();
                let unit = if text.contains('/') { "" } else { "/s" };
                write!(f, "{text}{unit}")
            }
        }
    }
}

impl serde::Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

documented!(@read Rate, Number, &[]);

/// What can be changed while the pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Controls {
    /// The load.
    pub rate: Rate,
    /// How the number of workers is chosen.
    pub policy: PolicyName,
}

/// The interval that a run begins with.
pub(super) fn first_interval(config: &Config, rate: Rate) -> Duration {
    match rate.interval() {
        Some(interval) => interval,
        None if config.burst_length.get().is_zero() => config.idle_interval.get(),
        None => config.burst_interval.get(),
    }
}

/// Sets the producer's interval until `stop` says so.
pub(super) async fn run(
    config: Config,
    mut controls: watch::Receiver<Controls>,
    interval: watch::Sender<Duration>,
    stop: CancellationToken,
) {
    let set = |wanted: Duration| {
        interval.send_if_modified(|interval| std::mem::replace(interval, wanted) != wanted);
    };
    let phases = [
        (config.burst_interval.get(), config.burst_length.get()),
        (config.idle_interval.get(), config.idle_length.get()),
    ];
    let mut phase = 0;
    loop {
        let rate = controls.borrow_and_update().rate;
        let length = match rate.interval() {
            Some(wanted) => {
                set(wanted);
                None
            }
            None => {
                let (wanted, length) = phases[phase];
                if !length.is_zero() {
                    set(wanted);
                }
                Some(length)
            }
        };
        let over = async {
            match length {
                Some(length) => tokio::time::sleep(length).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            let before = rate;
            // Only another rate ends a phase.
            if controls.wait_for(|controls| controls.rate != before).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = changed => phase = 0,
            () = over => phase = 1 - phase,
        }
    }
}
