//! The raw door: other programs push JSON to the list `tasks:pending`, and it is moved into lanes.
//!
//! ```text
//!   LPUSH tasks:pending ──> peek (100 at most) ──> read here ──> admit: compare with what was read, move
//!                                                                  └ no valid task: a dead letter, malformed
//! ```
//!
//! Any number of processes may do it at once: what another one has moved is no longer what was read, and is left
//! alone. `LLEN tasks:pending` is what is not admitted yet.

use std::{collections::BTreeMap, time::Duration};

use serde_json::value::RawValue;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    api::{Asked, TaskBody},
    broker::{Admission, Broker, MOVED_LIMIT, RawElement},
    config::Config,
    handle::Queue,
    lane::{Lane, Priority},
    name::Name,
    task::{Due, NewTask, Spec, TaskId},
};
use crate::{storage::StoreError, web::parse_json};

/// How often an empty list is looked at. A task that is pushed to an idle queue starts within twice this.
///
/// A blocking command (`BLMOVE` from the list to the same end of itself) would wake every process at each push, send
/// each the whole element, however long, and be refused when memory is full: the look would be needed all the same.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// An element may be longer than the largest payload by this much: its other members.
const MEMBERS_LIMIT_BYTES: u64 = 4_096;
/// How much of an element that is no valid task is kept.
const KEPT_LIMIT_BYTES: usize = 4_096;
/// The type of what is no valid task.
const MALFORMED: &str = "malformed";

/// Admits what other programs push, until `stop`. A store that is away is asked again.
pub(super) async fn admit(queue: &Queue, stop: &CancellationToken) {
    // Nobody can push to a file.
    if matches!(queue.broker(), Broker::Sqlite(_)) {
        return;
    }
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        // The keeper says when the store is away.
        while let Ok(moved) = step(queue).await {
            if moved < MOVED_LIMIT as u64 || stop.is_cancelled() {
                break;
            }
        }
    }
}

/// Admits the oldest elements. Returns how many.
async fn step(queue: &Queue) -> Result<u64, StoreError> {
    let limit_bytes = queue.config().payload_limit_bytes.get() + MEMBERS_LIMIT_BYTES;
    let elements = queue.broker().peek(limit_bytes).await?;
    if elements.is_empty() {
        return Ok(0);
    }
    let admissions: Vec<Admission> =
        elements.into_iter().map(|element| read(element, queue.config())).collect();
    queue.broker().admit(&admissions, queue.caps()).await
}

/// What to make of an element.
fn read(element: RawElement, config: &Config) -> Admission {
    let task = if element.length > element.bytes.len() as u64 {
        Err(format!("{} bytes are more than a task may have", element.length))
    } else {
        parse(&element.bytes, config)
    };
    match task {
        Ok(task) => Admission { element, task, malformed: None },
        Err(why) => {
            let kept = element.bytes.slice(..element.bytes.len().min(KEPT_LIMIT_BYTES));
            let task = NewTask {
                id: TaskId::new(),
                lane: Lane { priority: Priority::Low, kind: malformed_kind(), group: None },
                due: Due::Now,
                spec: Spec {
                    attempts_limit: config.max_attempts.get(),
                    timeout_ms: config.task_timeout_ms.ms(),
                    deadline_ms: 0,
                    trace: String::new(),
                    payload: kept,
                },
                key: None,
            };
            Admission { element, task, malformed: Some(why) }
        }
    }
}

fn malformed_kind() -> Name {
    Name::known(MALFORMED)
}

/// Reads a task as `POST /task` takes it. An `id` is passed over: the queue names its tasks itself.
fn parse(bytes: &[u8], config: &Config) -> Result<NewTask, String> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let body = parse_json::<TaskBody>(text).or_else(|problem| match without_id(text) {
        Some(rest) => parse_json::<TaskBody>(&rest),
        None => Err(problem),
    });
    let task = body.and_then(|body| body.task(config, Asked::default()));
    task.map_err(|problem| problem.text().to_owned())
}

fn without_id(text: &str) -> Option<String> {
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
    members.remove("id")?;
    serde_json::to_string(&members).ok()
}
