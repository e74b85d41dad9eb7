//! How long a service works on a call: a distribution, written as text.

use std::{fmt, path::Path, str::FromStr, sync::Arc};

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp, LogNormal, Uniform};

use super::log_normal;
use crate::{
    config::{Allowed, Fraction, Invalid, read_time},
    input,
};

/// Draws are cut off here: ten minutes.
pub(super) const WORK_LIMIT_MS: f64 = 600_000.0;
/// The widest log-normal that is allowed; its mean is already 3,600 times its median.
const SIGMA_LIMIT: f64 = 4.0;
/// The spread of each mode of `bimodal` when none is given.
const BIMODAL_SIGMA: f64 = 0.1;
/// An `empirical` file holds at most this many samples ...
const SAMPLE_LIMIT: usize = 1_000_000;
/// ... in at most this many bytes.
const SAMPLE_FILE_LIMIT_MIB: u64 = 16;

/// A distribution of service time, in milliseconds. No draw exceeds 600,000 ms.
#[derive(Debug, Clone, PartialEq)]
pub enum Profile {
    /// Always the same.
    Constant {
        /// Milliseconds.
        ms: f64,
    },
    /// Equally likely between two bounds.
    Uniform {
        /// Lower bound, milliseconds.
        min: f64,
        /// Upper bound, milliseconds.
        max: f64,
    },
    /// Memoryless.
    Exponential {
        /// Milliseconds.
        mean: f64,
    },
    /// The usual shape of measured latencies.
    LogNormal {
        /// Milliseconds.
        median: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// Two log-normal modes, as a cache hit and a miss.
    Bimodal {
        /// Median of the fast mode, milliseconds.
        fast: f64,
        /// Median of the slow mode, milliseconds.
        slow: f64,
        /// The share of slow calls, 0 to 1.
        share: f64,
        /// Standard deviation of the logarithm, of both modes.
        sigma: f64,
    },
    /// Measured samples, drawn again with equal chance.
    Empirical {
        /// The file as it was named.
        name: String,
        /// Milliseconds, at least one.
        samples: Arc<[f64]>,
    },
}

impl Allowed for Profile {
    const ALLOWED: &'static str = "constant:MS, uniform:MIN,MAX, exponential:MEAN, lognormal:MEDIAN,SIGMA, \
         bimodal:FAST,SLOW,SHARE[,SIGMA] or, at start only, empirical:FILE \
         (times from 0ms to 10m, a bare number is milliseconds; MIN <= MAX, SIGMA 0 to 4, SHARE 0 to 1)";
}

impl Profile {
    /// Parses a profile without a file, as a request or a `PATCH` may name it.
    ///
    /// # Errors
    /// Anything else, `empirical:` included, with what is allowed.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::read(text.trim()).ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, arguments) = text.split_once(':')?;
        let arguments: Vec<&str> = arguments.splitn(5, ',').collect();
        let sigma = |text: &str| text.trim().parse().ok().filter(|sigma| (0.0..=SIGMA_LIMIT).contains(sigma));
        Some(match (kind, &arguments[..]) {
            ("constant", &[ms]) => Self::Constant { ms: milliseconds(ms)? },
            ("uniform", &[min, max]) => {
                let (min, max) = (milliseconds(min)?, milliseconds(max)?);
                (min <= max).then_some(Self::Uniform { min, max })?
            }
            ("exponential", &[mean]) => Self::Exponential { mean: milliseconds(mean)? },
            ("lognormal", &[median, spread]) => {
                Self::LogNormal { median: milliseconds(median)?, sigma: sigma(spread)? }
            }
            ("bimodal", &[fast, slow, share, ref spread @ ..]) => Self::Bimodal {
                fast: milliseconds(fast)?,
                slow: milliseconds(slow)?,
                share: share.parse::<Fraction>().ok()?.get(),
                sigma: match spread {
                    [] => BIMODAL_SIGMA,
                    [spread] => sigma(spread)?,
                    _ => return None,
                },
            },
            _ => return None,
        })
    }

