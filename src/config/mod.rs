//! Bounded values: what the rooms' configurations are made of.
//!
//! A value is checked once, where it enters (flag, environment, file, query, JSON), and becomes a type
//! that cannot hold a bad one. Every type here says what it allows in one phrase, so that a refusal,
//! `--help` and the documents cannot disagree. No clients, no I/O; the layering of sources is in
//! `cli`.

mod url;

use std::fmt;

pub use url::HttpUrl;

/// A value that was refused, and what would have been taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not allowed: {allowed}")]
pub struct Invalid {
    /// The text or number that was refused, shortened if it is long.
    pub value: String,
    /// What is allowed, as one phrase.
    pub allowed: String,
}

impl Invalid {
    /// A refusal of `value`; at most 80 characters of it are kept.
    pub fn new(value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        let mut value = value.to_string();
        if let Some((end, _)) = value.char_indices().nth(80) {
            value.truncate(end);
            value.push('…');
        }
        Self { value, allowed: allowed.into() }
    }
}

/// A value that is good by itself and does not go with the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {invalid}")]
pub struct Misfit {
    /// The variable at fault.
    pub variable: &'static str,
    /// Its value, and what would have been taken.
    pub invalid: Invalid,
}

impl Misfit {
    /// A refusal of `variable`'s `value`.
    pub fn new(variable: &'static str, value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self { variable, invalid: Invalid::new(value, allowed) }
    }
}

/// A value whose type says what it allows.
pub trait Allowed {
    /// What is allowed, as one phrase: `"a whole number from 1 to 10000"`.
    const ALLOWED: &'static str;
}

/// Makes a newtype over a whole number that lies in a range.
///
/// It parses from text, converts from the number, and goes through serde as the number, refusing what
/// is out of range in the same words everywhere.
#[macro_export]
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident: $type:ty = $min:literal to $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(into = "u64", try_from = "serde_json::Number")]
        pub struct $name($type);

        impl $name {
            /// The value as a number.
            pub const fn get(self) -> $type {
                self.0
            }
        }
        impl $crate::config::Allowed for $name {
            const ALLOWED: &'static str =
                concat!("a whole number from ", stringify!($min), " to ", stringify!($max));
        }
        impl TryFrom<u64> for $name {
            type Error = $crate::config::Invalid;
            fn try_from(value: u64) -> Result<Self, Self::Error> {
                match <$type>::try_from(value) {
                    Ok(inside) if ($min..=$max).contains(&inside) => Ok(Self(inside)),
                    _ => Err($crate::config::Invalid::new(value, <Self as $crate::config::Allowed>::ALLOWED)),
                }
            }
        }
        impl TryFrom<serde_json::Number> for $name {
            type Error = $crate::config::Invalid;
            fn try_from(value: serde_json::Number) -> Result<Self, Self::Error> {
                match value.as_u64() {
                    Some(number) => Self::try_from(number),
                    None => Err($crate::config::Invalid::new(value, <Self as $crate::config::Allowed>::ALLOWED)),
                }
            }
        }
        impl From<$name> for u64 {
            fn from(value: $name) -> u64 {
                // Lossless: every type used here is u64 or narrower.
                value.0 as u64
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::config::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.trim()
                    .parse::<u64>()
                    .map_err(|_| $crate::config::Invalid::new(text, <Self as $crate::config::Allowed>::ALLOWED))
                    .and_then(Self::try_from)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// The share of calls that fail, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
#[serde(into = "f64", try_from = "f64")]
pub struct Fraction(f64);

impl Fraction {
    /// The value as a number from 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}
impl Allowed for Fraction {
    const ALLOWED: &'static str = "a number from 0 to 1";
}
impl TryFrom<f64> for Fraction {
    type Error = Invalid;
    fn try_from(value: f64) -> Result<Self, Invalid> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(Invalid::new(value, Self::ALLOWED)) }
    }
}
impl From<Fraction> for f64 {
    fn from(value: Fraction) -> f64 {
        value.0
    }
}
impl std::str::FromStr for Fraction {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.trim()
            .parse::<f64>()
            .map_err(|_| Invalid::new(text, Self::ALLOWED))
            .and_then(|value| Self::try_from(value).map_err(|_| Invalid::new(text, Self::ALLOWED)))
    }
}
impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    bounded!(
        /// For the tests.
        Small: u32 = 1 to 10
    );

    #[test]
    fn a_bounded_number_takes_its_range_and_says_what_it_allows() {
        assert_eq!(" 7 ".parse::<Small>().map(Small::get), Ok(7));
        for bad in ["0", "11", "-1", "1.5", "", "seven", "99999999999999999999"] {
            let refusal = bad.parse::<Small>().expect_err(bad);
            assert_eq!(refusal.value, bad);
            assert_eq!(refusal.allowed, "a whole number from 1 to 10");
        }
        assert_eq!(serde_json::from_str::<Small>("3").expect("in range").get(), 3);
        for bad in ["0", "11", "-4", "2.5"] {
            let refusal = serde_json::from_str::<Small>(bad).expect_err(bad).to_string();
            assert!(refusal.contains("a whole number from 1 to 10"), "{refusal}");
        }
    }

    #[test]
    fn a_fraction_is_from_zero_to_one() {
        assert_eq!("0.05".parse::<Fraction>().map(Fraction::get), Ok(0.05));
        for bad in ["-0.1", "1.01", "NaN", "inf", "x"] {
            assert!(bad.parse::<Fraction>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_keeps_a_bounded_part_of_the_value() {
        assert_eq!(Invalid::new("é".repeat(500), "x").value.chars().count(), 81);
    }
}
