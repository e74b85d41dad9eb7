//! What else the sender says about an event.

use serde_json::value::RawValue;

use super::{
    super::codec::{Corrupt, Reader, Writer},
    json::{self, Kind},
    refusal::{Reason, Refusal},
    scalar::Scalar,
};

/// The most props of an event.
pub const PROPS_LIMIT: usize = 32;
/// The longest key, in bytes.
pub const KEY_LIMIT_BYTES: usize = 64;
/// The most that all props take as JSON, in bytes.
pub const PROPS_LIMIT_BYTES: usize = 8 * 1_024;

/// Keys and values of an event, sorted by key.
///
/// They are stored as JSON that is written here, not as the sender's bytes: sorted and with one form for each number,
/// so that equal props have equal bytes in the log and in both stores, whatever their order was. A value null is the
/// same as no value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Props(Box<[(Box<str>, Scalar)]>);

impl Props {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Scalar> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys with their values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Scalar)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// As JSON, in its one form.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (key, value) in self.iter() {
            if json.len() > 1 {
                json.push(',');
            }
            json::push_text(&mut json, key);
            json.push(':');
            value.push_json(&mut json);
        }
        json.push('}');
        json
    }

    /// Reads the field of an event; null is the same as none.
    pub(super) fn read(raw: Option<&RawValue>) -> Result<Self, Refusal> {
        let Some(raw) = raw.filter(|raw| json::kind(raw) != Kind::Null) else { return Ok(Self::default()) };
        let whole = |reason| Refusal::of(reason, "props");
        let fields = json::fields(raw, PROPS_LIMIT).map_err(|_| whole(Reason::WrongType))?;
        if fields.len() > PROPS_LIMIT {
            return Err(whole(Reason::TooManyProps));
        }
        let mut props: Vec<(Box<str>, Scalar)> = Vec::with_capacity(fields.len());
        let mut keys = Vec::with_capacity(fields.len());
        for (key, value) in fields {
            let key = json::text(key).map_err(whole)?;
            let of_prop = |reason| Refusal::of_prop(reason, &key);
            match key.len() {
                0 => return Err(of_prop(Reason::Empty)),
                length if length > KEY_LIMIT_BYTES => return Err(of_prop(Reason::PropKeyTooLong)),
                _ if keys.contains(&key) => return Err(of_prop(Reason::DuplicateField)),
                _ => {}
            }
            let scalar = Scalar::read(value).map_err(of_prop)?;
            props.extend(scalar.map(|scalar| ((*key).into(), scalar)));
            keys.push(key);
        }
        props.sort_unstable();
        let props = Self(props.into());
        if props.json_length() > PROPS_LIMIT_BYTES { Err(whole(Reason::PropsTooLarge)) } else { Ok(props) }
    }

    /// The length of its JSON, in bytes: two braces, a colon for each and commas between them.
    fn json_length(&self) -> usize {
        let lengths = self.iter().map(|(key, value)| json::text_length(key) + 1 + value.json_length());
        2 + lengths.sum::<usize>() + self.0.len().saturating_sub(1)
    }

    /// Writes their number, and of each its key and its value.
    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.unsigned(self.0.len() as u128);
        for (key, value) in self.iter() {
            writer.bytes(key.as_bytes());
            value.encode(writer);
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, Corrupt> {
        let length: usize = reader.unsigned()?;
        if length > PROPS_LIMIT {
            return Err(reader.corrupt());
        }
        let mut props: Vec<(Box<str>, Scalar)> = Vec::with_capacity(length);
        for _ in 0..length {
            let key = reader.text()?;
            let is_key = (1..=KEY_LIMIT_BYTES).contains(&key.len()) && !key.contains('\0');
            let is_next = props.last().is_none_or(|(before, _)| **before < *key);
            if !is_key || !is_next {
                return Err(reader.corrupt());
            }
            props.push((key.into(), Scalar::decode(reader)?));
        }
        let props = Self(props.into());
        if props.json_length() > PROPS_LIMIT_BYTES { Err(reader.corrupt()) } else { Ok(props) }
    }
}

