use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use uuid::Uuid;

use super::{
    super::event::{Entry, Origin},
    *,
};

const NOW_MS: i64 = 1_795_000_000_000;

fn request() -> Request {
    Request {
        site: "shop".parse().unwrap(),
        received_ms: NOW_MS,
        origin: Origin::proxied("r", "t=1795000000.000", NOW_MS).unwrap(),
    }
}

fn verdicts(body: &str) -> Vec<Verdict> {
    read(body.as_bytes(), &request()).unwrap()
}

/// The names of events, and the reasons with the fields of refusals.
fn shown(body: &str) -> String {
    let shown = |verdict: Verdict| match verdict {
        Ok(event) => event.name.as_str().to_owned(),
        Err(Refusal { reason, field }) => format!("{}@{field}", reason.label()),
    };
    verdicts(body).into_iter().map(shown).collect::<Vec<_>>().join(" ")
}

fn zipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_body_has_three_forms() {
    for (body, expect) in [
        (r#"{"name":"a"}"#, "a"),
        (" {\n \"name\": \"a\"\n}\r\n", "a"),
        (r#"[{"name":"a"},{"name":"b"}]"#, "a b"),
        ("[]", ""),
        ("{\"name\":\"a\"}\n\r\n  {\"name\":\"b\"}\r\n", "a b"),
        // A bad one does not sink the others.
        (r#"[{"name":"a"},{"nam":"b"},7,{"name":"c"}]"#, "a unknown_field@nam not_an_object@ c"),
        ("{\"name\":\"a\"}\n{\"name\":\n[]\n{\"name\":\"d\"}", "a invalid_json@ not_an_object@ d"),
        ("x\n{\"name\":\"b\"}", "invalid_json@ b"),
        ("7", "not_an_object@"),
    ] {
        assert_eq!(shown(body), expect, "{body}");
    }
}

#[test]
fn what_cannot_be_divided_is_refused_as_a_whole() {
    let many = |count: usize| vec![r#"{"name":"a"}"#; count];
    let json = |line, column| Unreadable::InvalidJson { line, column };
    for (body, expect) in [
        (String::new(), Unreadable::Empty),
        (" \n\t ".to_owned(), Unreadable::Empty),
        ("[{\"name\":\"a\"},\n{\"name\"}]".to_owned(), json(2, 8)),
        ("[{}] []".to_owned(), json(1, 6)),
        ("{\n\"name\": \"a\",\n\"user\" 7\n}".to_owned(), json(3, 8)),
        ("name=a".to_owned(), json(1, 2)),
        (format!("[{}]", many(1_001).join(",")), Unreadable::TooManyEvents),
        (many(1_001).join("\n"), Unreadable::TooManyEvents),
        (" ".repeat(BODY_LIMIT_BYTES + 1), Unreadable::TooLarge),
    ] {
        assert_eq!(read(body.as_bytes(), &request()), Err(expect), "{:.60}", body);
    }
    assert_eq!(verdicts(&format!("[{}]", many(1_000).join(","))).len(), 1_000);
    assert!(read(b"[\"\xff\"]", &request()).is_err());
    assert_eq!(read(b"{\"name\":\"a\"}\n{\"name\":\"\xff\"}", &request()).unwrap().len(), 2);
}

#[test]
fn deep_nesting_costs_no_stack() {
    let half = BODY_LIMIT_BYTES / 2 - 100;
    let (open, close) = ("[".repeat(half), "]".repeat(half));
    assert_eq!(shown(&format!("[{open}{close}]")), "not_an_object@");
    assert_eq!(shown(&format!(r#"{{"name":"a","value":{open}{close}}}"#)), "wrong_type@value");
    assert_eq!(shown(&format!(r#"{{"name":"a","props":{{"p":{open}{close}}}}}"#)), "not_a_scalar@props.p");
    let objects = r#"{"a":"#.repeat(100_000);
    assert!(read(objects.as_bytes(), &request()).is_err());
}

#[test]
fn gzip_is_bounded_by_what_comes_out() {
    assert_eq!(gunzip(&zipped(b"[]")), Ok(b"[]".to_vec()));
    assert_eq!(gunzip(&[zipped(b"["), zipped(b"]")].concat()), Ok(b"[]".to_vec()));
    assert_eq!(gunzip(&zipped(&vec![b' '; BODY_LIMIT_BYTES])).unwrap().len(), BODY_LIMIT_BYTES);
    assert_eq!(gunzip(&zipped(&vec![b' '; BODY_LIMIT_BYTES + 1])), Err(Unreadable::TooLarge));
    assert_eq!(gunzip(&vec![0; BODY_LIMIT_BYTES + 1]), Err(Unreadable::TooLarge));
    let whole = zipped(b"{}");
    for bad in [&b""[..], b"{}", &whole[..whole.len() - 1], &[&whole[..], b"x"].concat()] {
        assert_eq!(gunzip(bad), Err(Unreadable::InvalidGzip));
    }
}

#[test]
fn each_refusal_names_its_field() {
    let v4 = "c2d29867-3d0b-4497-9191-18a9d8ee7830";
    let long = "x".repeat(257);
    for (fields, expect) in [
        (r#""user":"u""#, "name_required@name"),
        (r#""name":null"#, "name_required@name"),
        (r#""name":"""#, "empty@name"),
        (r#""name":7"#, "wrong_type@name"),
        (r#""name":"a\u0000""#, "nul@name"),
        (r#""name":"\ud83d""#, "lone_surrogate@name"),
        (r#""name":"a","name":"b""#, "duplicate_field@name"),
        (r#""name":"a","\u0000":"b""#, "nul@"),
        (r#""name":"a","site":"b""#, "unknown_field@site"),
        (&format!(r#""name":"a","user":"{long}""#), "too_long@user"),
        (&format!(r#""name":"a","session":"{long}""#), "too_long@session"),
        (&format!(r#""name":"{}""#, &long[..129]), "too_long@name"),
        (r#""name":"a","value":1e-7"#, "value_too_precise@value"),
        (r#""name":"a","value":1e308"#, "value_too_large@value"),
        (r#""name":"a","value":"1""#, "wrong_type@value"),
        (&format!(r#""name":"a","id":"{v4}""#), "ts_required@ts"),
        (&format!(r#""name":"a","id":"{}","ts":{NOW_MS}"#, v4.replace('-', "")), "invalid_id@id"),
        (&format!(r#""name":"a","id":"{}","ts":{NOW_MS}"#, Uuid::nil()), "invalid_id@id"),
        (r#""name":"a","id":7"#, "wrong_type@id"),
        // A time of November 2023.
        (r#""name":"a","id":"018bcfe5-6800-7000-8000-000000000000""#, "too_old@id"),
        (r#""name":"a","ts":1700000000000"#, "too_old@ts"),
        (r#""name":"a","ts":"2036-01-01T00:00:00Z""#, "in_future@ts"),
        (r#""name":"a","ts":"now""#, "invalid_ts@ts"),
        (r#""name":"a","props":{"p":[1]}"#, "not_a_scalar@props.p"),
        (r#""name":"a","id":null,"ts":null,"user":null,"session":null,"value":null,"props":null"#, "a"),
    ] {
        assert_eq!(shown(&format!("{{{fields}}}")), expect, "{fields}");
    }
}

#[test]
fn an_event_without_id_and_time_is_the_same_when_it_is_sent_again() {
    let body = r#"[{"name":"a"},{"name":"a"},{"name":"a","ts":1795000000001}]"#;
    let first = verdicts(body);
    let again = Request {
        received_ms: NOW_MS + 9_000,
        origin: Origin::proxied("r", "t=1795000000.000", NOW_MS + 9_000).unwrap(),
        ..request()
    };
    assert_eq!(read(body.as_bytes(), &again), Ok(first.clone()));
    let events: Vec<Event> = first.into_iter().flatten().collect();
    assert_eq!(events.iter().map(|event| event.ts_ms - NOW_MS).collect::<Vec<_>>(), [0, 0, 1]);
    assert_ne!(events[0].key(), events[1].key());
    let v7 = verdicts(r#"{"name":"a","id":"01A1EC3E-F600-7000-8000-000000000001"}"#);
    assert_eq!(v7[0].as_ref().map(|event| event.ts_ms), Ok(0x01A1_EC3E_F600));
}

/// JSON values of any kind and depth, and some that are events.
fn bodies() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec!["id", "ts", "name", "user", "session", "value", "props", "x"]);
    let scalar = prop_oneof![
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(NOW_MS.to_string()),
        prop::sample::select(vec!["null", "true", r#""\ud800""#, r#""\u0000""#, "1e999", "{}", "[]", "\""])
            .prop_map(str::to_owned),
    ];
    let value = scalar.prop_recursive(3, 20, 4, move |inner| {
        let object = prop::collection::vec((field.clone(), inner.clone()), 0..6).prop_map(|fields| {
            let fields: Vec<_> =
                fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}", fields.join(","))
        });
        prop_oneof![object, prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(",")))]
    });
    (prop::collection::vec(value, 0..5), prop::sample::select(vec!["\n", ",", " "]), any::<bool>()).prop_map(
        |(values, between, array)| {
            let body = values.join(between);
            if array { format!("[{body}]") } else { body }
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(body: Vec<u8>) {
        let _ = read(&body, &request());
        let _ = gunzip(&body);
    }

    /// What is accepted can be stored: no U+0000, no text too long, JSON that a strict reader takes.
    #[test]
    fn what_is_accepted_can_be_stored(body in bodies()) {
        let Ok(verdicts) = read(body.as_bytes(), &request()) else { return Ok(()) };
        let events: Vec<Event> = verdicts.into_iter().flatten().collect();
        for event in &events {
            let props = event.props.to_json();
            prop_assert!(serde_json::from_str::<serde_json::Map<_, _>>(&props).is_ok());
            let texts = [Some(event.name.as_str()), event.user.as_ref().map(|user| user.as_str())];
            prop_assert!(texts.into_iter().flatten().all(|text| !text.contains('\0')));
        }
        let entry = Entry { receipt: Uuid::nil(), events };
        prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
}
