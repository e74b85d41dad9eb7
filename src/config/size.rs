//! Sizes: `64KiB`, `10MB`; a number alone is bytes.

use std::fmt;

/// The units with their bytes, the largest first.
const UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Parses a size and rounds it to whole bytes; `None` if the text is not a size.
#[must_use]
pub fn read_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit = UNITS.into_iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, unit) = unit.unwrap_or((text, 1));
    let number = number.trim_end();
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let bytes = number.parse::<f64>().ok()? * unit as f64;
    // Below 2^53 a float represents every whole number.
    (unit > 1 && (0.0..9e15).contains(&bytes)).then(|| bytes.round() as u64)
}

/// Displays a size so that it parses back, in the largest unit that divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeText(
    /// Bytes.
    pub u64,
);

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.into_iter().find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        let (unit, bytes) = unit.unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

/// Declares a size in bytes within a range.
#[macro_export]
macro_rules! size {
    (@bytes B) => { 1 };
    (@bytes kB) => { 1_000 };
    (@bytes KiB) => { 1_024 };
    (@bytes MB) => { 1_000_000 };
    (@bytes MiB) => { 1_048_576 };
    (@bytes GB) => { 1_000_000_000 };
    ($(#[$doc:meta])* $vis:vis $name:ident = $min:literal $least:ident to $max:literal $most:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        $vis struct $name(u64);

        impl $name {
            /// The size in bytes.
            $vis const fn get(self) -> u64 {
                self.0
            }
        }
        impl $crate::config::Allowed for $name {
            const ALLOWED: &'static str = concat!(
                "a size from ", $min, stringify!($least), " to ", $max, stringify!($most),
                ", such as 1KiB; a bare number is bytes"
            );
        }
        impl std::str::FromStr for $name {
            type Err = $crate::config::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let range = $min * $crate::size!(@bytes $least)..=$max * $crate::size!(@bytes $most);
                let bytes = $crate::config::read_size(text).filter(|bytes| range.contains(bytes));
                let allowed = <Self as $crate::config::Allowed>::ALLOWED;
                bytes.map(Self).ok_or_else(|| $crate::config::Invalid::new(text, allowed))
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&$crate::config::SizeText(self.0), f)
            }
        }
        $crate::documented!($name as Integer by get);
    };
}
