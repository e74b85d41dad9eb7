//! Rules of every grammar: a printed value parses to the same value, a text means the same in a flag and in a
//! document, and no text makes the parser panic.

use std::{fmt::Debug, fmt::Display, str::FromStr, time::Duration};

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

use super::{Allowed, Fraction, Invalid, Rate, Seed, Span, read_rate, read_share, read_size, read_time};
use crate::{bounded, choice, share, size, time};

bounded!(
    /// A count.
    pub(super) Small: u32 = 1 to 10
);
time!(
    /// A time whose name ends in its unit.
    pub(super) PatienceMs = 1 ms to 60 s in milliseconds
);
time!(
    /// A time whose name does not end in a unit.
    pub(super) Pause = 0 s to 1 h
);
share!(
    /// A share whose range is not 0 to 1.
    pub(super) Margin = 0.001 to 10, such as "5% or 0.05"
);
size!(
    /// A size.
    pub(super) RoomBytes = 1 B to 10 GB
);
choice! {
    /// A choice.
    pub(super) enum Colour {
        /// As grass.
        Green = "green",
        /// As the sky at night.
        DarkBlue = "dark-blue",
        /// As snow.
        White = "white",
    }
}

/// Parses a text and checks that a document gives the same value, and that the printed value parses back.
fn parse<T>(text: &str) -> Result<T, Invalid>
where
    T: FromStr<Err = Invalid> + Allowed + Display + Copy + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let value: Result<T, Invalid> = text.parse();
    let body: Result<T, String> =
        serde_json::from_value(text.into()).map_err(|error: serde_json::Error| error.to_string());
    assert_eq!(body, value.as_ref().copied().map_err(|refusal| refusal.to_string()), "{text:?} in a body");
    // A JSON number means what its digits mean in a flag.
    if let Ok(number) = serde_json::from_str::<serde_json::Number>(text)
        && number.to_string() == text
    {
        assert_eq!(serde_json::from_str::<T>(text).ok(), value.as_ref().copied().ok(), "{text} as a number");
    }
    if let Ok(value) = &value {
        assert_eq!(value.to_string().parse().as_ref(), Ok(value), "{text:?} printed as {value}");
        let written = serde_json::to_string(value).expect("JSON");
        assert_eq!(serde_json::from_str::<T>(&written).as_ref().ok(), Some(value), "{text:?} as {written}");
    }
    value
}

fn refused<T>(text: &str, allowed: &str)
where
    T: FromStr<Err = Invalid> + Allowed + Display + Copy + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let refusal = parse::<T>(text).expect_err(text);
    assert_eq!((refusal.value.as_str(), refusal.allowed.as_str()), (text, allowed));
}

#[test]
fn times_are_parsed_with_their_units() {
    for (text, ms, printed) in [
        ("250ms", 250.0, "250ms"),
        ("1.5s", 1_500.0, "1.5s"),
        (" 2m30s ", 150_000.0, "150s"),
        ("1h", 3_600_000.0, "3600s"),
        ("0s", 0.0, "0s"),
        ("0.25ms", 0.25, "0.25ms"),
        ("1001500us", 1_001.5, "1.0015s"),
        ("5 m", 300_000.0, "300s"),
    ] {
        let time = parse::<Pause>(text).expect(text);
        assert_eq!((time.get().as_secs_f64() * 1e3, time.to_string().as_str()), (ms, printed), "{text}");
    }
    let allowed = "a time from 0s to 1h, such as 250ms or 1.5s";
    for bad in ["", "s", "-1s", "1s ago", "61m", "1 day", "1mo", "1w", "NaNs", "infs", "1e3s", "1ss", "1s1"] {
        refused::<Pause>(bad, allowed);
    }
    assert_eq!(read_time("99999999999999999999h"), None);
}

