//! A value that must not be printed, nor be guessed by timing.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::config::{Allowed, Invalid};

/// A secret such as the admin token. `Debug` prints `***`, and there is no accessor.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value`. `None` if it is blank, which would be easy to guess; or if no header could carry it, because it
    /// has whitespace at an end, which HTTP strips, or a control character.
    pub fn new(value: impl Into<String>) -> Option<Self> {
        let value = value.into();
        let is_plain = value.trim() == value && !value.contains(char::is_control);
        (!value.is_empty() && is_plain).then_some(Self(value))
    }

    /// Compares in a time that depends only on the lengths.
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl Allowed for Secret {
    const ALLOWED: &'static str =
        "a text that is not blank, with no spaces at its ends and no control characters";
}

impl std::str::FromStr for Secret {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or_else(|| Invalid::new("", Self::ALLOWED))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_and_matches_only_itself() {
        let secret = Secret::new("open sesame").unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        assert!(secret.matches("open sesame"));
        assert!(!secret.matches("open sesam"));
        assert!(!secret.matches(""));
        for unusable in ["", " ", "\t\n", " open sesame", "open sesame\n", "open\tsesame", "open\0"] {
            assert!(Secret::new(unusable).is_none(), "{unusable:?}");
        }
    }
}
