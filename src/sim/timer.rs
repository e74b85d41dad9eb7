//! Timers that bias no mean.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Tokio rounds a deadline up to the next millisecond of its clock; aiming half a millisecond early
/// makes that rounding to the nearest one, which biases no mean.
pub(super) const HALF_TICK: Duration = Duration::from_micros(500);

/// The deadline to give Tokio so that it ends at the tick nearest to `deadline`.
pub fn nearest_tick(deadline: Instant) -> Instant {
    deadline.checked_sub(HALF_TICK).unwrap_or(deadline)
}

/// Sleeps until the tick of Tokio's clock (1 ms) that is nearest to `deadline`: it may wake half a
/// millisecond early. Cancel safe.
pub async fn sleep_until_nearest(deadline: Instant) {
    sleep_until(nearest_tick(deadline)).await;
}