#[test]
fn the_error_for_a_time_without_a_unit_suggests_the_unit() {
    refused::<Pause>("30", "a time needs a unit: did you mean 30s?");
    refused::<Pause>("1.5", "a time needs a unit: did you mean 1.5s?");
    refused::<Pause>("250", "a time needs a unit: did you mean 250ms or 250s?");
    refused::<Pause>("60000", "a time needs a unit: did you mean 60000ms?");
    refused::<Pause>("99999999", "a time from 0s to 1h, such as 250ms or 1.5s");
    refused::<Pause>("1.2.3", "a time from 0s to 1h, such as 250ms or 1.5s");
}

#[test]
fn a_time_whose_name_ends_in_ms_accepts_a_bare_number() {
    for (text, ms) in [("1", 1), ("60000", 60_000), ("250ms", 250), ("0.5s", 500), (" 1m ", 60_000)] {
        assert_eq!(parse::<PatienceMs>(text).map(PatienceMs::ms), Ok(ms), "{text}");
        assert_eq!(parse::<PatienceMs>(text).map(PatienceMs::get), Ok(Duration::from_millis(ms)));
    }
    let allowed = "a time from 1ms to 60s, such as 250ms; a bare number is milliseconds";
    for bad in ["0", "60001", "-1", "1.5", "0.5ms", "61s", "", "soon", "1e3"] {
        refused::<PatienceMs>(bad, allowed);
    }
    refused::<PatienceMs>("1.5ms", &format!("{allowed}; whole milliseconds only"));
    let time: PatienceMs = "1.5s".parse().expect("a time");
    assert_eq!(serde_json::to_string(&time).expect("JSON"), "1500");
    let pause: Pause = "1.5s".parse().expect("a time");
    assert_eq!(serde_json::to_string(&pause).expect("JSON"), "\"1.5s\"");
}

#[test]
fn rates_are_per_second_unless_they_name_another_unit() {
    for (text, rate, printed) in [
        ("30", 30.0, "30"),
        ("100/s", 100.0, "100"),
        ("1/m", 1.0 / 60.0, "1/m"),
        (" 5 /h", 5.0 / 3_600.0, "5/h"),
        ("0.5", 0.5, "0.5"),
    ] {
        let read: Rate = text.parse().expect(text);
        assert_eq!((read.get(), read.to_string().as_str()), (rate, printed), "{text}");
    }
    for bad in ["", "0", "-3", "1e9", "x", "NaN", "inf", "30/d", "/s", "1/s/s", "0.5/h"] {
        assert_eq!(bad.parse::<Rate>(), Err(Invalid::new(bad, Rate::ALLOWED)), "{bad}");
    }
}

#[test]
fn shares_are_percentages_or_fractions() {
    for (text, share, printed) in [
        ("5%", 0.05, "5%"),
        ("0.05", 0.05, "5%"),
        ("0.1%", 0.001, "0.1%"),
        ("7 %", 0.07, "7%"),
        ("0", 0.0, "0%"),
        ("1", 1.0, "100%"),
        ("0.3333333333333333", 0.333_333_333_333_333_3, "0.3333333333333333"),
    ] {
        let read = parse::<Fraction>(text).expect(text);
        assert_eq!((read.get(), read.to_string().as_str()), (share, printed), "{text}");
    }
    for bad in ["-0.1", "101%", "NaN", "inf", "x", "%", "1e1%", "5%%", ""] {
        refused::<Fraction>(bad, "a share from 0 to 1, such as 5% or 0.05");
    }
    refused::<Fraction>("5", "a share from 0 to 1, such as 5% or 0.05: did you mean 5%?");
    refused::<Margin>("0.05%", "a share from 0.001 to 10, such as 5% or 0.05");
    assert_eq!(parse::<Margin>("1000%").map(Margin::get), Ok(10.0));
}

