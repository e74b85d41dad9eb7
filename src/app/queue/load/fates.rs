//! What became of the tasks: the queue is asked about each, again until it has ended if the load waits.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::place::{Known, Place, Told};
use crate::{
    latency::{Histogram, Percentiles},
    queue::TaskId,
};

/// Questions at a time.
const CONCURRENT: usize = 32;
/// Tasks that are waited for together, oldest first.
const TOGETHER: usize = 256;
/// How long to wait before the queue is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of the tasks.
#[derive(Debug)]
pub(super) struct Fates {
    /// How many are in each state; `forgotten` have ended, and their records are no longer kept.
    pub(super) states: BTreeMap<String, u64>,
    pub(super) missing: u64,
    /// From the enqueue to the end of those that ended; the others have none.
    pub(super) end_to_end: Percentiles,
    /// Those that had not ended when they were asked about last.
    pub(super) unfinished: u64,
}

/// Asks about each of `ids`. Until `deadline`, it is waited until each has ended, unless `stop` begins before.
///
/// # Errors
/// When the queue gives no answer.
pub(super) async fn follow(
    place: &Place,
    ids: &[TaskId],
    deadline: Option<Instant>,
    stop: &CancellationToken,
) -> anyhow::Result<Fates> {
    let mut fates = Fates {
        states: BTreeMap::new(),
        missing: 0,
        end_to_end: Percentiles::from(&Histogram::new()),
        unfinished: 0,
    };
    let mut took = Histogram::new();
    for together in ids.chunks(TOGETHER) {
        let mut left = together.to_vec();
        loop {
            let may_wait = !stop.is_cancelled() && deadline.is_some_and(|deadline| Instant::now() < deadline);
            let told: Vec<(TaskId, Told)> = stream::iter(left)
                .map(async |id| anyhow::Ok((id, place.ask(id).await?)))
                .buffer_unordered(CONCURRENT)
                .try_collect()
                .await?;
            let is_open = |told: &Told| matches!(told, Told::Known(known) if !known.is_over());
            let (open, over): (Vec<_>, Vec<_>) =
                told.into_iter().partition(|(_, told)| may_wait && is_open(told));
            over.into_iter().for_each(|(_, told)| fates.take(told, &mut took));
            if open.is_empty() {
                break;
            }
            left = open.into_iter().map(|(id, _)| id).collect();
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(PAUSE) => {}
            }
        }
    }
    fates.end_to_end = Percentiles::from(&took);
    Ok(fates)
}

impl Fates {
    fn take(&mut self, told: Told, took: &mut Histogram) {
        let state = match told {
            Told::Missing => {
                self.missing += 1;
                return;
            }
            Told::Forgotten => "forgotten".to_owned(),
            Told::Known(known) => {
                match (known.took(), known.is_over()) {
                    (Some(time), _) => took.record(time),
                    (None, true) => took.record_infinitely_slow(),
                    (None, false) => {
                        self.unfinished += 1;
                        took.record_censored();
                    }
                }
                let Known { state, .. } = known;
                state
            }
        };
        *self.states.entry(state).or_default() += 1;
    }
}