    /// Reads the samples of an `empirical` profile: one number of milliseconds a line, `#` comments.
    fn load(name: &str) -> Result<Self, Invalid> {
        let refuse = |why: String| Invalid::new(format!("empirical:{name}"), why);
        let text = input::read_text(Path::new(name), SAMPLE_FILE_LIMIT_MIB)
            .map_err(|error| refuse(format!("a readable file of milliseconds, one a line ({error})")))?;
        let mut samples = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            match milliseconds(line) {
                Some(ms) => samples.push(ms),
                None => {
                    let why = format!("a time from 0ms to 10m on each line; line {} is none", index + 1);
                    return Err(refuse(why));
                }
            }
        }
        if samples.is_empty() || samples.len() > SAMPLE_LIMIT {
            return Err(refuse(format!("1 to {SAMPLE_LIMIT} samples; it has {}", samples.len())));
        }
        Ok(Self::Empirical { name: name.to_owned(), samples: samples.into() })
    }

    /// A service time in milliseconds, 0 to 600,000.
    pub fn sample(&self, rng: &mut impl Rng) -> f64 {
        let ms = match *self {
            Self::Constant { ms } => ms,
            Self::Uniform { min, max } => {
                Uniform::new_inclusive(min, max).map_or(max, |between| between.sample(rng))
            }
            Self::Exponential { mean } => {
                if mean == 0.0 {
                    0.0
                } else {
                    Exp::new(1.0 / mean).map_or(mean, |exponential| exponential.sample(rng))
                }
            }
            Self::LogNormal { median, sigma } => log_normal(median, sigma, rng),
            Self::Bimodal { fast, slow, share, sigma } => {
                let median = if rng.random::<f64>() < share { slow } else { fast };
                log_normal(median, sigma, rng)
            }
            Self::Empirical { ref samples, .. } => samples[rng.random_range(0..samples.len())],
        };
        ms.min(WORK_LIMIT_MS)
    }

    /// The largest number of milliseconds that the profile is written with.
    pub fn largest_ms(&self) -> f64 {
        match *self {
            Self::Constant { ms } => ms,
            Self::Uniform { max, .. } => max,
            Self::Exponential { mean } => mean,
            Self::LogNormal { median, .. } => median,
            Self::Bimodal { fast, slow, .. } => fast.max(slow),
            Self::Empirical { ref samples, .. } => samples.iter().copied().fold(0.0, f64::max),
        }
    }

    /// The mean of a service time in milliseconds, at most 600,000.
    pub fn mean_ms(&self) -> f64 {
        let log_normal = |median, sigma| log_normal::capped_moment(median, sigma, 1.0, WORK_LIMIT_MS);
        match *self {
            Self::Constant { ms } => ms,
            Self::Uniform { min, max } => f64::midpoint(min, max),
            Self::Exponential { mean } if mean > 0.0 => -mean * (-WORK_LIMIT_MS / mean).exp_m1(),
            Self::Exponential { .. } => 0.0,
            Self::LogNormal { median, sigma } => log_normal(median, sigma),
            Self::Bimodal { fast, slow, share, sigma } => {
                log_normal(fast, sigma) * (1.0 - share) + log_normal(slow, sigma) * share
            }
            Self::Empirical { ref samples, .. } => samples.iter().sum::<f64>() / samples.len() as f64,
        }
    }

    /// Whether a draw can only have one value, so that none need be made.
    pub fn is_constant(&self) -> Option<f64> {
        match *self {
            Self::Constant { ms } => Some(ms),
            _ => None,
        }
    }
}

/// Milliseconds from 0 to 600,000: a bare number of them, or a time.
fn milliseconds(text: &str) -> Option<f64> {
    let ms = match text.trim().parse() {
        Ok(ms) => ms,
        // Exact to the nearest float, as a number of milliseconds with its fraction would be.
        Err(_) => read_time(text)?.as_nanos() as f64 / 1e6,
    };
    (0.0..=WORK_LIMIT_MS).contains(&ms).then_some(ms)
}

fn log_normal(median: f64, sigma: f64, rng: &mut impl Rng) -> f64 {
    if median == 0.0 {
        return 0.0;
    }
    LogNormal::new(median.ln(), sigma).map_or(median, |distribution| distribution.sample(rng))
}

/// Reads a profile given at start, `empirical:FILE` included.
impl FromStr for Profile {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.trim().strip_prefix("empirical:") {
            Some(name) => Self::load(name),
            None => Self::parse(text),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant { ms } => write!(f, "constant:{ms}"),
            Self::Uniform { min, max } => write!(f, "uniform:{min},{max}"),
            Self::Exponential { mean } => write!(f, "exponential:{mean}"),
            Self::LogNormal { median, sigma } => write!(f, "lognormal:{median},{sigma}"),
            Self::Bimodal { fast, slow, share, sigma } => {
                write!(f, "bimodal:{fast},{slow},{share},{sigma}")
            }
            Self::Empirical { name, .. } => write!(f, "empirical:{name}"),
        }
    }
}

impl serde::Serialize for Profile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

crate::documented!(@schema Profile, String, &[]);

