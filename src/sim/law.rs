//! The distribution of a profile as curves and moments: what formulas need that draws do not.

use std::sync::Arc;

use super::{
    log_normal,
    profile::{Profile, WORK_LIMIT_MS},
};

/// Above this many means an exponential draw is rarer than one in 10^17: cutting it off changes nothing.
const NEVER_REACHED_MEANS: f64 = 40.0;
/// Halvings of an interval until its ends are neighbours, from any two times up to the limit.
const HALVINGS: usize = 200;

/// The distribution of a [`Profile`]'s draws, cut at 600,000 ms as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Law {
    /// Its samples, if it has any, in order.
    profile: Profile,
    mean_ms: f64,
    squared_variation: f64,
}

impl Law {
    /// Works out the moments, and sorts the samples of an `empirical` profile.
    pub fn of(profile: &Profile) -> Self {
        let mean_ms = profile.mean_ms();
        let variance = variance(profile, mean_ms);
        let squared_variation = if mean_ms > 0.0 { (variance / mean_ms / mean_ms).max(0.0) } else { 0.0 };
        let profile = match profile {
            Profile::Empirical { name, samples } => {
                let mut sorted = samples.to_vec();
                sorted.sort_by(f64::total_cmp);
                Profile::Empirical { name: name.clone(), samples: Arc::from(sorted) }
            }
            other => other.clone(),
        };
        Self { profile, mean_ms, squared_variation }
    }

    /// The mean, milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.mean_ms
    }

    /// The squared coefficient of variation: the variance divided by the square of the mean; 0 for a mean of 0.
    pub fn squared_variation(&self) -> f64 {
        self.squared_variation
    }

    /// Whether the time that is left never depends on the time that has passed, as only with `exponential`.
    pub fn is_memoryless(&self) -> bool {
        matches!(self.profile, Profile::Exponential { mean } if mean * NEVER_REACHED_MEANS <= WORK_LIMIT_MS)
    }

    /// The share of draws of at most `ms`, 0 to 1.
    pub fn share_within(&self, ms: f64) -> f64 {
        if ms >= WORK_LIMIT_MS {
            return 1.0;
        }
        let step = |at: f64| if ms >= at { 1.0 } else { 0.0 };
        match self.profile {
            Profile::Constant { ms: at } => step(at),
            Profile::Uniform { min, max } if min < max => ((ms - min) / (max - min)).clamp(0.0, 1.0),
            Profile::Uniform { max, .. } => step(max),
            Profile::Exponential { mean } if mean > 0.0 => -(-ms.max(0.0) / mean).exp_m1(),
            Profile::Exponential { .. } => step(0.0),
            Profile::LogNormal { median, sigma } => log_normal::share_within(median, sigma, ms),
            Profile::Bimodal { fast, slow, share, sigma } => {
                log_normal::share_within(fast, sigma, ms) * (1.0 - share)
                    + log_normal::share_within(slow, sigma, ms) * share
            }
            Profile::Empirical { ref samples, .. } => {
                samples.partition_point(|sample| *sample <= ms) as f64 / samples.len() as f64
            }
        }
    }

    /// The smallest time within which `share` of the draws lies, milliseconds: the least draw for 0, the greatest
    /// for 1.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let share = share.clamp(0.0, 1.0);
        let ms = match self.profile {
            Profile::Constant { ms } => ms,
            Profile::Uniform { min, max } => min + (max - min) * share,
            Profile::Exponential { mean } if mean > 0.0 => -mean * (-share).ln_1p(),
            Profile::Exponential { .. } => 0.0,
            Profile::LogNormal { median, sigma } => log_normal::quantile_ms(median, sigma, share),
            Profile::Bimodal { fast, slow, share: slow_share, sigma } => {
                let (fast_share, slow_ms) = (1.0 - slow_share, log_normal::quantile_ms(slow, sigma, share));
                let fast_ms = log_normal::quantile_ms(fast, sigma, share);
                match (fast_share > 0.0, slow_share > 0.0) {
                    (true, true) => self.between(fast_ms.min(slow_ms), fast_ms.max(slow_ms), share),
                    (true, false) => fast_ms,
                    (false, _) => slow_ms,
                }
            }
            Profile::Empirical { ref samples, .. } => {
                let rank = (share * samples.len() as f64).ceil() as usize;
                samples[rank.clamp(1, samples.len()) - 1]
            }
        };
        ms.min(WORK_LIMIT_MS)
    }

    /// The smallest time from `low` to `high` within which `share` lies. The quantile of a mixture lies between
    /// those of its parts.
    fn between(&self, low: f64, high: f64, share: f64) -> f64 {
        let (mut low, mut high) = (low.min(WORK_LIMIT_MS), high.min(WORK_LIMIT_MS));
        if self.share_within(low) >= share {
            return low;
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                break;
            }
            if self.share_within(middle) >= share {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }
}

