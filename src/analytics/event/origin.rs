//! Ids and times that the server makes for events that lack them.

use ring::digest::{Context, SHA256};
use uuid::{Builder, Uuid};

use super::time::judge;

/// What the server makes ids and times from: a time, and a seed that the request has.
///
/// A proxy that gets no answer sends the request again. With what it says about the request (its id, its start), the
/// copy gets the same ids and times, so its events are known and stored once. The place of the event in the request
/// and its bytes are part of its id too: a service that gives several calls one request id loses none.
#[derive(Debug, Clone)]
pub struct Origin {
    at_ms: i64,
    seed: [u8; 32],
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

impl Origin {
    /// Of a request that no proxy describes. `random` is drawn for it, so that no other request gets its ids.
    pub fn direct(received_ms: i64, random: u128) -> Self {
        Self { at_ms: received_ms, seed: digest(&[b"direct", &random.to_le_bytes()]) }
    }

    /// Of a request that a trusted proxy describes with `X-Request-Id` and `X-Request-Start`.
    ///
    /// The start is seconds since 1970 with a fraction (nginx's `$msec`), or whole seconds, milliseconds or
    /// microseconds, told apart by their 10, 13 or 16 digits; `t=` may stand before it. `None`: the id is empty, the
    /// start has another form, or an event of that time would not be accepted at `received_ms`. Such a request is
    /// [`direct`](Self::direct), and its retry is another request.
    pub fn proxied(request_id: &str, request_start: &str, received_ms: i64) -> Option<Self> {
        let at_ms = read_start(request_start).filter(|at_ms| judge(*at_ms, received_ms).is_ok())?;
        let seed = digest(&[b"proxied", request_id.as_bytes(), &at_ms.to_le_bytes()]);
        (!request_id.is_empty()).then_some(Self { at_ms, seed })
    }

    /// The time of an event that has none, in milliseconds since 1970.
    pub(super) const fn ts_ms(&self) -> i64 {
        self.at_ms
    }

    /// The id of an event that has none: a UUID of version 7 that begins with the event's time.
    pub(super) fn id(&self, ts_ms: i64, index: usize, event: &str) -> Uuid {
        let digest = digest(&[&self.seed, &(index as u64).to_le_bytes(), event.as_bytes()]);
        let mut random = [0; 10];
        random.copy_from_slice(&digest[..10]);
        Builder::from_unix_timestamp_millis(ts_ms.max(0) as u64, &random).into_uuid()
    }
}

fn read_start(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.strip_prefix("t=").unwrap_or(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = whole.parse().ok()?;
    match whole.len() {
        10 => {
            let thousandths = part.bytes().chain(*b"000").take(3);
            Some(thousandths.fold(number, |number, digit| number * 10 + i64::from(digit - b'0')))
        }
        13 => Some(number),
        16 => Some(number / 1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::time, *};

    const NOW_MS: i64 = 1_700_000_000_250;

    #[test]
    fn a_start_has_four_forms() {
        for (text, ms) in [
            ("t=1700000000.123", Some(1_700_000_000_123)),
            ("1700000000.1239", Some(1_700_000_000_123)),
            ("1700000000.1", Some(1_700_000_000_100)),
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000123", Some(1_700_000_000_123)),
            ("t=1700000000123456", Some(1_700_000_000_123)),
            ("", None),
            ("t=", None),
            ("17000000001", None),
            ("-700000000.1", None),
            ("1700000000.1x", None),
        ] {
            assert_eq!(read_start(text), ms, "{text}");
        }
    }

    #[test]
    fn a_proxy_that_says_too_little_is_not_believed() {
        assert!(Origin::proxied("a", "t=1700000000.123", NOW_MS).is_some());
        for (id, start) in
            [("", "t=1700000000.123"), ("a", ""), ("a", "t=1600000000.123"), ("a", "t=1800000000.123")]
        {
            assert!(Origin::proxied(id, start, NOW_MS).is_none(), "{id} {start}");
        }
    }

    #[test]
    fn only_the_same_event_of_the_same_request_has_the_same_id() {
        let id = |request, start, index, event| {
            let origin = Origin::proxied(request, start, NOW_MS).unwrap();
            origin.id(origin.ts_ms(), index, event)
        };
        let first = id("a", "1700000000.123", 0, "{}");
        // Received again later.
        let again = Origin::proxied("a", "1700000000.123", NOW_MS + 5_000).unwrap();
        assert_eq!(again.id(again.ts_ms(), 0, "{}"), first);
        assert_eq!(time::of_id(first), Some(1_700_000_000_123));
        let direct = Origin::direct(NOW_MS, 1);
        let all = [
            first,
            id("b", "1700000000.123", 0, "{}"),
            id("a", "1700000000.124", 0, "{}"),
            id("a", "1700000000.123", 1, "{}"),
            id("a", "1700000000.123", 0, "{ }"),
            direct.id(NOW_MS, 0, "{}"),
            Origin::direct(NOW_MS, 2).id(NOW_MS, 0, "{}"),
        ];
        assert_eq!(BTreeSet::from(all).len(), all.len());
    }
}
