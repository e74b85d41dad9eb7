//! What every process does for the queue beside its own work: time goes on, delayed tasks become due, the tasks of
//! dead processes return, and what was kept long enough is forgotten. Any number of processes may do it at once.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::broker::{Broker, Caps, CrashRule, MOVED_LIMIT, Reaped};
use crate::storage::StoreError;

/// How often the lease clock is moved on. It goes on by at most 500 ms at a time.
const TICK: Duration = Duration::from_millis(250);
/// How many ticks pass between two sweeps.
const TICKS_A_SWEEP: u64 = 40;

/// Keeps the queue until `stop`. A store that is away is asked again with the next tick.
pub async fn keep(broker: &Broker, caps: &Caps, rule: CrashRule, stop: &CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_away = false;
    for tick in 0.. {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let kept = step(broker, caps, rule, tick % TICKS_A_SWEEP == 0).await;
        match &kept {
            // Once for each time that it is away.
            Err(error) if !was_away => tracing::warn!(%error, "the queue's store does not answer"),
            Ok(()) if was_away => tracing::info!("the queue's store is back"),
            _ => {}
        }
        was_away = kept.is_err();
    }
}

/// One tick.
async fn step(broker: &Broker, caps: &Caps, rule: CrashRule, sweeps: bool) -> Result<(), StoreError> {
    loop {
        let Reaped { epoch: Some(epoch), who, returned, suspects, dead } = broker.reap(rule).await? else {
            break;
        };
        if returned + suspects + dead > 0 {
            tracing::warn!(
                epoch,
                who,
                returned,
                suspects,
                dead,
                "the tasks of a process that died were taken back"
            );
        }
    }
    while broker.promote().await?.moved >= MOVED_LIMIT as u64 {}
    if sweeps {
        while broker.sweep(caps).await? >= MOVED_LIMIT as u64 {}
    }
    Ok(())
}