/// Takes what [`Profile::parse`] takes: text from the network names no file.
impl<'de> serde::Deserialize<'de> for Profile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn moments(text: &str) -> (f64, f64, f64) {
        let profile: Profile = text.parse().expect(text);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut draws: Vec<f64> = (0..100_000).map(|_| profile.sample(&mut rng)).collect();
        draws.sort_by(f64::total_cmp);
        let mean = draws.iter().sum::<f64>() / 100_000.0;
        (mean, draws[50_000], draws[99_000])
    }

    /// Expected mean, median and p99 within 2%: with 100,000 draws more than six standard errors.
    fn check(text: &str, expect: (f64, f64, f64)) {
        let (mean, p50, p99) = moments(text);
        for (name, got, want) in [("mean", mean, expect.0), ("p50", p50, expect.1), ("p99", p99, expect.2)] {
            assert!((got - want).abs() <= want * 0.02 + 1e-9, "{text} {name}: {got}, not {want}");
        }
        let stated = text.parse::<Profile>().expect(text).mean_ms();
        assert!((stated - expect.0).abs() <= expect.0 * 0.02 + 1e-9, "{text}: {stated}");
    }

    #[test]
    fn draws_have_the_distribution_that_was_written() {
        check("constant:250", (250.0, 250.0, 250.0));
        check("uniform:300,1200", (750.0, 750.0, 1191.0));
        check("exponential:100", (100.0, 69.3, 460.5));
        // exp(mu + sigma^2/2), exp(mu), exp(mu + 2.326 sigma)
        check("lognormal:200,0.5", (226.6, 200.0, 640.1));
        // 90% at 50, 10% at 1000, no spread.
        check("bimodal:50,1000,0.1,0", (145.0, 50.0, 1000.0));
        check("exponential:0", (0.0, 0.0, 0.0));
    }

    #[test]
    fn times_and_shares_may_say_their_units() {
        for (text, same) in [
            ("uniform:50ms,1.2s", "uniform:50,1200"),
            ("constant: 0.3s", "constant:300"),
            ("bimodal:50,1s,10%", "bimodal:50,1000,0.1,0.1"),
            ("lognormal:1m,0.5", "lognormal:60000,0.5"),
        ] {
            let profile: Profile = text.parse().expect(text);
            assert_eq!((&profile, profile.to_string().as_str()), (&same.parse().expect(same), same));
        }
    }

    #[test]
    fn samples_come_from_the_file_and_only_from_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "# measured\n10\n20.5 # twice\n\n0.03s\n").expect("written");
        let text = format!("empirical:{}", file.path().display());
        let profile: Profile = text.parse().expect("a profile");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen: Vec<f64> = (0..200).map(|_| profile.sample(&mut rng)).collect();
        seen.sort_by(f64::total_cmp);
        seen.dedup();
        assert_eq!(seen, [10.0, 20.5, 30.0]);
        assert_eq!(profile.to_string(), text);
        assert!(Profile::parse(&text).is_err(), "the network must not name files");

        for bad in ["", "abc\n", "-1\n", "700000\n", "NaN\n"] {
            std::fs::write(file.path(), bad).expect("written");
            assert!(text.parse::<Profile>().is_err(), "{bad:?}");
        }
        assert!("empirical:/nowhere".parse::<Profile>().is_err());
    }

    #[test]
    fn a_malformed_value_is_refused_with_what_is_allowed() {
        for bad in [
            "",
            "constant",
            "constant:",
            "constant:-1",
            "constant:1,2",
            "uniform:5",
            "uniform:9,3",
            "uniform:1,2,3",
            "exponential:inf",
            "lognormal:100,5",
            "bimodal:1,2",
            "bimodal:1,2,1.5",
            "bimodal:1,2,0.5,0.1,9",
            "constant:600001",
            "constant:1e999",
            "gamma:1",
            "constant:NaN",
            "constant:11m",
            "uniform:5s,50ms",
            "bimodal:1,2,101%",
            "lognormal:1s,1s",
        ] {
            let refusal = bad.parse::<Profile>().expect_err(bad);
            assert!(refusal.allowed.contains("uniform:MIN,MAX"), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_display_reads_back(text in "[a-z]{0,11}:?[-0-9.,ems%]{0,24}") {
            if let Ok(profile) = Profile::parse(&text) {
                prop_assert_eq!(Profile::parse(&profile.to_string()).expect("reads back"), profile);
            }
        }

        #[test]
        fn a_draw_is_bounded(median in 0.0..600_000.0_f64, sigma in 0.0..4.0_f64, seed: u64) {
            let profile = Profile::LogNormal { median, sigma };
            let ms = profile.sample(&mut ChaCha8Rng::seed_from_u64(seed));
            prop_assert!((0.0..=WORK_LIMIT_MS).contains(&ms));
        }
    }
}