/// The variance in square milliseconds. Closed forms; the exponential's is of `min(draw, limit)`.
fn variance(profile: &Profile, mean_ms: f64) -> f64 {
    let log_normal = |median, sigma| log_normal::capped_moment(median, sigma, 2.0, WORK_LIMIT_MS);
    match *profile {
        Profile::Constant { .. } => 0.0,
        Profile::Uniform { min, max } => (max - min).powi(2) / 12.0,
        Profile::Exponential { mean } if mean > 0.0 => {
            let limit = WORK_LIMIT_MS / mean;
            2.0 * mean * mean * (1.0 - (-limit).exp() * (1.0 + limit)) - mean_ms * mean_ms
        }
        Profile::Exponential { .. } => 0.0,
        Profile::LogNormal { median, sigma } => log_normal(median, sigma) - mean_ms * mean_ms,
        Profile::Bimodal { fast, slow, share, sigma } => {
            log_normal(fast, sigma) * (1.0 - share) + log_normal(slow, sigma) * share - mean_ms * mean_ms
        }
        Profile::Empirical { ref samples, .. } => {
            samples.iter().map(|sample| (sample - mean_ms).powi(2)).sum::<f64>() / samples.len() as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    const DRAWS: usize = 40_000;

    fn profile(text: &str) -> Profile {
        text.parse().expect(text)
    }

    fn measured(samples: &[f64]) -> Profile {
        Profile::Empirical { name: "measured".to_owned(), samples: samples.into() }
    }

    /// Moments and curve against draws, within four standard errors. `kurtosis` is the fourth standardised moment
    /// that the standard error of the variance needs.
    fn check(profile: &Profile) {
        let law = Law::of(profile);
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut draws: Vec<f64> = (0..DRAWS).map(|_| profile.sample(&mut rng)).collect();
        draws.sort_by(f64::total_cmp);
        let n = DRAWS as f64;
        let central = |power: i32| draws.iter().map(|ms| (ms - law.mean_ms()).powi(power)).sum::<f64>() / n;
        let variance = law.squared_variation() * law.mean_ms().powi(2);
        let mean_error = 4.0 * (variance / n).sqrt() + 1e-9;
        assert!(central(1).abs() <= mean_error, "{profile}: mean {} is off by {}", law.mean_ms(), central(1));
        let spread_error = 4.0 * ((central(4) - variance * variance).max(0.0) / n).sqrt() + 1e-9;
        assert!((central(2) - variance).abs() <= spread_error, "{profile}: {} not {variance}", central(2));
        for share in [0.01, 0.25, 0.5, 0.9, 0.95, 0.99] {
            let ms = law.quantile_ms(share);
            // A draw of a constant goes through a logarithm and back: it is rounded.
            let within = draws.partition_point(|draw| *draw <= ms * (1.0 + 1e-9)) as f64 / n;
            let below = draws.partition_point(|draw| *draw < ms * (1.0 - 1e-9)) as f64 / n;
            let error = 4.0 * (share * (1.0 - share) / n).sqrt();
            assert!(below - error <= share && share <= within + error, "{profile}: {share} at {ms}");
            assert!((law.share_within(ms) - within).abs() <= error, "{profile}: {within} within {ms}");
        }
    }

    #[test]
    fn moments_and_curves_are_those_of_the_draws() {
        for text in [
            "constant:250",
            "uniform:300,1200",
            "uniform:5,5",
            "exponential:100",
            "exponential:0",
            "exponential:600000",
            "lognormal:200,0.5",
            "lognormal:0,1",
            "lognormal:100000,1.5",
            "bimodal:50,1000,0.1,0",
            "bimodal:50,1000,0.1",
            "bimodal:1000,50,0.9,0.3",
            "bimodal:0,1000,0.5",
            "bimodal:10,90,0",
            "bimodal:10,90,1",
        ] {
            check(&profile(text));
        }
        check(&measured(&[30.0, 10.0, 20.0, 20.0, 500.0]));
    }

    #[test]
    fn moments_have_the_values_of_the_closed_forms() {
        for (text, mean_ms, squared_variation) in [
            ("constant:250", 250.0, 0.0),
            ("uniform:300,1200", 750.0, 0.12),
            ("exponential:100", 100.0, 1.0),
            // exp(sigma^2 / 2) medians, exp(sigma^2) - 1
            ("lognormal:200,0.5", 226.629_690_6, 0.284_025_417),
            // 0.9 * 0.1 * 950^2 / 145^2
            ("bimodal:50,1000,0.1,0", 145.0, 3.863_258_026),
        ] {
            let law = Law::of(&profile(text));
            assert!((law.mean_ms() / mean_ms - 1.0).abs() < 1e-8, "{text}: {}", law.mean_ms());
            assert!((law.squared_variation() - squared_variation).abs() < 1e-8, "{text}: {law:?}");
        }
        assert!(Law::of(&profile("exponential:100")).is_memoryless());
        assert!(!Law::of(&profile("exponential:600000")).is_memoryless(), "most of it is cut off");
    }

    #[test]
    fn samples_keep_their_order_in_the_profile_and_have_one_in_the_law() {
        let given = measured(&[3.0, 1.0, 2.0, 2.0]);
        let law = Law::of(&given);
        assert_eq!(given, measured(&[3.0, 1.0, 2.0, 2.0]));
        assert_eq!(
            [0.0, 0.25, 0.26, 0.75, 0.76, 1.0].map(|share| law.quantile_ms(share)),
            [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
        );
        assert_eq!([0.9, 1.0, 2.0, 3.0].map(|ms| law.share_within(ms)), [0.0, 0.25, 0.75, 1.0]);
    }

    fn any_profile() -> impl Strategy<Value = Profile> {
        let ms = || prop_oneof![Just(0.0), 0.0..600_000.0_f64, Just(600_000.0)];
        let sigma = || prop_oneof![Just(0.0), 0.0..=4.0_f64];
        prop_oneof![
            ms().prop_map(|ms| Profile::Constant { ms }),
            (ms(), ms()).prop_map(|(a, b)| Profile::Uniform { min: a.min(b), max: a.max(b) }),
            ms().prop_map(|mean| Profile::Exponential { mean }),
            (ms(), sigma()).prop_map(|(median, sigma)| Profile::LogNormal { median, sigma }),
            (ms(), ms(), 0.0..=1.0_f64, sigma()).prop_map(|(fast, slow, share, sigma)| Profile::Bimodal {
                fast,
                slow,
                share,
                sigma
            }),
            prop::collection::vec(ms(), 1..20).prop_map(|samples| measured(&samples)),
        ]
    }

    proptest! {
        #[test]
        fn a_law_is_one(profile in any_profile(), share in 0.0..=1.0_f64, ms in 0.0..700_000.0_f64, more in 0.0..700_000.0_f64) {
            let law = Law::of(&profile);
            prop_assert!((0.0..=WORK_LIMIT_MS).contains(&law.mean_ms()), "{law:?}");
            prop_assert!(law.squared_variation().is_finite() && law.squared_variation() >= 0.0, "{law:?}");
            let within = law.share_within(ms);
            prop_assert!((0.0..=1.0).contains(&within) && within <= law.share_within(ms + more));
            let quantile_ms = law.quantile_ms(share);
            prop_assert!((0.0..=WORK_LIMIT_MS).contains(&quantile_ms), "{quantile_ms}");
            // A rounding away from the quantile the share is reached, and not before.
            prop_assert!(law.share_within(quantile_ms * (1.0 + 1e-9) + 1e-9) >= share - 1e-9);
            prop_assert!(quantile_ms == 0.0 || law.share_within(quantile_ms * (1.0 - 1e-9) - 1e-9) <= share + 1e-9);
        }
    }
}