#[test]
fn sizes_are_bytes_unless_they_name_another_unit() {
    for (text, bytes, printed) in [
        ("64KiB", 65_536, "64KiB"),
        ("10MB", 10_000_000, "10MB"),
        ("1.5 MiB", 1_572_864, "1536KiB"),
        ("1000", 1_000, "1kB"),
        ("1023", 1_023, "1023B"),
        ("7B", 7, "7B"),
        ("1.3KiB", 1_331, "1331B"),
    ] {
        let read = parse::<RoomBytes>(text).expect(text);
        assert_eq!((read.get(), read.to_string().as_str()), (bytes, printed), "{text}");
    }
    for bad in ["", "0", "-1", "1.5", "10mb", "11GB", "KiB", "99999999999GiB", "1e3", "NaNKiB", "64Ki"] {
        refused::<RoomBytes>(bad, "a size from 1B to 10GB, such as 1KiB; a bare number is bytes");
    }
}

#[test]
fn counts_are_parsed_from_digits_and_choices_from_names() {
    assert_eq!(parse::<Small>(" 7 ").map(Small::get), Ok(7));
    for bad in ["0", "11", "-1", "1.5", "7.0", "", "seven", "99999999999999999999"] {
        refused::<Small>(bad, "a whole number from 1 to 10");
    }
    assert_eq!(parse::<Seed>("18446744073709551615").map(Seed::get), Ok(u64::MAX));
    for colour in Colour::ALL {
        assert_eq!(parse::<Colour>(colour.label()), Ok(colour));
    }
    refused::<Colour>("blue", "green, dark-blue or white");
    let schema = serde_json::to_value(<Colour as utoipa::PartialSchema>::schema()).expect("JSON");
    assert_eq!(schema["enum"], serde_json::json!(["green", "dark-blue", "white"]));
    let schema = serde_json::to_value(<PatienceMs as utoipa::PartialSchema>::schema()).expect("JSON");
    assert_eq!(schema["type"], serde_json::json!(["integer", "string"]));
    for bad in ["null", "[1]", "{}", "true"] {
        let refusal = serde_json::from_str::<Small>(bad).expect_err(bad).to_string();
        assert!(refusal.contains("a whole number from 1 to 10"), "{refusal}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_the_same_everywhere_or_refused(
        text in "[-+]?[0-9]{0,12}[.,]?[0-9]{0,12} ?(|%|/s|/m|/h|ns|us|ms|s|m|h|d|B|kB|MB|MiB|[a-zA-Zµ:%/ ]{1,6})([0-9.]{0,3}[a-z]{0,2})",
    ) {
        let _ = (parse::<Pause>(&text), parse::<Span>(&text), parse::<PatienceMs>(&text));
        let _ = (parse::<Fraction>(&text), parse::<Margin>(&text), parse::<RoomBytes>(&text), parse::<Small>(&text));
        if let Ok(rate) = text.parse::<Rate>() {
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text: String) {
        let _ = (read_time(&text), read_rate(&text), read_share(&text), read_size(&text));
        let _ = (text.parse::<Pause>(), text.parse::<PatienceMs>(), text.parse::<Fraction>());
    }

    #[test]
    fn every_printed_time_parses_to_itself(nanos in 1_000..86_400_000_000_000_u64) {
        let span = Span::try_from(Duration::from_nanos(nanos)).expect("in range");
        prop_assert_eq!(span.get(), Duration::from_nanos(nanos));
        prop_assert_eq!(span.to_string().parse(), Ok(span));
    }

    #[test]
    fn every_printed_rate_share_and_size_parses_to_itself(
        rate in 0.001..1e6_f64, share in 0.0..=1.0_f64, bytes in 1..=10_000_000_000_u64,
    ) {
        let rate = Rate::try_from(rate).expect("in range");
        prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        let share: Fraction = share.to_string().parse().expect("in range");
        prop_assert_eq!(share.to_string().parse(), Ok(share));
        let size: RoomBytes = bytes.to_string().parse().expect("in range");
        prop_assert_eq!((size.get(), size.to_string().parse()), (bytes, Ok(size)));
    }
}
