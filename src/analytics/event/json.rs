//! JSON that is looked at one level at a time.
//!
//! Below its first level a value stays text, which is checked for syntax without recursion: deep nesting costs no
//! stack. A text is decoded when it is needed; by then only a lone surrogate can be wrong with it, which so has a name.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer as _,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::refusal::Reason;

/// What a JSON text holds, by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analytics) enum Kind {
    Null,
    Bool(bool),
    Number,
    Text,
    Array,
    Object,
}

/// What `raw` holds.
pub(in crate::analytics) fn kind(raw: &RawValue) -> Kind {
    match raw.get().as_bytes().first() {
        Some(b'"') => Kind::Text,
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b't') => Kind::Bool(true),
        Some(b'f') => Kind::Bool(false),
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// Decodes a string.
pub(super) fn text(raw: &RawValue) -> Result<Cow<'_, str>, Reason> {
    let quoted = raw.get();
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(Reason::WrongType)?;
    let text = if inner.contains('\\') {
        Cow::Owned(serde_json::from_str(quoted).map_err(|_| Reason::LoneSurrogate)?)
    } else {
        Cow::Borrowed(inner)
    };
    if text.contains('\0') { Err(Reason::Nul) } else { Ok(text) }
}

/// Appends a text as JSON.
pub(super) fn push_text(json: &mut String, text: &str) {
    // Every text has a JSON form.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// The length of a text as JSON, in bytes.
pub(super) fn text_length(text: &str) -> usize {
    let length = |byte: u8| match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    2 + text.bytes().map(length).sum::<usize>()
}

/// The first `limit` fields of an object and one more, in their order, and with their keys still quoted.
pub(super) fn fields(raw: &RawValue, limit: usize) -> Result<Vec<(&RawValue, &RawValue)>, Reason> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    deserializer.deserialize_map(Fields(limit)).map_err(|_| Reason::NotAnObject)
}

struct Fields(usize);

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while fields.len() <= self.0 {
            let Some(field) = map.next_entry()? else { return Ok(fields) };
            fields.push(field);
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(fields)
    }
}

/// The first `limit` elements of an array and one more.
///
/// # Errors
/// The bytes are no JSON array.
pub(in crate::analytics) fn elements(bytes: &[u8], limit: usize) -> serde_json::Result<Vec<&RawValue>> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let elements = deserializer.deserialize_seq(Elements(limit))?;
    deserializer.end()?;
    Ok(elements)
}

struct Elements(usize);

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() <= self.0 {
            let Some(element) = seq.next_element()? else { return Ok(elements) };
            elements.push(element);
        }
        while seq.next_element::<&RawValue>()?.is_some() {}
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_text_is_decoded_or_has_a_named_fault() {
        for (json, expect) in [
            (r#""a\"\u00fc""#, Ok("a\"ü")),
            (r#""\ud83d\ude00""#, Ok("😀")),
            // Six characters that look like an escape.
            (r#""\\u0000""#, Ok("\\u0000")),
            (r#""\u0000""#, Err(Reason::Nul)),
            (r#""\ud800""#, Err(Reason::LoneSurrogate)),
            (r#""\ude00x""#, Err(Reason::LoneSurrogate)),
            (r#""\ud800\n""#, Err(Reason::LoneSurrogate)),
            (r#""\ud800\ud800""#, Err(Reason::LoneSurrogate)),
            ("1", Err(Reason::WrongType)),
        ] {
            assert_eq!(text(raw(json)), expect.map(Cow::Borrowed), "{json}");
        }
    }

    #[test]
    fn no_more_is_kept_than_the_limit_and_one() {
        assert_eq!(fields(raw(r#"{"a":1,"a":{"b":2},"c":3,"d":4}"#), 2).unwrap().len(), 3);
        assert_eq!(fields(raw("[1]"), 2).unwrap_err(), Reason::NotAnObject);
        assert_eq!(elements(b" [1, {\"a\": 2}, 3, 4] ", 2).unwrap().len(), 3);
        assert!(elements(b"[1,2,3,4", 2).is_err());
        assert!(elements(b"[1,2,3,4,\xff]", 2).is_err());
        assert!(elements(b"[1] 2", 2).is_err());
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let deep = format!("{{\"props\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
        let fields = fields(raw(&deep), 7).unwrap();
        assert_eq!((fields.len(), kind(fields[0].1)), (1, Kind::Array));
    }
}
