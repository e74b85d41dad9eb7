//! The log-normal distribution: the curve of `lognormal`, and of each mode of `bimodal`.
//!
//! Its logarithm is normal around `ln median` with the standard deviation `sigma`. A median or a sigma of 0 makes
//! it a constant.

use std::f64::consts::SQRT_2;

use statrs::function::erf::{erfc, erfc_inv};

/// The share of draws of at most `ms`.
pub(super) fn share_within(median: f64, sigma: f64, ms: f64) -> f64 {
    if median == 0.0 || sigma == 0.0 {
        return if ms >= median { 1.0 } else { 0.0 };
    }
    if ms <= 0.0 { 0.0 } else { normal((ms.ln() - median.ln()) / sigma) }
}

/// The time within which a share of the draws lies; infinite for all of them.
pub(super) fn quantile_ms(median: f64, sigma: f64, share: f64) -> f64 {
    if median == 0.0 || sigma == 0.0 {
        return median;
    }
    median * (-SQRT_2 * sigma * erfc_inv(2.0 * share)).exp()
}

/// The mean of `min(draw, limit) ^ power`.
pub(super) fn capped_moment(median: f64, sigma: f64, power: f64, limit: f64) -> f64 {
    if median == 0.0 || sigma == 0.0 {
        return median.min(limit).powf(power);
    }
    let at_limit = (limit.ln() - median.ln()) / sigma;
    let below =
        (power * median.ln() + (power * sigma).powi(2) / 2.0).exp() * normal(at_limit - power * sigma);
    below + limit.powf(power) * normal(-at_limit)
}

/// The share of the standard normal distribution up to `x`.
fn normal(x: f64) -> f64 {
    erfc(-x / SQRT_2) / 2.0
}
