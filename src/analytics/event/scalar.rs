//! Values of props.

use serde_json::value::RawValue;

use super::{
    super::codec::{Corrupt, Reader, Writer},
    json::{self, Kind},
    refusal::Reason,
};

/// The longest value, in bytes.
pub const VALUE_LIMIT_BYTES: usize = 1_024;
/// 2^53: beyond it doubles skip integers.
const INTEGER_LIMIT: i64 = 1 << 53;

/// What follows in bytes.
mod tag {
    pub(super) const FALSE: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const NUMBER: u8 = 2;
    pub(super) const TEXT: u8 = 3;
}

/// The value of a prop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// A string.
    Text(Box<str>),
    /// A number in its one form: an integer if it is one, otherwise the shortest text of the double.
    Number(Box<str>),
    /// True or false.
    Bool(bool),
}

impl Scalar {
    /// The value as text, by which events are filtered and grouped.
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
        }
    }

    /// Appends its JSON.
    pub(super) fn push_json(&self, json: &mut String) {
        match self {
            Self::Text(text) => json::push_text(json, text),
            Self::Number(_) | Self::Bool(_) => json.push_str(self.as_text()),
        }
    }

    /// The length of its JSON, in bytes.
    pub(super) fn json_length(&self) -> usize {
        match self {
            Self::Text(text) => json::text_length(text),
            Self::Number(_) | Self::Bool(_) => self.as_text().len(),
        }
    }

    /// Reads a scalar; `None` for null.
    pub(super) fn read(raw: &RawValue) -> Result<Option<Self>, Reason> {
        Ok(Some(match json::kind(raw) {
            Kind::Null => return Ok(None),
            Kind::Bool(value) => Self::Bool(value),
            Kind::Number => Self::Number(number(raw.get())?.into()),
            Kind::Text => Self::text(&json::text(raw)?)?,
            Kind::Array | Kind::Object => return Err(Reason::NotAScalar),
        }))
    }

    fn text(text: &str) -> Result<Self, Reason> {
        match text.len() {
            _ if text.contains('\0') => Err(Reason::Nul),
            length if length > VALUE_LIMIT_BYTES => Err(Reason::PropValueTooLong),
            _ => Ok(Self::Text(text.into())),
        }
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Bool(false) => writer.byte(tag::FALSE),
            Self::Bool(true) => writer.byte(tag::TRUE),
            Self::Number(number) => {
                writer.byte(tag::NUMBER);
                writer.bytes(number.as_bytes());
            }
            Self::Text(text) => {
                writer.byte(tag::TEXT);
                writer.bytes(text.as_bytes());
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, Corrupt> {
        let corrupt = reader.corrupt();
        match reader.byte()? {
            tag::FALSE => Ok(Self::Bool(false)),
            tag::TRUE => Ok(Self::Bool(true)),
            tag::NUMBER => {
                let text = reader.text()?;
                let is_own_form = number(text).is_ok_and(|form| form == text);
                if is_own_form { Ok(Self::Number(text.into())) } else { Err(corrupt) }
            }
            tag::TEXT => Self::text(reader.text()?).map_err(|_| corrupt),
            _ => Err(corrupt),
        }
    }
}

/// The one form of a number.
///
/// Every double beyond 2^53 is an integer, of which it may hold only the first digits. So all these are refused, in
/// whatever form they are written.
fn number(text: &str) -> Result<String, Reason> {
    if !text.contains(['.', 'e', 'E']) {
        let integer: i64 = text.parse().map_err(|_| Reason::IntegerTooLarge)?;
        let is_exact = integer.unsigned_abs() <= INTEGER_LIMIT.unsigned_abs();
        return if is_exact { Ok(integer.to_string()) } else { Err(Reason::IntegerTooLarge) };
    }
    // The standard library's parser is exact; the one of serde_json may miss the last bit.
    let double: f64 = text.parse().map_err(|_| Reason::NonFinite)?;
    match double.abs() {
        magnitude if !magnitude.is_finite() => Err(Reason::NonFinite),
        magnitude if magnitude >= INTEGER_LIMIT as f64 => Err(Reason::IntegerTooLarge),
        magnitude if magnitude.fract() == 0.0 => Ok((double as i64).to_string()),
        _ => serde_json::to_string(&double).map_err(|_| Reason::NonFinite),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_hold_numbers_in_their_one_form_only() {
        let decode = |text: &str| {
            let bytes = [&[tag::NUMBER, text.len() as u8], text.as_bytes()].concat();
            Scalar::decode(&mut Reader::new(&bytes, "a test")).is_ok()
        };
        for good in ["0", "-1", "1.5", "1e-7", "9007199254740992"] {
            assert!(decode(good), "{good}");
        }
        for bad in
            ["", "-0", "+1", "01", "1.0", "1e3", "1.50", "inf", "NaN", "9007199254740993", "1e300", "0x1"]
        {
            assert!(!decode(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_number_keeps_its_value(double in any::<f64>().prop_map(|number| number % 9e15)) {
            let text = serde_json::to_string(&double).unwrap();
            let read: f64 = number(&text).unwrap().parse().unwrap();
            prop_assert_eq!(read, double);
        }
    }
}
