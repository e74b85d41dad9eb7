//! Waiting for one of c servers without a bound on the wait: M/M/c, M/D/c, M/G/c, first come, first served.
//!
//! `offered` is the load in servers: arrivals per second times the mean service time in seconds, λS. The utilisation
//! ρ is `offered / servers`. A steady state needs ρ < 1; functions that need a steady state return `None` otherwise.
//! Waits are in the unit of the mean service time.

/// The share of arrivals that are lost if none may wait: M/G/c/c, for every distribution of the service time.
///
/// Exact. Erlang (1917), by the recurrence B(n) = a B(n-1) / (n + a B(n-1)), which neither overflows nor cancels.
pub fn erlang_b(servers: u32, offered: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, n| {
        let busy = offered * blocked;
        busy / (f64::from(n) + busy)
    })
}

/// The share of arrivals that must wait in M/M/c.
///
/// Exact for M/M/c. Erlang (1917): C = B / (1 - ρ (1 - B)).
pub fn erlang_c(servers: u32, offered: f64) -> Option<f64> {
    let utilisation = steady(servers, offered)?;
    let blocked = erlang_b(servers, offered);
    Some(blocked / (1.0 - utilisation * (1.0 - blocked)))
}

/// The mean wait in M/M/c, including the arrivals that do not wait.
///
/// Exact: W = C S / (c - λS).
pub fn mean_wait_exponential(servers: u32, offered: f64, mean: f64) -> Option<f64> {
    Some(erlang_c(servers, offered)? * mean / (f64::from(servers) - offered))
}

/// The mean wait in M/D/c, where every service takes the same time.
///
/// Exact for c = 1 and approximate otherwise: Cosmetatos, "Some approximate equilibrium results for the multi-server
/// queue (M/G/r)", Operational Research Quarterly 27 (1976). His correction grows without bound as ρ goes to 0, so it
/// is capped at (c - 1) / (c + 1), which gives the wait in light traffic, W_M c / (c + 1) (Burman and Smith, "A
/// light-traffic theorem for multi-server queues", Mathematics of Operations Research 8, 1983).
pub fn mean_wait_constant(servers: u32, offered: f64, mean: f64) -> Option<f64> {
    let exponential = mean_wait_exponential(servers, offered, mean)?;
    let c = f64::from(servers);
    let spare = 1.0 - offered / c;
    let light = (c - 1.0) / (c + 1.0);
    // Without load this divides by 0: the result is infinite, or NaN for one server; `min` handles both.
    let correction = (spare * (c - 1.0) * ((4.0 + 5.0 * c).sqrt() - 2.0) / (16.0 * offered)).min(light);
    Some(exponential / 2.0 * (1.0 + correction))
}

/// The mean wait in M/G/c, from the squared coefficient of variation of the service time.
///
/// Exact for c = 1 (Pollaczek and Khinchine) and for M/M/c; otherwise approximate: Kimura, "A two-moment
/// approximation for the mean waiting time in the GI/G/s queue", Management Science 32 (1986), for Poisson
/// arrivals: W = (1 + v) / (2 v / W_M + (1 - v) / W_D).
pub fn mean_wait(servers: u32, offered: f64, mean: f64, squared_variation: f64) -> Option<f64> {
    let exponential = mean_wait_exponential(servers, offered, mean)?;
    let constant = mean_wait_constant(servers, offered, mean)?;
    // Too small to divide by.
    if exponential < f64::MIN_POSITIVE {
        return Some(0.0);
    }
    // W_M / W_D is from 1 to 2, so the divisor is at least 2.
    let v = squared_variation;
    Some(exponential * ((1.0 + v) / (2.0 * v + (1.0 - v) * (exponential / constant))))
}

/// The share of arrivals that wait longer than `time` in M/G/c.
///
/// Exact for M/M/c: C exp(-(c - λS) t / S). Otherwise approximate, and only in heavy traffic, from a ρ of
/// [`HEAVY_TRAFFIC`]: the exponent is divided by (1 + v) / 2 (Köllerström, "Heavy traffic theory for queues with
/// several servers", Journal of Applied Probability 11, 1974).
pub fn waits_longer(servers: u32, offered: f64, mean: f64, squared_variation: f64, time: f64) -> Option<f64> {
    let waits = erlang_c(servers, offered)?;
    let decay = decay(servers, offered, squared_variation);
    Some(if time <= 0.0 { waits } else { waits * (-decay * time / mean).exp() })
}

/// The wait that a share of `1 - share` of the arrivals exceeds in M/G/c: the inverse of [`waits_longer`], with the
/// same accuracy.
pub fn wait_quantile(
    servers: u32,
    offered: f64,
    mean: f64,
    squared_variation: f64,
    share: f64,
) -> Option<f64> {
    let waits = erlang_c(servers, offered)?;
    let decay = decay(servers, offered, squared_variation);
    let longer = 1.0 - share;
    Some(if longer >= waits { 0.0 } else { (waits / longer).ln() / decay * mean })
}

/// The lowest utilisation at which the tail of the wait is known for every distribution of the service time.
pub const HEAVY_TRAFFIC: f64 = 0.9;

/// The decay rate of the tail of the wait, per mean service time.
fn decay(servers: u32, offered: f64, squared_variation: f64) -> f64 {
    (f64::from(servers) - offered) * 2.0 / (1.0 + squared_variation)
}

