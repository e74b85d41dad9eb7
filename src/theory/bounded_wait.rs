//! Queues with a bound on the wait: M/M/c+D, M/G/c+D. An arrival that has waited that long leaves without service.

use std::num::NonZeroU32;

use super::waiting::erlang_b;

/// A first-come, first-served queue for `c` servers whose arrivals wait at most for `patience`.
///
/// It has a steady state under every load. The virtual wait V of an arrival is its wait if its patience were
/// unbounded; the arrival is lost if V exceeds the patience τ. With θ = cμ - λ, the density of V is λ p[c-1] e^(-θx)
/// below τ and decays as e^(-cμ(x-τ)) above it, so the lost share is λ p[c-1] e^(-θτ) / (cμ). The sum over all
/// states gives p[c-1]: `Σ p[j<c] = p[c-1] / B(c-1)`, with Erlang's B.
///
/// Exact for M/M/c+D: Baccelli and Hebuterne, "On queues with impatient customers", Performance '81. For other
/// service times, τ is divided by (1 + v) / 2 and waits are multiplied by it; v is the squared coefficient of
/// variation. Below ρ = 1, the lost share is then that of Boots and Tijms, "A multiserver queueing system with
/// impatient customers", Management Science 45 (1999): (1-ρ)P / (1-ρP), where P is the share that would wait longer
/// than τ without the bound, from the heavy-traffic tail of M/G/c. With a patience of 0 it is Erlang's loss formula,
/// which is exact for every distribution.
///
/// In overload (ρ > 1), as the patience grows, the lost share approaches 1 - 1/ρ and the wait of served arrivals
/// approaches τ, for every distribution (Whitt, "Fluid models for multiserver queues with abandonments", Operations
/// Research 54, 2006).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundedWait {
    /// In the caller's unit of time.
    patience: f64,
    /// (1 + v) / 2, the ratio of a time to its scaled time.
    scale: f64,
    /// λ, per unit of scaled time.
    rate: f64,
    /// θ, per unit of scaled time; negative in overload.
    theta: f64,
    /// The weights, relative to p[c-1], of an arrival that finds a free server, that waits and is served, and that
    /// waits and is lost.
    free: f64,
    served: f64,
    lost: f64,
}

impl BoundedWait {
    /// `offered` is the load λS in servers. `mean` is the mean service time, above 0, and `squared_variation` its
    /// squared coefficient of variation. `patience` is at least 0, in the unit of `mean`.
    pub fn new(servers: NonZeroU32, offered: f64, mean: f64, squared_variation: f64, patience: f64) -> Self {
        let c = f64::from(servers.get());
        let scale = f64::midpoint(1.0, squared_variation);
        let rate = offered / mean;
        let theta = (c - offered) / mean;
        let service_gap = mean / c;
        let bound = patience / scale;
        // In overload e^(-θτ) can overflow, so all weights are divided by it.
        let free = (theta.min(0.0) * bound).exp() / erlang_b(servers.get() - 1, offered);
        let mut queue = Self { patience, scale, rate, theta, free, served: 0.0, lost: 0.0 };
        queue.served = queue.waiting_from(0.0);
        queue.lost = rate * service_gap * (-theta.max(0.0) * bound).exp();
        queue
    }

    /// The share of arrivals that leave without service.
    pub fn lost_share(&self) -> f64 {
        self.share(self.lost)
    }

    /// The share of arrivals that are served: 1 minus the lost share, computed without cancellation.
    pub fn served_share(&self) -> f64 {
        1.0 / (1.0 + self.lost / (self.free + self.served))
    }

    /// The share of arrivals that do not find a free server.
    pub fn waiting_share(&self) -> f64 {
        self.share(self.served + self.lost)
    }

    /// The share of arrivals whose virtual wait exceeds `time`. If `time` is at least the patience, it is the lost
    /// share.
    pub fn waits_longer(&self, time: f64) -> f64 {
        self.share(self.waiting_from(time / self.scale) + self.lost)
    }

    /// The mean wait of served arrivals, in the unit of the patience.
    pub fn mean_wait_of_served(&self) -> f64 {
        // Compute the waiting share first, because either weight may be near 0 or infinite.
        let waiting_share = if self.served > 0.0 { self.served / (self.free + self.served) } else { 0.0 };
        waiting_share * self.mean_of_waiting() * self.scale
    }

