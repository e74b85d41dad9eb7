//! The queue's balance sheet.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    broker::{Broker, Scan, Stats},
    handle::Queue,
};
use crate::{
    document,
    storage::StoreError,
    web::{Balance, Sheet},
};

/// The terms of the queue's balance, read from its store at one moment; missing: the store does not answer.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Balanced {
    /// Taken into the queue, ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    enqueued: Option<u64>,
    /// Waiting in their lanes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pending: Option<u64>,
    /// Claimed by workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    in_flight: Option<u64>,
    /// Waiting for their time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delayed: Option<u64>,
    /// Dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dead: Option<u64>,
    /// Ended, ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    done: Option<u64>,
    /// Elements of the raw list, which are not admitted yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    inbox: Option<u64>,
    /// What was found where each task was looked at; missing: only the sizes were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scan: Option<Scan>,
}

document!(Balanced as "lab/queue-balance/1");

/// What the terms must satisfy.
const EQUATION: &str = "enqueued = pending + in_flight + delayed + dead + done";

/// Looks at every task of a store, and reads its sheet afterwards. With `mends`, puts right what is wrong.
///
/// # Errors
/// When the store does not answer.
pub async fn audited(broker: &Broker, mends: bool) -> Result<Balance<Balanced>, StoreError> {
    let scan = broker.audit(mends).await.map_err(|error| if mends { error } else { error.of_read() })?;
    let stats = broker.stats().await?;
    Ok(Balance::of(Balanced { scan: Some(scan), ..Balanced::of(&stats) }, EQUATION))
}

/// The sheet of `queue`.
pub(super) fn sheet(queue: &Queue) -> Sheet {
    let queue = queue.clone();
    Sheet::fetched("queue", EQUATION, move || {
        let queue = queue.clone();
        async move {
            queue.broker().stats().await.map_or_else(|_| Balanced::default(), |stats| Balanced::of(&stats))
        }
    })
}

impl Balanced {
    /// In flight, delayed and dead as the structures hold them, not as they are counted; pending is what is left of all
    /// tasks that have a payload. Whether each of those is in its lane is not looked at.
    fn of(stats: &Stats) -> Self {
        let Stats { counts, sizes, inbox, .. } = stats;
        Self {
            enqueued: Some(counts.enqueued),
            pending: Some(sizes.tasks.saturating_sub(sizes.held + sizes.delayed + sizes.dead)),
            in_flight: Some(sizes.held),
            delayed: Some(sizes.delayed),
            dead: Some(sizes.dead),
            done: Some(counts.done),
            inbox: Some(*inbox),
            scan: None,
        }
    }
}
