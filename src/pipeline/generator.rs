//! The built-in load: bursts and idle phases in turn, or one rate for as long as somebody asks for it.

use std::{fmt, str::FromStr, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    config::{Config, Interval},
    scaling::PolicyName,
};
use crate::{
    config::{self, Allowed, Invalid},
    documented,
};

/// What the producer is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Bursts and idle phases in turn.
    Generator,
    /// A job each interval.
    Every(Interval),
}

impl Allowed for Rate {
    const ALLOWED: &'static str =
        "generator, a time from 1ms to 1h between two jobs, such as 250ms, or a rate from 1/h to 1000/s";
}

impl FromStr for Rate {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new(text, Self::ALLOWED);
        if text.trim() == "generator" {
            return Ok(Self::Generator);
        }
        if text.contains('/') {
            let rate: config::Rate = text.parse().map_err(|_| refuse())?;
            let interval = Interval::try_from(Duration::from_secs_f64(1.0 / rate.get()));
            return interval.map(Self::Every).map_err(|_| refuse());
        }
        text.parse().map(Self::Every).map_err(|_| match text.trim().parse::<f64>() {
            Ok(_) => Invalid::new(text, format!("a rate needs a unit: did you mean {}/s?", text.trim())),
            Err(_) => refuse(),
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generator => f.write_str("generator"),
            Self::Every(interval) => interval.fmt(f),
        }
    }
}

documented!(Rate as String);

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
    match rate {
        Rate::Every(interval) => interval.get(),
        Rate::Generator if config.burst_length.get().is_zero() => config.idle_interval.get(),
        Rate::Generator => config.burst_interval.get(),
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
        let length = match rate {
            Rate::Every(wanted) => {
                set(wanted.get());
                None
            }
            Rate::Generator => {
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