    /// The mean wait of all arrivals; lost ones have waited for their whole patience.
    pub fn mean_wait(&self) -> f64 {
        self.served_share() * self.mean_wait_of_served() + self.lost_share() * self.patience
    }

    /// The wait within which `share` of *all* arrivals begin their service; `None` if too many are lost.
    pub fn wait_quantile(&self, share: f64) -> Option<f64> {
        let longer = 1.0 - share;
        if self.lost_share() > longer {
            return None;
        }
        if self.waiting_share() <= longer {
            return Some(0.0);
        }
        let (mut low, mut high) = (0.0, self.patience);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if self.waits_longer(middle) > longer {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(high)
    }

    /// The weight of a virtual wait from `time` (scaled) to the patience.
    fn waiting_from(&self, time: f64) -> f64 {
        let (bound, theta) = (self.bound(), self.theta);
        let span = (bound - time.max(0.0)).max(0.0);
        let growth = theta.abs() * span;
        // ∫ e^(-|θ|x) dx over the span, from the end where the density is higher.
        let integral = if growth < FLAT { span } else { -(-growth).exp_m1() / theta.abs() };
        let height = (-theta.max(0.0) * (bound - span)).exp();
        self.rate * height * integral
    }

    /// The mean virtual wait (scaled) of arrivals that wait and are served.
    fn mean_of_waiting(&self) -> f64 {
        let bound = self.bound();
        let x = self.theta * bound;
        if x.abs() < NEARLY_FLAT {
            return bound * (0.5 - x / 12.0);
        }
        // The mean of a density e^(-θx) from 0 to the bound.
        1.0 / self.theta - bound / x.exp_m1()
    }

    fn bound(&self) -> f64 {
        self.patience / self.scale
    }

    fn share(&self, weight: f64) -> f64 {
        (weight / (self.free + self.served + self.lost)).clamp(0.0, 1.0)
    }
}

/// The share of arrivals that are lost in overload with any patience, 1 - 1/ρ; 0 without overload (Whitt 2006).
pub fn lost_in_overload(utilisation: f64) -> f64 {
    if utilisation > 1.0 { 1.0 - 1.0 / utilisation } else { 0.0 }
}

/// Below this exponent, the exponential is approximated by 1, with an error of about the exponent.
const FLAT: f64 = 1e-12;
/// Below this exponent, the mean is computed from its series; the next term is the exponent's third power / 720.
const NEARLY_FLAT: f64 = 1e-3;
/// Bisection steps: they narrow the interval to 10^-12 of the patience.
const HALVINGS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::waiting::{erlang_c, mean_wait_exponential, waits_longer};
    use proptest::prelude::*;

    fn servers(servers: u32) -> NonZeroU32 {
        NonZeroU32::new(servers).expect("a server")
    }

    fn near(value: f64, expect: f64) {
        assert!((value - expect).abs() <= expect.abs() * 1e-6 + 1e-12, "{value}, not {expect}");
    }

    #[test]
    fn without_patience_it_is_erlangs_loss_and_with_enough_erlangs_wait() {
        for (c, offered) in [(1, 0.5), (2, 1.9), (23, 22.5), (1_000, 990.0)] {
            let impatient = BoundedWait::new(servers(c), offered, 750.0, 0.12, 0.0);
            near(impatient.lost_share(), erlang_b(c, offered));
            near(impatient.waiting_share(), erlang_b(c, offered));
            near(impatient.mean_wait(), 0.0);
            let patient = BoundedWait::new(servers(c), offered, 750.0, 1.0, 1e8);
            near(patient.lost_share(), 0.0);
            near(patient.waiting_share(), erlang_c(c, offered).expect("steady"));
            near(patient.mean_wait(), mean_wait_exponential(c, offered, 750.0).expect("steady"));
        }
    }

    #[test]
    fn below_overload_the_loss_is_the_one_of_boots_and_tijms() {
        for (c, offered, v, patience) in
            [(1, 0.5, 1.0, 2.0), (4, 3.9, 0.0, 0.5), (23, 22.5, 0.12, 1.3), (100, 99.0, 3.9, 0.2)]
        {
            let longer = waits_longer(c, offered, 1.0, v, patience).expect("steady");
            let utilisation = offered / f64::from(c);
            let expect = (1.0 - utilisation) * longer / (1.0 - utilisation * longer);
            near(BoundedWait::new(servers(c), offered, 1.0, v, patience).lost_share(), expect);
        }
    }

