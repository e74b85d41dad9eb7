//! A histogram as JSON: for people its figures, for programs HDR's V2 form in base64, which
//! HdrHistogram's implementations in other languages read (decompress nothing: it is the plain V2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{
    Deserializer as HdrReader, Serializer as _, V2SerializeError, V2Serializer,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{Histogram, Outcome, Percentiles, Recorder, form::shown_as};

/// The longest text that is read as a histogram: far more than one of this range takes.
const HDR_LIMIT_BYTES: usize = 4 << 20;

/// Times of requests: figures, and all of them in `hdr_v2`.
#[derive(Serialize, Deserialize, ToSchema)]
struct Form {
    /// Requests.
    offered: u64,
    /// Those of them that had an answer.
    answered: u64,
    /// Those that will never have one.
    infinitely_slow: u64,
    /// Those that the end of the run cut off.
    censored: u64,
    /// Over all offered.
    percentiles: Percentiles,
    /// The unit of the times in `hdr_v2`: microseconds.
    hdr_unit: String,
    /// HdrHistogram's V2 form of the answered, in base64.
    hdr_v2: String,
}

const UNIT: &str = "us";

impl TryFrom<&Histogram> for Form {
    type Error = V2SerializeError;

    fn try_from(histogram: &Histogram) -> Result<Self, V2SerializeError> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(histogram.buckets(), &mut bytes)?;
        Ok(Self {
            offered: histogram.offered(),
            answered: histogram.answered(),
            infinitely_slow: histogram.infinitely_slow(),
            censored: histogram.censored(),
            percentiles: histogram.into(),
            hdr_unit: UNIT.to_owned(),
            hdr_v2: STANDARD.encode(bytes),
        })
    }
}

shown_as!(Histogram as Form);

impl<'de> Deserialize<'de> for Histogram {
    /// Reads the counts and `hdr_v2`; the figures for people are worked out again.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::deserialize(deserializer)?;
        if form.hdr_unit != UNIT || form.hdr_v2.len() > HDR_LIMIT_BYTES {
            return Err(D::Error::custom("hdr_v2 in microseconds (us) of at most 4 MiB is allowed"));
        }
        let bytes = STANDARD.decode(&form.hdr_v2).map_err(D::Error::custom)?;
        let read = HdrReader::new()
            .deserialize::<u64, _>(&mut bytes.as_slice())
            .map_err(|_| D::Error::custom("hdr_v2 is cut off, or not in HdrHistogram's V2 form"))?;
        let histogram =
            Self::from_parts(&read, form.infinitely_slow, form.censored).map_err(D::Error::custom)?;
        if histogram.answered() != form.answered {
            return Err(D::Error::custom("hdr_v2 holds another count than `answered` says"));
        }
        Ok(histogram)
    }
}

/// How long requests took, seen from several points.
#[derive(Serialize, Deserialize, ToSchema)]
struct RecorderForm {
    /// All offered, from the intended start.
    from_intended_start: Histogram,
    /// Those that were sent, from the send.
    from_send: Histogram,
    /// From the intended start to the send.
    send_lag: Histogram,
    /// By what became of them, until that was known.
    by_outcome: std::collections::BTreeMap<String, Histogram>,
}

impl From<&Recorder> for RecorderForm {
    fn from(recorder: &Recorder) -> Self {
        let named = |outcome: Outcome| Some((outcome.label().to_owned(), recorder.of(outcome)?.clone()));
        Self {
            from_intended_start: recorder.headline().clone(),
            from_send: recorder.since_sent().clone(),
            send_lag: recorder.send_lag().clone(),
            by_outcome: Outcome::ALL.into_iter().filter_map(named).collect(),
        }
    }
}

shown_as!(Recorder as RecorderForm);

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
    use std::time::Duration;

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
    fn a_histogram_survives_a_round_trip() {
        for histogram in [Histogram::new(), filled()] {
            let json = serde_json::to_string(&histogram).unwrap();
            assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
        }
        let json = serde_json::to_value(filled()).unwrap();
        assert_eq!(json["percentiles"]["p99_9_why"], "too_few");
        assert_eq!(json["percentiles"]["p99_why"], "not_reached");
        assert!(json["percentiles"]["p50_ms"].as_f64().unwrap() >= 1_000.0);
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
    fn an_invalid_histogram_is_an_error() {
        let good = serde_json::to_value(filled()).unwrap();
        let mut cut = good.clone();
        cut["hdr_v2"] = good["hdr_v2"].as_str().unwrap()[..64].into();
        let error = serde_json::from_value::<Histogram>(cut).unwrap_err().to_string();
        assert_eq!(error, "hdr_v2 is cut off, or not in HdrHistogram's V2 form");
        for (key, value) in [
            ("hdr_unit", "ns".into()),
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
    fn a_recorder_survives_a_round_trip() {
        let start = Instant::now();
        let mut recorder = Recorder::default();
        for (ms, outcome) in Outcome::ALL.into_iter().enumerate() {
            let finished = start + Duration::from_millis(10 + ms as u64);
            recorder.record(Sample { intended: start, sent: Some(start), finished, outcome });
        }
        let json = serde_json::to_string(&recorder).unwrap();
        assert_eq!(serde_json::from_str::<Recorder>(&json).unwrap(), recorder);
    }
}
