//! A value that must not be seen, nor guessed by timing.

use std::fmt;

use subtle::ConstantTimeEq;

/// A secret such as the admin token. `Debug` shows `***`; there is no way to read it back.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value`; `None` when it is empty, which would match an empty guess.
    pub fn new(value: impl Into<String>) -> Option<Self> {
        let value = value.into();
        (!value.is_empty()).then_some(Self(value))
    }

    /// Compares in a time that depends on the lengths only.
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl std::str::FromStr for Secret {
    type Err = crate::config::Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or_else(|| crate::config::Invalid::new("", "a text that is not empty"))
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
        assert!(Secret::new("").is_none());
    }
}