    /// M/M/1+D as it stands in textbooks: at ρ = 1 the loss is S / (2S + τ), each state being equally weighted.
    #[test]
    fn one_server_at_full_load() {
        for patience in [0.0, 1.0, 10.0, 1e6] {
            near(BoundedWait::new(servers(1), 1.0, 1.0, 1.0, patience).lost_share(), 1.0 / (2.0 + patience));
        }
    }

    #[test]
    fn in_overload_the_loss_is_the_excess_and_the_wait_the_patience() {
        for (c, offered) in [(20, 22.5), (32, 64.0), (1, 1.5), (10_000, 20_000.0)] {
            let queue = BoundedWait::new(servers(c), offered, 750.0, 0.12, 600_000.0);
            near(queue.lost_share(), lost_in_overload(offered / f64::from(c)));
            assert!(
                queue.mean_wait_of_served() > 0.95 * 600_000.0 && queue.mean_wait_of_served() <= 600_000.0
            );
            assert_eq!(queue.wait_quantile(0.95), None);
        }
        assert_eq!(lost_in_overload(0.5), 0.0);
        near(lost_in_overload(1.125), 1.0 / 9.0);
    }

    #[test]
    fn results_are_continuous_at_full_load() {
        let around =
            [20.0 * (1.0 - 1e-9), 20.0, 20.0 * (1.0 + 1e-9), 20.0 * (1.0 - 1e-4), 20.0 * (1.0 + 1e-4)];
        let at = |offered| BoundedWait::new(servers(20), offered, 750.0, 0.12, 1000.0);
        for offered in around {
            let (queue, middle) = (at(offered), at(20.0));
            for (value, expect) in [
                (queue.lost_share(), middle.lost_share()),
                (queue.mean_wait_of_served(), middle.mean_wait_of_served()),
                (queue.waits_longer(300.0), middle.waits_longer(300.0)),
            ] {
                assert!((value / expect - 1.0).abs() < 0.01, "{offered}: {value}, {expect}");
            }
        }
    }

    proptest! {
        #[test]
        fn shares_are_from_0_to_1_and_loss_grows_with_load_and_falls_with_patience(
            c in prop_oneof![1_u32..40, 1_u32..=10_000],
            utilisation in prop_oneof![Just(0.0), Just(1.0), 0.0..2.0_f64, 0.999_999..1.000_001_f64, 0.0..1e6_f64],
            mean in prop_oneof![1e-3..1.0_f64, 1.0..600_000.0_f64],
            v in prop_oneof![Just(0.0), 0.0..4.0_f64, 0.0..1e7_f64],
            patience in prop_oneof![Just(0.0), 0.0..600_000.0_f64],
            part in 0.0..=1.0_f64,
        ) {
            let offered = utilisation * f64::from(c);
            let queue = BoundedWait::new(servers(c), offered, mean, v, patience);
            let lost = queue.lost_share();
            prop_assert!((0.0..=1.0).contains(&lost), "{queue:?}");
            prop_assert!((lost + queue.served_share() - 1.0).abs() < 1e-12, "{queue:?}");
            prop_assert!(lost >= lost_in_overload(utilisation) - 1e-9, "more is served than can be: {queue:?}");
            let waiting = queue.waiting_share();
            prop_assert!((lost..=1.0).contains(&waiting), "{queue:?}");
            let longer = queue.waits_longer(patience * part);
            prop_assert!(longer >= lost * (1.0 - 1e-9) && longer <= waiting * (1.0 + 1e-9), "{longer} {queue:?}");
            for wait in [queue.mean_wait_of_served(), queue.mean_wait()] {
                prop_assert!(wait >= 0.0 && wait <= patience * (1.0 + 1e-9), "{wait} {queue:?}");
            }
            if let Some(wait) = queue.wait_quantile(part) {
                prop_assert!((0.0..=patience).contains(&wait), "{wait} {queue:?}");
            }
            let fewer = BoundedWait::new(servers(c), offered * part, mean, v, patience);
            prop_assert!(fewer.lost_share() <= lost * (1.0 + 1e-6) + 1e-12, "{fewer:?} {queue:?}");
            let hasty = BoundedWait::new(servers(c), offered, mean, v, patience * part);
            prop_assert!(hasty.lost_share() >= lost * (1.0 - 1e-6) - 1e-12, "{hasty:?} {queue:?}");
        }
    }
}
