//! Names of sites.

use std::{fmt, str::FromStr, sync::Arc};

use crate::config::{Allowed, Invalid};

/// The longest name, in bytes.
const SITE_LIMIT_BYTES: usize = 64;

/// The site that an event belongs to, which its key names. Cheap to clone.
///
/// Names are parts of keys and of metrics, so their characters are few: letters, digits, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteName(Arc<str>);

impl SiteName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `default`, which needs no key until there is one.
impl Default for SiteName {
    fn default() -> Self {
        Self("default".into())
    }
}

impl Allowed for SiteName {
    const ALLOWED: &'static str = "1 to 64 letters, digits, `.`, `_` or `-`";
}

impl FromStr for SiteName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match text.len() {
            1..=SITE_LIMIT_BYTES if text.bytes().all(is_plain) => Ok(Self(text.into())),
            _ => Err(Invalid::new(text, Self::ALLOWED)),
        }
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_few_characters() {
        for good in ["default", "shop.example", "a-b_c", &"x".repeat(64)] {
            assert_eq!(good.parse::<SiteName>().unwrap().to_string(), good);
        }
        for bad in ["", "a b", "a/b", "ü", "a\0", &"x".repeat(65)] {
            assert!(bad.parse::<SiteName>().is_err(), "{bad:?}");
        }
        assert_eq!("default".parse(), Ok(SiteName::default()));
    }
}
