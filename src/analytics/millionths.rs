//! Decimals of at most six places, and their sums, kept as whole millionths.
//!
//! A sum of floats depends on the order of its terms, so rows and batches would add up differently. These are exact.

use std::fmt;

/// One, in millionths.
const ONE: u64 = 1_000_000;
/// The places of a decimal.
const PLACES: i64 = 6;
/// The largest magnitude, 1e12, in millionths.
const LIMIT_MILLIONTHS: i64 = 1_000_000_000_000_000_000;
/// The digits of the largest magnitude.
const DIGITS_LIMIT: i64 = 19;

/// A decimal of at most six places with a magnitude of at most 1e12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millionths(i64);

/// Why a number is no [`Millionths`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The text is no number as JSON writes it.
    #[error("it is not a number")]
    NotANumber,
    /// Its magnitude is above 1e12.
    #[error("its magnitude is above 1e12")]
    TooLarge,
    /// It has more than six places.
    #[error("it has more than 6 decimal places")]
    TooPrecise,
}

impl Millionths {
    /// The largest; its negative is the smallest.
    pub const MAX: Self = Self(LIMIT_MILLIONTHS);

    /// From whole millionths; `None` if they are out of range.
    pub const fn new(millionths: i64) -> Option<Self> {
        if millionths.unsigned_abs() <= LIMIT_MILLIONTHS as u64 { Some(Self(millionths)) } else { None }
    }

    /// In millionths.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Reads the text of a JSON number, exactly: `1.50` and `1.5e0` are the same, `1e-7` has too many places.
    ///
    /// # Errors
    /// The number has more places, or a larger magnitude, or the text is no number.
    pub fn from_json(text: &str) -> Result<Self, Unfit> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, places) = match mantissa.split_once('.') {
            Some((_, "")) => return Err(Unfit::NotANumber),
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let has_zeros_before = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || has_zeros_before || ![whole, places].into_iter().all(is_digits) {
            return Err(Unfit::NotANumber);
        }
        let digits = [whole, places].concat();
        let significant = digits.trim_end_matches('0');
        // The power of ten that the significant digits are multiplied with.
        let zeros = (digits.len() - significant.len()) as i64 - places.len() as i64;
        let power = exponent.saturating_add(zeros + PLACES);
        let significant = significant.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Self(0));
        }
        if power < 0 {
            return Err(Unfit::TooPrecise);
        }
        if power.saturating_add(significant.len() as i64) > DIGITS_LIMIT {
            return Err(Unfit::TooLarge);
        }
        let magnitude: u64 = significant.parse().map_err(|_| Unfit::TooLarge)?;
        // Below 10^19, which 64 bits hold without a sign.
        let magnitude = magnitude * 10_u64.pow(power as u32);
        let magnitude = i64::try_from(magnitude).map_err(|_| Unfit::TooLarge)?;
        Self::new(if negative { -magnitude } else { magnitude }).ok_or(Unfit::TooLarge)
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An exponent; one that does not fit is as large as can be.
fn read_exponent(text: &str) -> Result<i64, Unfit> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !is_digits(digits) {
        return Err(Unfit::NotANumber);
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX);
    Ok(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// A sum of decimals.
///
/// Ten values of 1e12 overflow 64 bits. 128 bits hold 2^64 of them, so that no sum wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sum(i128);

impl Sum {
    /// From whole millionths.
    pub const fn new(millionths: i128) -> Self {
        Self(millionths)
    }

    /// In millionths.
    pub const fn get(self) -> i128 {
        self.0
    }

    /// This and one more value.
    #[must_use]
    pub const fn plus(self, value: Millionths) -> Self {
        self.merged(Self(value.0 as i128))
    }

    /// Both sums.
    #[must_use]
    pub const fn merged(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

/// Without an exponent and without zeros at the end: `-1.5`.
fn write_decimal(f: &mut fmt::Formatter<'_>, millionths: i128) -> fmt::Result {
    let sign = if millionths < 0 { "-" } else { "" };
    let magnitude = millionths.unsigned_abs();
    let (whole, part) = (magnitude / u128::from(ONE), magnitude % u128::from(ONE));
    if part == 0 {
        return write!(f, "{sign}{whole}");
    }
    let places = format!("{part:06}");
    write!(f, "{sign}{whole}.{}", places.trim_end_matches('0'))
}

impl fmt::Display for Millionths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0.into())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_read_exactly_or_not_at_all() {
        for (text, shown) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0e-99", "0"),
            ("0e99999999999999999999", "0"),
            ("1.50", "1.5"),
            ("1.5e3", "1500"),
            ("1.5E+3", "1500"),
            ("100e-2", "1"),
            ("1e-6", "0.000001"),
            ("-10e-7", "-0.000001"),
            ("0.1000000000000", "0.1"),
            ("1e12", "1000000000000"),
            ("-1000000000000.000000", "-1000000000000"),
            ("999999999999.999999", "999999999999.999999"),
        ] {
            assert_eq!(Millionths::from_json(text).unwrap().to_string(), shown, "{text}");
        }
        for (text, why) in [
            ("1e-7", Unfit::TooPrecise),
            ("0.1234567", Unfit::TooPrecise),
            ("1e-99999999999999999999", Unfit::TooPrecise),
            ("1000000000000.000001", Unfit::TooLarge),
            ("-1e13", Unfit::TooLarge),
            ("9999999999999", Unfit::TooLarge),
            ("1e308", Unfit::TooLarge),
            ("1e99999999999999999999", Unfit::TooLarge),
            ("", Unfit::NotANumber),
            ("-", Unfit::NotANumber),
            ("+1", Unfit::NotANumber),
            ("01", Unfit::NotANumber),
            ("1.", Unfit::NotANumber),
            (".5", Unfit::NotANumber),
            ("1e", Unfit::NotANumber),
            ("1e+", Unfit::NotANumber),
            ("NaN", Unfit::NotANumber),
            ("1 ", Unfit::NotANumber),
            ("--1", Unfit::NotANumber),
        ] {
            assert_eq!(Millionths::from_json(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_sum_is_wider_than_its_terms() {
        let sum = (0..10).fold(Sum::default(), |sum, _| sum.plus(Millionths::MAX));
        assert_eq!(sum.to_string(), "10000000000000");
        assert_eq!(sum.merged(Sum::new(-1)).to_string(), "9999999999999.999999");
    }

    proptest! {
        #[test]
        fn it_reads_what_it_prints(millionths in -LIMIT_MILLIONTHS..=LIMIT_MILLIONTHS, power in 0_usize..12) {
            let value = Millionths::new(millionths).unwrap();
            let text = value.to_string();
            prop_assert_eq!(Millionths::from_json(&text), Ok(value));
            // The same number in another form.
            let other = format!("{millionths}{}e-{}", "0".repeat(power), power + 6);
            prop_assert_eq!(Millionths::from_json(&other), Ok(value));
        }

        #[test]
        fn any_text_is_a_number_of_json_or_refused(text in "[-+.eE0-9]{0,12}") {
            let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(Millionths::from_json(&text) != Err(Unfit::NotANumber), is_json);
        }
    }
}
