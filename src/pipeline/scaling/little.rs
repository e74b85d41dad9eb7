//! Little's law: workers = service time x attempts a second, with room to spare.
//!
//! `ceil(S x (arrivals + waiting / drain objective) / target utilisation)`. L = lambda W (J. D. C. Little, "A
//! Proof for the Queuing Formula: L = lambda W", Operations Research 9(3), 1961) applied to the workers: the
//! mean number of busy ones is the rate of attempts times their mean time. What waits is to be worked off
//! within the objective, which is a rate of attempts too. Arrivals are those the producer wanted, before a
//! full queue held it up (or an overload would look like a load that just fits), and retries are among
//! them: with one failure in N they are a share of about 1/N.

use super::{Decision, Observation, behaviour};
use crate::pipeline::config::Settings;

pub(super) fn decide(settings: &Settings, seen: &Observation<'_>) -> Decision {
    let draining_per_s = seen.now.waiting as f64 / settings.drain_objective.get().as_secs_f64();
    let output =
        seen.service_s() * (seen.arrivals_per_s() + draining_per_s) / settings.target_utilisation.get();
    let workers = behaviour::whole(output);
    Decision { workers, recommended: workers, output }
}
