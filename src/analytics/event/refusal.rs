//! Why an event is refused.

use std::fmt;

use crate::labelled;

labelled! {
    /// What is wrong with an event. The names are part of the API and never change.
    pub enum Reason {
        /// It is not JSON.
        InvalidJson = "invalid_json",
        /// The event is no JSON object.
        NotAnObject = "not_an_object",
        /// An event has no such field.
        UnknownField = "unknown_field",
        /// A field or a prop is there twice.
        DuplicateField = "duplicate_field",
        /// The value has another type than the field.
        WrongType = "wrong_type",
        /// There is no name.
        NameRequired = "name_required",
        /// There is an id that holds no time, and no time.
        TsRequired = "ts_required",
        /// The id is no UUID, or the one of zeros.
        InvalidId = "invalid_id",
        /// The time has another form.
        InvalidTs = "invalid_ts",
        /// The event happened more than 48 hours before it was received.
        TooOld = "too_old",
        /// The event happens more than 10 minutes after it was received.
        InFuture = "in_future",
        /// A text is empty.
        Empty = "empty",
        /// A text is too long.
        TooLong = "too_long",
        /// A text holds the character U+0000, which PostgreSQL does not store.
        Nul = "nul",
        /// A text holds half of a surrogate pair, which is no character.
        LoneSurrogate = "lone_surrogate",
        /// A number is too large for a double.
        NonFinite = "non_finite",
        /// A number is beyond 2^53, from where doubles skip integers.
        IntegerTooLarge = "integer_too_large",
        /// The magnitude of the value is above 1e12.
        ValueTooLarge = "value_too_large",
        /// The value has more than six decimal places.
        ValueTooPrecise = "value_too_precise",
        /// There are more than 32 props.
        TooManyProps = "too_many_props",
        /// The key of a prop is longer than 64 bytes.
        PropKeyTooLong = "prop_key_too_long",
        /// The value of a prop is longer than 1,024 bytes.
        PropValueTooLong = "prop_value_too_long",
        /// The value of a prop is an array or an object.
        NotAScalar = "not_a_scalar",
        /// All props together are longer than 8 KiB as JSON.
        PropsTooLarge = "props_too_large",
    }
}

impl Reason {
    /// What was expected, as one phrase.
    pub const fn expected(self) -> &'static str {
        match self {
            Self::InvalidJson => "this is not valid JSON",
            Self::NotAnObject => "an event is a JSON object",
            Self::UnknownField => "the fields are id, ts, name, user, session, value and props",
            Self::DuplicateField => "this field is given twice",
            Self::WrongType => {
                "name, user, session and id are strings, value is a number, props is an object"
            }
            Self::NameRequired => "an event needs a name",
            Self::TsRequired => "an id that is not a UUID of version 7 needs a ts",
            Self::InvalidId => "an id is a UUID in its hyphenated form, and not the one of zeros",
            Self::InvalidTs => {
                "ts is a whole number of milliseconds since 1970, or a time such as 2026-01-31T12:00:00+01:00"
            }
            Self::TooOld => "events are accepted up to 48 hours after they happened",
            Self::InFuture => "events are accepted up to 10 minutes before they happen",
            Self::Empty => "this must not be empty",
            Self::TooLong => "a name has at most 128 bytes, a user and a session have 256",
            Self::Nul => "the character U+0000 cannot be stored",
            Self::LoneSurrogate => "half of a surrogate pair is no character",
            Self::NonFinite => "this number is too large for a double",
            Self::IntegerTooLarge => "numbers beyond 2^53 lose digits; send a string",
            Self::ValueTooLarge => "a value is from -1e12 to 1e12",
            Self::ValueTooPrecise => "a value has at most 6 decimal places",
            Self::TooManyProps => "an event has at most 32 props",
            Self::PropKeyTooLong => "the key of a prop has at most 64 bytes",
            Self::PropValueTooLong => "the value of a prop has at most 1,024 bytes",
            Self::NotAScalar => "a prop is a string, a number, true or false",
            Self::PropsTooLarge => "all props together have at most 8 KiB as JSON",
        }
    }
}

/// The longest path of a field, in bytes.
const PATH_LIMIT_BYTES: usize = 80;

/// An event that is refused: why, and which of its fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// What is wrong.
    pub reason: Reason,
    /// The path of the field, such as `props.page`; empty: the event as a whole. A long one is cut off.
    pub field: String,
}

impl Refusal {
    /// Refuses a field.
    pub(in crate::analytics) fn of(reason: Reason, field: impl Into<String>) -> Self {
        let mut field = field.into();
        if field.len() > PATH_LIMIT_BYTES {
            field.truncate(field.floor_char_boundary(PATH_LIMIT_BYTES));
            field.push('…');
        }
        Self { reason, field }
    }

    /// Refuses a prop.
    pub(in crate::analytics) fn of_prop(reason: Reason, key: &str) -> Self {
        Self::of(reason, format!("props.{key}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, field } = self;
        let colon = if field.is_empty() { "" } else { ": " };
        write!(f, "{field}{colon}{}", reason.expected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_cut_off_between_characters() {
        let refusal = Refusal::of_prop(Reason::PropKeyTooLong, &"ü".repeat(100));
        assert!(refusal.field.len() <= PATH_LIMIT_BYTES + '…'.len_utf8() && refusal.field.ends_with("ü…"));
        assert_eq!(Refusal::of(Reason::NameRequired, "name").to_string(), "name: an event needs a name");
        assert_eq!(Refusal::of(Reason::NotAnObject, "").to_string(), "an event is a JSON object");
    }
}
