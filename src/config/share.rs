//! Shares: `5%` or `0.05`.

use std::fmt;

use super::invalid::Invalid;

/// Parses a share; `None` if the text is not a share.
#[must_use]
pub fn read_share(text: &str) -> Option<f64> {
    let text = text.trim();
    let share = match text.strip_suffix('%') {
        // The exponent instead of a division by 100, so that 0.1% is exactly the float 0.001.
        Some(percent) => format!("{}e-2", percent.trim_end()).parse::<f64>(),
        None => text.parse(),
    };
    share.ok().filter(|share| share.is_finite())
}

/// Parses a share from `min` to `max`.
///
/// # Errors
/// When the text is not a share in this range. For a percentage without its sign, the error suggests it.
pub fn read_share_within(text: &str, min: f64, max: f64, allowed: &str) -> Result<f64, Invalid> {
    let within = |text: &str| read_share(text).filter(|share| (min..=max).contains(share));
    within(text).ok_or_else(|| {
        let percent = format!("{}%", text.trim());
        match within(&percent) {
            Some(_) => Invalid::new(text, format!("{allowed}: did you mean {percent}?")),
            None => Invalid::new(text, allowed),
        }
    })
}

/// Displays a share so that it parses back: in percent unless rounding would change it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShareText(
    /// The share to display.
    pub f64,
);

impl fmt::Display for ShareText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = format!("{}%", (self.0 * 1e8).round() / 1e6);
        if read_share(&percent) == Some(self.0) { f.write_str(&percent) } else { self.0.fmt(f) }
    }
}

/// Declares a share within a range.
#[macro_export]
macro_rules! share {
    ($(#[$doc:meta])* $vis:vis $name:ident = $min:literal to $max:literal, such as $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        $vis struct $name(f64);

        impl $name {
            /// The share as a number.
            $vis const fn get(self) -> f64 {
                self.0
            }
        }
        impl $crate::config::Allowed for $name {
            const ALLOWED: &'static str = concat!("a share from ", $min, " to ", $max, ", such as ", $example);
        }
        impl std::str::FromStr for $name {
            type Err = $crate::config::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let allowed = <Self as $crate::config::Allowed>::ALLOWED;
                $crate::config::read_share_within(text, $min.into(), $max.into(), allowed).map(Self)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&$crate::config::ShareText(self.0), f)
            }
        }
        $crate::documented!($name as Number by get);
    };
}

share!(
    /// A part of a whole.
    pub Fraction = 0 to 1, such as "5% or 0.05"
);
