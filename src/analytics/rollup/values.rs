//! Values of the dimensions of a set.

use std::{fmt, str::FromStr};

use ring::digest::{SHA256, digest};

use crate::config::{Allowed, Invalid};

/// The most dimensions of a set.
pub const DIMENSIONS_LIMIT: usize = 3;
/// The longest text of a value in a key, in bytes. Three of them fit into an entry of PostgreSQL's index, of at most
/// 2,704 bytes.
pub const TEXT_LIMIT_BYTES: usize = 512;
/// What of a longer text is kept, in bytes; the rest is a mark and a hash.
const HEAD_BYTES: usize = TEXT_LIMIT_BYTES - '…'.len_utf8() - 2 * HASH_BYTES;
/// How much of the hash of a longer text is kept, in bytes.
const HASH_BYTES: usize = 16;

/// The value of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// The event has no such prop.
    Absent,
    /// All values that found no room.
    Other,
    /// A value as text, of at most [`TEXT_LIMIT_BYTES`].
    Text(Box<str>),
}

impl Value {
    /// A text, of which a long one is shortened: to its beginning, `…`, and 128 bits of the SHA-256 of all of it.
    ///
    /// So different texts stay different, and a query finds the rows of a long text, when it shortens it too.
    pub fn text(text: &str) -> Self {
        if text.len() <= TEXT_LIMIT_BYTES {
            return Self::Text(text.into());
        }
        let hash = digest(&SHA256, text.as_bytes());
        let mut short = text[..text.floor_char_boundary(HEAD_BYTES)].to_owned();
        short.push('…');
        short.extend(hash.as_ref()[..HASH_BYTES].iter().map(|byte| format!("{byte:02x}")));
        Self::Text(short.into())
    }
}

/// The values of a set's dimensions, in their order.
///
/// Its text form is what a table has in the column of the key: each value with a comma behind it, `-` for an absent one,
/// `*` for others, and a text with its length in bytes before it: `9:page_view,-,`. So values may hold any characters,
/// and the column is about as long as they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Values(Vec<Value>);

impl Values {
    /// The values of a set's dimensions, as many as it has.
    pub(super) fn new(values: impl IntoIterator<Item = Value>) -> Self {
        Self(values.into_iter().collect())
    }

    /// Where a combination goes that found no room.
    #[must_use]
    pub fn to_other(&self) -> Self {
        Self(vec![Value::Other; self.0.len()])
    }

    /// The values.
    pub fn as_slice(&self) -> &[Value] {
        &self.0
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|value| match value {
            Value::Absent => f.write_str("-,"),
            Value::Other => f.write_str("*,"),
            Value::Text(text) => write!(f, "{}:{text},", text.len()),
        })
    }
}

impl Allowed for Values {
    const ALLOWED: &'static str = "1 to 3 values, each `-`, `*` or LENGTH:TEXT with a comma behind it";
}

impl FromStr for Values {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut values = Vec::new();
        let mut rest = text;
        while !rest.is_empty() && values.len() <= DIMENSIONS_LIMIT {
            let (value, after) = read_value(rest).ok_or_else(|| Invalid::new(text, Self::ALLOWED))?;
            values.push(value);
            rest = after;
        }
        if (1..=DIMENSIONS_LIMIT).contains(&values.len()) {
            Ok(Self(values))
        } else {
            Err(Invalid::new(text, Self::ALLOWED))
        }
    }
}

/// The first value of a text, and what follows it.
fn read_value(text: &str) -> Option<(Value, &str)> {
    if let Some(rest) = text.strip_prefix("-,") {
        return Some((Value::Absent, rest));
    }
    if let Some(rest) = text.strip_prefix("*,") {
        return Some((Value::Other, rest));
    }
    let (digits, rest) = text.split_once(':')?;
    let length: usize = digits.parse().ok()?;
    let (value, rest) = rest.split_at_checked(length)?;
    let is_written_so = length <= TEXT_LIMIT_BYTES && length.to_string() == digits;
    Some((is_written_so.then(|| Value::Text(value.into()))?, rest.strip_prefix(',')?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_texts_stay_different_and_fit_into_an_index() {
        let long = |last: char| format!("{}{last}", "ü".repeat(511));
        let (a, b) = (Value::text(&long('a')), Value::text(&long('b')));
        assert_ne!(a, b);
        assert_eq!(Value::text(&long('a')), a);
        let longest = Values::new(vec![Value::text(&"x".repeat(1_024)); DIMENSIONS_LIMIT]).to_string();
        assert_eq!(longest.len(), 3 * (TEXT_LIMIT_BYTES + 5));
        assert_eq!(Value::text(&"x".repeat(512)), Value::Text("x".repeat(512).into()));
    }

    #[test]
    fn values_have_a_text_form() {
        let values = Values::new([Value::text("a,b"), Value::Absent, Value::Other]);
        assert_eq!(values.to_string(), "3:a,b,-,*,");
        assert_eq!(values.to_other().to_string(), "*,*,*,");
        for bad in [
            "",
            "-",
            "a",
            "1:a",
            "2:a,",
            "01:a,",
            "+1:a,",
            "1:ü,",
            "-,-,-,-,",
            "513:",
            ",",
            "9999999999999999999999:",
        ] {
            assert!(bad.parse::<Values>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn values_read_what_they_print(texts in prop::collection::vec(prop::option::of(".{0,600}"), 1..=3)) {
            let values =
                Values::new(texts.into_iter().map(|text| text.map_or(Value::Absent, |text| Value::text(&text))));
            prop_assert_eq!(values.to_string().parse(), Ok(values));
        }

        #[test]
        fn other_texts_are_no_values(text in "[-*,:0-9a]{0,12}") {
            if let Ok(values) = text.parse::<Values>() {
                prop_assert_eq!(values.to_string(), text);
            }
        }
    }
}
