//! The error for a value that is not allowed.

use std::fmt;

/// A value that was refused, and a description of the allowed values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not allowed: {allowed}")]
pub struct Invalid {
    /// The text or number that was refused, shortened if it is long.
    pub value: String,
    /// What is allowed, as one phrase.
    pub allowed: String,
}

impl Invalid {
    /// Refuses `value`, of which at most 80 characters are kept and users and passwords in URLs are masked.
    pub fn new(value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        let mut value = without_users(&value.to_string());
        if let Some((end, _)) = value.char_indices().nth(80) {
            value.truncate(end);
            value.push('…');
        }
        Self { value, allowed: allowed.into() }
    }
}

/// Masks the user part of each URL in a text as `***`, because it may hold a password.
pub fn without_users(text: &str) -> String {
    const BEGIN: &str = "://";
    let mut parts = text.split(BEGIN);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "\"'`".contains(c)).unwrap_or(part.len());
        shown.push_str(BEGIN);
        match part[..end].rfind('@') {
            Some(at) => shown.extend(["***", &part[at..]]),
            None => shown.push_str(part),
        }
    }
    shown
}

/// A value that is valid by itself but conflicts with another setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {invalid}")]
pub struct Misfit {
    /// The variable that holds the conflicting value.
    pub variable: &'static str,
    /// The value, and what would have been accepted.
    pub invalid: Invalid,
}

impl Misfit {
    /// Refuses the `value` of `variable`.
    pub fn new(variable: &'static str, value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self { variable, invalid: Invalid::new(value, allowed) }
    }
}

/// A type that describes its allowed values.
pub trait Allowed {
    /// The allowed values in one phrase, such as `"a whole number from 1 to 10000"`.
    const ALLOWED: &'static str;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_no_password() {
        for (text, shown) in [
            ("http://u:p@h/x", "http://***@h/x"),
            ("3*http://u:p/w@h?x", "3*http://***@h?x"),
            ("'http://u:p@h' and https://v:q@i a@b", "'http://***@h' and https://***@i a@b"),
            ("u@h", "u@h"),
        ] {
            assert_eq!(Invalid::new(text, "x").value, shown);
        }
    }

    #[test]
    fn an_error_keeps_a_bounded_part_of_the_value() {
        assert_eq!(Invalid::new("é".repeat(500), "x").value.chars().count(), 81);
    }
}