/// The utilisation, if it allows a steady state.
fn steady(servers: u32, offered: f64) -> Option<f64> {
    (offered < f64::from(servers)).then(|| offered / f64::from(servers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(value: f64, expect: f64) {
        assert!((value - expect).abs() <= expect.abs() * 1e-6 + 1e-12, "{value}, not {expect}");
    }

    #[test]
    fn textbook_values() {
        // Gross and Harris, "Fundamentals of Queueing Theory", the eye clinic: 6 patients an hour, 3 doctors, 20 min
        // each: Lq = 8/9, Wq = 4/27 h.
        near(mean_wait_exponential(3, 2.0, 20.0).expect("steady"), 4.0 / 27.0 * 60.0);
        near(erlang_c(3, 2.0).expect("steady"), 4.0 / 9.0);
        // Hillier and Lieberman, "Introduction to Operations Research", the emergency room: 2 an hour, 2 doctors,
        // 20 min each: Wq = 1/24 h.
        near(mean_wait_exponential(2, 2.0 / 3.0, 20.0).expect("steady"), 60.0 / 24.0);
        // By Erlang's formula in exact fractions.
        for (servers, offered, blocked) in [
            (1, 1.0, 0.5),
            (5, 3.0, 0.110_054),
            (10, 5.0, 0.018_384_57),
            (10, 10.0, 0.214_582_3),
            (100, 100.0, 0.075_700_45),
        ] {
            assert!((erlang_b(servers, offered) - blocked).abs() < 1e-6, "{servers}, {offered}");
        }
    }

    #[test]
    fn few_servers_have_closed_forms() {
        for utilisation in [0.0, 0.1, 0.5, 0.9, 0.999] {
            // M/M/1: ρS / (1 - ρ); M/D/1 half of it; M/M/2: C = 2ρ² / (1 + ρ).
            let alone = utilisation * 10.0 / (1.0 - utilisation);
            near(mean_wait_exponential(1, utilisation, 10.0).expect("steady"), alone);
            near(mean_wait_constant(1, utilisation, 10.0).expect("steady"), alone / 2.0);
            near(mean_wait(1, utilisation, 10.0, 0.12).expect("steady"), alone * 0.56);
            near(mean_wait(1, utilisation, 10.0, 9.0).expect("steady"), alone * 5.0);
            let both = 2.0 * utilisation * utilisation / (1.0 + utilisation);
            near(erlang_c(2, 2.0 * utilisation).expect("steady"), both);
        }
    }

    #[test]
    fn kimura_joins_exponential_and_constant() {
        for (servers, offered) in [(2, 1.5), (32, 22.5), (24, 22.5), (10_000, 9_950.0)] {
            let exponential = mean_wait_exponential(servers, offered, 1.0).expect("steady");
            near(mean_wait(servers, offered, 1.0, 1.0).expect("steady"), exponential);
            let constant = mean_wait_constant(servers, offered, 1.0).expect("steady");
            near(mean_wait(servers, offered, 1.0, 0.0).expect("steady"), constant);
        }
    }

    #[test]
    fn at_full_load_there_is_no_steady_state() {
        for offered in [8.0, 9.0, 1e12] {
            assert_eq!(erlang_c(8, offered), None);
            assert_eq!(mean_wait(8, offered, 1.0, 0.5), None);
            assert_eq!(waits_longer(8, offered, 1.0, 0.5, 1.0), None);
            assert_eq!(wait_quantile(8, offered, 1.0, 0.5, 0.95), None);
        }
        assert_eq!(erlang_c(0, 0.0), None, "without a server nothing is served");
    }

    proptest! {
        #[test]
        fn shares_are_from_0_to_1_and_waits_grow_with_load(
            servers in prop_oneof![1_u32..40, 1_u32..=10_000],
            utilisation in prop_oneof![Just(0.0), 0.0..1.0_f64, 0.999..1.0_f64],
            less in 0.0..=1.0_f64,
            v in 0.0..1e6_f64,
            time in 0.0..1e6_f64,
            share in 0.0..1.0_f64,
        ) {
            let offered = utilisation * f64::from(servers);
            prop_assume!(offered < f64::from(servers));
            let at = |offered: f64| {
                let waits = erlang_c(servers, offered).expect("steady");
                let mean = mean_wait(servers, offered, 750.0, v).expect("steady");
                (erlang_b(servers, offered), waits, mean)
            };
            let (blocked, waits, mean) = at(offered);
            prop_assert!((0.0..=1.0).contains(&blocked) && (0.0..=1.0 + 1e-9).contains(&waits), "{blocked} {waits}");
            prop_assert!(blocked <= waits * (1.0 + 1e-9));
            prop_assert!(mean.is_finite() && mean >= 0.0, "{mean}");
            let (fewer_blocked, fewer_wait, shorter) = at(offered * less);
            prop_assert!(fewer_blocked <= blocked * (1.0 + 1e-9) && fewer_wait <= waits * (1.0 + 1e-9));
            // Where Cosmetatos' correction falls faster than the wait grows, by a little.
            prop_assert!(shorter <= mean * (1.0 + 1e-6), "{shorter} {mean}");
            let longer = waits_longer(servers, offered, 750.0, v, time).expect("steady");
            prop_assert!((0.0..=waits).contains(&longer), "{longer}");
            let quantile = wait_quantile(servers, offered, 750.0, v, share).expect("steady");
            prop_assert!(quantile.is_finite() && quantile >= 0.0, "{quantile}");
            let left = waits_longer(servers, offered, 750.0, v, quantile).expect("steady");
            prop_assert!(left <= (1.0 - share) * (1.0 + 1e-6), "{left}");
        }
    }
}
