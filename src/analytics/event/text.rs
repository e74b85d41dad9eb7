//! Texts of bounded length.

use serde_json::value::RawValue;

use super::{
    json::{self, Kind},
    refusal::{Reason, Refusal},
};

/// The longest name of an event, in bytes.
pub const NAME_LIMIT_BYTES: usize = 128;
/// The longest user, in bytes.
pub const USER_LIMIT_BYTES: usize = 256;
/// The longest session, in bytes.
pub const SESSION_LIMIT_BYTES: usize = 256;

/// A text of 1 to `LIMIT_BYTES` bytes without U+0000: what both stores take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const LIMIT_BYTES: usize>(Box<str>);

/// What happened, such as `page_view`.
pub type EventName = Text<NAME_LIMIT_BYTES>;
/// Who did it.
pub type User = Text<USER_LIMIT_BYTES>;
/// In which visit.
pub type Session = Text<SESSION_LIMIT_BYTES>;

impl<const LIMIT_BYTES: usize> Text<LIMIT_BYTES> {
    /// A text.
    ///
    /// # Errors
    /// [`Reason::Empty`], [`Reason::TooLong`] or [`Reason::Nul`].
    pub fn new(text: &str) -> Result<Self, Reason> {
        match text.len() {
            0 => Err(Reason::Empty),
            _ if text.contains('\0') => Err(Reason::Nul),
            length if length > LIMIT_BYTES => Err(Reason::TooLong),
            _ => Ok(Self(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a field; null is the same as none.
    pub(super) fn read(field: &str, raw: Option<&RawValue>) -> Result<Option<Self>, Refusal> {
        let Some(raw) = raw.filter(|raw| json::kind(raw) != Kind::Null) else { return Ok(None) };
        let text = json::text(raw).and_then(|text| Self::new(&text));
        text.map(Some).map_err(|reason| Refusal::of(reason, field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_bounds() {
        assert_eq!(EventName::new(&"x".repeat(128)).unwrap().as_str().len(), 128);
        assert_eq!(EventName::new(&"x".repeat(129)), Err(Reason::TooLong));
        assert_eq!(EventName::new(""), Err(Reason::Empty));
        assert_eq!(EventName::new("a\0"), Err(Reason::Nul));
        assert!(EventName::new("'; DROP TABLE events; --\u{1}😀").is_ok());
    }
}
