//! `POST /task`: what one `lab queue api` takes in from clients that wait for each answer.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use anyhow::ensure;

use super::store::{KINDS, PAYLOAD_BYTES, Store};
use crate::{
    app::{generator::Generator, task_targets::task_targets},
    load::{
        Pace, Plan,
        http::{Http, Settings},
    },
    queue::Priority,
};

/// Keep-alive connections, each with one request at a time.
const CONNECTIONS: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// The time limit of a request.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Posts for `length`. Returns accepted tasks a second, and how many.
///
/// # Errors
/// When an answer is not 202.
pub(super) async fn posts_per_second(
    store: &Store,
    length: Duration,
    what: &str,
) -> anyhow::Result<(f64, u64)> {
    let kinds = KINDS.map(|kind| kind.parse()).into_iter().collect::<Result<Vec<_>, _>>()?;
    let targets = task_targets(store.api.url(), &kinds, &Priority::ALL, PAYLOAD_BYTES)?;
    let pace = Pace::Closed { requests: None, users: CONNECTIONS, length, schedule: None };
    let plan = Plan { pace, timeout: TIME_LIMIT, slo: TIME_LIMIT };
    let http = Http::new(&targets, &Settings::plain(CONNECTIONS));
    let measured = Generator::default().run(plan, Arc::new(http), what).await?;
    let offered = measured.offered();
    ensure!(
        offered > 0 && measured.statuses.get(&202) == Some(&offered),
        "not all of {offered} tasks were accepted: statuses {:?}, without a response {:?}",
        measured.statuses,
        measured.causes,
    );
    Ok((measured.answered_per_second(), offered))
}