#[cfg(test)]
pub(in crate::analytics) mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn read(json: &str) -> Result<Props, (Reason, String)> {
        let raw = serde_json::from_str(json).unwrap();
        Props::read(Some(raw)).map_err(|Refusal { reason, field }| (reason, field))
    }

    /// Props as their senders write them.
    pub(in crate::analytics) fn senders() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            "\\PC{0,20}".prop_map(Value::from),
            any::<String>().prop_map(|text| Value::from(text.replace('\0', ""))),
            (-1_i64 << 53..=1 << 53).prop_map(Value::from),
            any::<f64>().prop_map(|number| Value::from(number % 9e15)),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
        ];
        let key = prop_oneof![
            prop::sample::select(vec!["page", "referrer", "country", "browser", "os"])
                .prop_map(str::to_owned),
            "\\PC{1,16}",
        ];
        prop::collection::vec((key, value), 0..8)
            .prop_map(|props| Value::Object(props.into_iter().collect()).to_string())
    }

    #[test]
    fn props_have_one_form() {
        for (json, form) in [
            ("null", "{}"),
            ("{}", "{}"),
            (r#" { "b" : 1.0 , "a" : "x" } "#, r#"{"a":"x","b":1}"#),
            (r#"{"a":null,"b":true,"c":false}"#, r#"{"b":true,"c":false}"#),
            (
                r#"{"a":-0,"b":-0.0,"c":1e3,"d":1.50,"e":1e-300}"#,
                r#"{"a":0,"b":0,"c":1000,"d":1.5,"e":1e-300}"#,
            ),
            (
                r#"{"a":9007199254740992,"b":-9007199254740992}"#,
                r#"{"a":9007199254740992,"b":-9007199254740992}"#,
            ),
            (r#"{"\u0061":"\u003cb\u003e\ud83d\ude00\n"}"#, r#"{"a":"<b>😀\n"}"#),
            (r#"{"a":"\\u0000"}"#, r#"{"a":"\\u0000"}"#),
            (r#"{"a":"'; DROP TABLE x; --","é":""}"#, r#"{"a":"'; DROP TABLE x; --","é":""}"#),
        ] {
            assert_eq!(read(json).unwrap().to_json(), form, "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        let (long_key, long_value) = ("k".repeat(65), "v".repeat(1_025));
        for (json, reason, field) in [
            ("[]", Reason::WrongType, "props"),
            ("1", Reason::WrongType, "props"),
            (r#"{"a":[]}"#, Reason::NotAScalar, "props.a"),
            (r#"{"a":{"b":1}}"#, Reason::NotAScalar, "props.a"),
            (r#"{"a":1,"\u0061":2}"#, Reason::DuplicateField, "props.a"),
            (r#"{"a":null,"a":2}"#, Reason::DuplicateField, "props.a"),
            (r#"{"a":"\u0000"}"#, Reason::Nul, "props.a"),
            (r#"{"a\u0000":1}"#, Reason::Nul, "props"),
            (r#"{"a":"\ud800"}"#, Reason::LoneSurrogate, "props.a"),
            (r#"{"\ud800":1}"#, Reason::LoneSurrogate, "props"),
            (r#"{"":1}"#, Reason::Empty, "props."),
            (r#"{"a":1e999}"#, Reason::NonFinite, "props.a"),
            (r#"{"a":9007199254740993}"#, Reason::IntegerTooLarge, "props.a"),
            (r#"{"a":9007199254740993.0}"#, Reason::IntegerTooLarge, "props.a"),
            (r#"{"a":-1e300}"#, Reason::IntegerTooLarge, "props.a"),
            (r#"{"a":18446744073709551616}"#, Reason::IntegerTooLarge, "props.a"),
            (&format!(r#"{{"{long_key}":1}}"#), Reason::PropKeyTooLong, &format!("props.{long_key}")),
            (&format!(r#"{{"a":"{long_value}"}}"#), Reason::PropValueTooLong, "props.a"),
        ] {
            assert_eq!(read(json), Err((reason, field.to_owned())), "{json}");
        }
    }

    #[test]
    fn limits_hold_for_all_props_together() {
        let of = |count: usize, value: &str| {
            let props: Map<String, Value> = (0..count).map(|at| (format!("k{at}"), json!(value))).collect();
            read(&Value::Object(props).to_string()).map_err(|(reason, _)| reason)
        };
        assert!(of(32, "v").is_ok());
        assert_eq!(of(33, "v"), Err(Reason::TooManyProps));
        assert!(of(7, &"v".repeat(1_024)).is_ok());
        assert_eq!(of(8, &"v".repeat(1_024)), Err(Reason::PropsTooLarge));
        // A control character takes six bytes as JSON.
        assert_eq!(of(2, &"\u{1}".repeat(1_024)), Err(Reason::PropsTooLarge));
    }

    proptest! {
        #[test]
        fn the_form_is_json_of_the_same_values_and_reads_as_itself(json in senders()) {
            let props = read(&json).unwrap();
            let form = props.to_json();
            prop_assert_eq!(&read(&form).unwrap(), &props);
            prop_assert_eq!(form.len(), props.json_length());
            let sent: Map<String, Value> = serde_json::from_str(&json).unwrap();
            let kept: Map<String, Value> = serde_json::from_str(&form).unwrap();
            prop_assert_eq!(sent.values().filter(|value| !value.is_null()).count(), kept.len());
            for (key, value) in kept {
                match (&value, &sent[&key]) {
                    (Value::Number(kept), Value::Number(sent)) => {
                        let (kept, sent) = (kept.as_f64().unwrap(), sent.as_f64().unwrap());
                        prop_assert!((kept - sent).abs() <= sent.abs() * 1e-15);
                    }
                    (kept, sent) => prop_assert_eq!(kept, sent),
                }
                prop_assert!(props.get(&key).is_some());
            }
        }

    }
}
