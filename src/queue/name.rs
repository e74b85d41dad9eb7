//! Names of types and groups.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use crate::config::{Allowed, Invalid};

/// The longest name, in bytes.
const NAME_LIMIT_BYTES: usize = 64;

/// The type of a task, or the group (a tenant) that it belongs to. Cheap to clone.
///
/// Names are parts of keys and of metrics, so their characters are few: letters, digits, `.`, `_`, `-`, `:` and `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// A name that this program gives.
    pub(super) fn known(text: &'static str) -> Self {
        debug_assert!(text.parse::<Self>().is_ok(), "{text}");
        Self(text.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Allowed for Name {
    const ALLOWED: &'static str = "1 to 64 letters, digits, `.`, `_`, `-`, `:` or `/`";
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
        match text.len() {
            1..=NAME_LIMIT_BYTES if text.bytes().all(is_plain) => Ok(Self(text.into())),
            _ => Err(Invalid::new(text, Self::ALLOWED)),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Only from a string: the number 0 is no name, although its text would be one.
impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

crate::documented!(@schema Name, String, &[]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_few_characters() {
        for good in ["email", "email:send", "a/b.c_d-e", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
        }
        for bad in ["", " ", "a b", "a|b", "ü", "a\0", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
