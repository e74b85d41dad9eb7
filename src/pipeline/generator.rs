//! The built-in load: bursts and idle phases in turn, or one rate for as long as somebody asks for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    config::{Config, Interval},
    scaling::PolicyName,
};

/// What the producer is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rate {
    /// Bursts and idle phases in turn.
    Generator,
    /// A job each interval.
    Every(Interval),
}

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
