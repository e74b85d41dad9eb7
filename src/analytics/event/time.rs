//! When an event happened.

use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::{Uuid, Variant};

use super::{
    json::{self, Kind},
    refusal::Reason,
};

/// How long after it happened an event is accepted, in milliseconds: 48 hours.
pub const AGE_LIMIT_MS: i64 = 48 * 3_600_000;
/// How far ahead of the server's clock the time of an event may be, in milliseconds: 10 minutes.
pub const AHEAD_LIMIT_MS: i64 = 10 * 60_000;

/// Reads a time: milliseconds since 1970 as an integer, or RFC 3339 with an offset. Parts of a millisecond are cut off.
pub(super) fn read(raw: &RawValue) -> Result<i64, Reason> {
    match json::kind(raw) {
        Kind::Number => {
            let digits = raw.get().strip_prefix('-').unwrap_or(raw.get());
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Reason::InvalidTs);
            }
            raw.get().parse().map_err(|_| Reason::IntegerTooLarge)
        }
        Kind::Text => {
            let text = json::text(raw)?;
            let time: Timestamp =
                is_rfc_3339(&text).then(|| text.parse().ok()).flatten().ok_or(Reason::InvalidTs)?;
            Ok(time.as_nanosecond().div_euclid(1_000_000) as i64)
        }
        _ => Err(Reason::InvalidTs),
    }
}

/// Whether a text has the form of RFC 3339, section 5.6; the parser takes more than that. Of the spaces and letters
/// that it allows, only `T`, `t`, `Z`, `z` and one space.
fn is_rfc_3339(text: &str) -> bool {
    let fits = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                b'T' => b"Tt ".contains(&byte),
                wanted => byte == wanted,
            })
    };
    const FORM: &str = "0000-00-00T00:00:00";
    let Some((moment, rest)) = text.split_at_checked(FORM.len()) else { return false };
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(part) => {
            let offset = part.trim_start_matches(|c: char| c.is_ascii_digit());
            if !(1..=9).contains(&(part.len() - offset.len())) {
                return false;
            }
            offset
        }
    };
    fits(moment, FORM)
        && (["Z", "z"].contains(&offset) || ["+00:00", "-00:00"].iter().any(|form| fits(offset, form)))
}

/// The time that a UUID of version 7 begins with, in milliseconds since 1970 (RFC 9562, section 5.7).
pub(super) fn of_id(id: Uuid) -> Option<i64> {
    let is_v7 = id.get_version_num() == 7 && id.get_variant() == Variant::RFC4122;
    is_v7.then(|| (id.as_u128() >> 80) as i64)
}

/// Whether an event of `ts_ms` is accepted at `received_ms`: from 48 hours before to 10 minutes after, ends included.
///
/// # Errors
/// [`Reason::TooOld`] or [`Reason::InFuture`].
pub const fn judge(ts_ms: i64, received_ms: i64) -> Result<(), Reason> {
    if ts_ms < received_ms.saturating_sub(AGE_LIMIT_MS) {
        Err(Reason::TooOld)
    } else if ts_ms > received_ms.saturating_add(AHEAD_LIMIT_MS) {
        Err(Reason::InFuture)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(json: &str) -> Result<i64, Reason> {
        read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_time_has_two_forms() {
        for (json, ms) in [
            ("0", 0),
            ("-5", -5),
            ("1700000000000", 1_700_000_000_000),
            (r#""1970-01-01T00:00:01Z""#, 1_000),
            (r#""1970-01-01t01:00:01.5+01:00""#, 1_500),
            (r#""1970-01-01 00:00:00.0019z""#, 1),
            (r#""1970-01-01T00:00:00-00:00""#, 0),
            (r#""1969-12-31T23:59:59.9999Z""#, -1),
        ] {
            assert_eq!(read_text(json), Ok(ms), "{json}");
        }
        for json in [
            "1.5",
            "1e3",
            "true",
            "{}",
            r#""""#,
            r#""1700000000000""#,
            r#""2026-01-31""#,
            r#""2026-01-31T12:00:00""#,
            r#""2026-01-31T12:00Z""#,
            r#""2026-02-30T12:00:00Z""#,
            r#""2026-01-31T12:00:00.Z""#,
            r#""2026-01-31T12:00:00.0000000000Z""#,
            r#""2026-01-31T12:00:00+0100""#,
            r#""2026-01-31T12:00:00+01:00[Europe/Paris]""#,
            r#""20260131T120000Z""#,
            r#""+002026-01-31T12:00:00Z""#,
            r#""2026-01-31T12:00:0üZ""#,
        ] {
            assert_eq!(read_text(json), Err(Reason::InvalidTs), "{json}");
        }
        assert_eq!(read_text("99999999999999999999"), Err(Reason::IntegerTooLarge));
    }

    #[test]
    fn the_ends_of_the_window_are_accepted() {
        let now = 1_700_000_000_000;
        assert_eq!(judge(now - AGE_LIMIT_MS, now), Ok(()));
        assert_eq!(judge(now - AGE_LIMIT_MS - 1, now), Err(Reason::TooOld));
        assert_eq!(judge(now + AHEAD_LIMIT_MS, now), Ok(()));
        assert_eq!(judge(now + AHEAD_LIMIT_MS + 1, now), Err(Reason::InFuture));
        assert_eq!(judge(i64::MIN, i64::MIN), Ok(()));
    }

    #[test]
    fn only_version_7_holds_a_time() {
        let id = |text: &str| Uuid::parse_str(text).unwrap();
        assert_eq!(of_id(id("018bcfe5-6800-7000-8000-000000000000")), Some(1_700_000_000_000));
        assert_eq!(of_id(id("018bcfe5-6800-4000-8000-000000000000")), None);
        assert_eq!(of_id(id("018bcfe5-6800-7000-c000-000000000000")), None);
        assert_eq!(of_id(Uuid::nil()), None);
    }

    proptest! {
        #[test]
        fn a_time_reads_as_it_was_printed(ms in 0_i64..4_102_444_800_000, offset in -18 * 60_i32..18 * 60) {
            let offset = jiff::tz::Offset::from_seconds(offset * 60).unwrap();
            let printed = Timestamp::from_millisecond(ms).unwrap().display_with_offset(offset).to_string();
            prop_assert_eq!(read_text(&format!("\"{printed}\"")), Ok(ms));
        }
    }
}
