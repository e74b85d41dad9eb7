//! A histogram as JSON: for people its figures, for programs HDR's V2 form in base64, which
//! HdrHistogram's implementations in other languages read (decompress nothing: it is the plain V2).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer as HdrReader, Serializer as _, V2Serializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Histogram, Outcome, Quantile, Recorder};

/// The percentiles that are written, as far as the sample carries them.
pub const PERCENTILES: [(f64, &str); 7] = [
    (0.5, "p50"),
    (0.75, "p75"),
    (0.9, "p90"),
    (0.95, "p95"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
];

/// The longest text that is read as a histogram: far more than one of this range takes.
const HDR_LIMIT_BYTES: usize = 4 << 20;

#[derive(Serialize, Deserialize)]
struct Form {
    /// Of the recorded times and of `hdr_v2`.
    unit: String,
    offered: u64,
    answered: u64,
    infinitely_slow: u64,
    censored: u64,
    #[serde(default, skip_deserializing)]
    mean_us: Option<f64>,
    #[serde(default, skip_deserializing)]
    min_us: Option<u64>,
    #[serde(default, skip_deserializing)]
    max_us: Option<u64>,
    /// Microseconds, or why there is no number.
    #[serde(default, skip_deserializing)]
    percentiles: serde_json::Map<String, serde_json::Value>,
    hdr_v2: String,
}

const UNIT: &str = "us";

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(self.buckets(), &mut bytes).map_err(S::Error::custom)?;
        let percentile = |(q, name): (f64, &str)| {
            let value = match self.percentile(q) {
                Quantile::Value(value) => us(value).into(),
                Quantile::NotReached => "not reached".into(),
                Quantile::TooFew { .. } => "too few".into(),
            };
            (name.to_owned(), value)
        };
        let form = Form {
            unit: UNIT.to_owned(),
            offered: self.offered(),
            answered: self.answered(),
            infinitely_slow: self.infinitely_slow(),
            censored: self.censored(),
            mean_us: self.mean().map(|mean| mean.as_secs_f64() * 1e6),
            min_us: self.min().map(us),
            max_us: self.max().map(us),
            percentiles: PERCENTILES.into_iter().map(percentile).collect(),
            hdr_v2: STANDARD.encode(bytes),
        };
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    /// Reads the counts and `hdr_v2`; the figures for people are worked out again.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::deserialize(deserializer)?;
        if form.unit != UNIT || form.hdr_v2.len() > HDR_LIMIT_BYTES {
            return Err(D::Error::custom("a histogram in microseconds of at most 4 MiB is allowed"));
        }
        let bytes = STANDARD.decode(&form.hdr_v2).map_err(D::Error::custom)?;
        let read = HdrReader::new()
            .deserialize::<u64, _>(&mut bytes.as_slice())
            .map_err(|error| D::Error::custom(format!("hdr_v2: {error:?}")))?;
        let histogram =
            Self::from_parts(&read, form.infinitely_slow, form.censored).map_err(D::Error::custom)?;
        if histogram.answered() != form.answered {
            return Err(D::Error::custom("hdr_v2 holds another count than `answered` says"));
        }
        Ok(histogram)
    }
}

#[derive(Serialize, Deserialize)]
struct RecorderForm {
    from_intended_start: Histogram,
    from_send: Histogram,
    send_lag: Histogram,
    by_outcome: std::collections::BTreeMap<String, Histogram>,
}

impl Serialize for Recorder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = |outcome: Outcome| Some((outcome.label().to_owned(), self.of(outcome)?.clone()));
        RecorderForm {
            from_intended_start: self.headline().clone(),
            from_send: self.since_sent().clone(),
            send_lag: self.send_lag().clone(),
            by_outcome: Outcome::ALL.into_iter().filter_map(named).collect(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recorder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = RecorderForm::deserialize(deserializer)?;
        let mut recorder = Self::with_views(form.from_intended_start, form.from_send, form.send_lag);
        for (label, histogram) in form.by_outcome {
            recorder.set(label.parse().map_err(D::Error::custom)?, histogram);
        }
        Ok(recorder)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::latency::Sample;

    fn filled() -> Histogram {
        let mut histogram = Histogram::new();
        for ms in 0..2_000 {
            histogram.record(Duration::from_millis(ms));
        }
        histogram.record(Duration::from_secs(7_200));
        for _ in 0..30 {
            histogram.record_infinitely_slow();
        }
        histogram.record_censored();
        histogram
    }

    #[test]
    fn a_histogram_comes_back_as_it_was() {
        for histogram in [Histogram::new(), filled()] {
            let json = serde_json::to_string(&histogram).unwrap();
            assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
        }
        let json = serde_json::to_value(filled()).unwrap();
        assert_eq!(json["percentiles"]["p99.9"], "too few");
        assert_eq!(json["percentiles"]["p99"], "not reached");
        assert!(json["percentiles"]["p50"].as_u64().unwrap() >= 1_000_000);
    }

    #[test]
    fn another_program_can_read_the_form() {
        let json = serde_json::to_value(filled()).unwrap();
        let bytes = STANDARD.decode(json["hdr_v2"].as_str().unwrap()).unwrap();
        // The cookie of V2: 0x1c849303 with one byte words (HdrHistogram, "Histogram encoding V2").
        assert_eq!(bytes[..4], [0x1c, 0x84, 0x93, 0x13]);
        let read: hdrhistogram::Histogram<u64> = HdrReader::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(read.len(), 2_001);
    }

    #[test]
    fn what_is_no_histogram_is_an_error() {
        let good = serde_json::to_value(filled()).unwrap();
        for (key, value) in [
            ("unit", "ns".into()),
            ("hdr_v2", "####".into()),
            ("hdr_v2", "AAAA".into()),
            ("answered", 3.into()),
            ("censored", (-1).into()),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            assert!(serde_json::from_value::<Histogram>(bad).is_err(), "{key}");
        }
    }

    #[test]
    fn a_recorder_comes_back_as_it_was() {
        let start = Instant::now();
        let mut recorder = Recorder::new();
        for (ms, outcome) in Outcome::ALL.into_iter().enumerate() {
            let finished = start + Duration::from_millis(10 + ms as u64);
            recorder.record(Sample { intended: start, sent: Some(start), finished, outcome });
        }
        let json = serde_json::to_string(&recorder).unwrap();
        assert_eq!(serde_json::from_str::<Recorder>(&json).unwrap(), recorder);
    }
}
