use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::load::measured::EndedRequest;
use crate::load::{Cause, Completed, Trace};

fn measured(latencies_ms: impl IntoIterator<Item = u64>, lost: u64) -> Measured {
    let mut measured = Measured::new(Duration::from_millis(500));
    let start = Instant::now();
    let mut record = |ms, result| {
        measured.record(&EndedRequest {
            start,
            intended: start,
            finished: start + Duration::from_millis(ms),
            trace: Trace { sent: Some(start), ..Trace::default() },
            result: Some(result),
        });
    };
    for ms in latencies_ms {
        record(ms, Ok(Completed { status: 200, success: true, body_bytes: 1 }));
    }
    for _ in 0..lost {
        record(1, Err(Cause::ConnectionRefused));
    }
    measured
}

fn held(text: &str, measured: &Measured) -> bool {
    text.parse::<Checks>()
        .expect(text)
        .evaluate(measured)
        .iter()
        .all(|finding| finding.verdict == Verdict::Held)
}

#[test]
fn checks_are_read_and_written_back() {
    for text in ["p95<800ms", "good>99%", "p99.9<=1.5s,ok>=99.5%,failed<1%,not_sent<=0%,rate>29.5,max<2s"] {
        assert_eq!(text.parse::<Checks>().expect(text).to_string(), text);
    }
    assert_eq!(" p50 < 0.8s , good >= 0.29 ".parse::<Checks>().unwrap().to_string(), "p50<800ms,good>=29%");
    assert_eq!("rate>6000/m".parse::<Checks>().unwrap().to_string(), "rate>100");
}

#[test]
fn an_invalid_check_is_refused_with_its_invalid_part() {
    for bad in [
        "",
        "p95",
        "p95<",
        "p95<800",
        "p100<1s",
        "p0<1s",
        "pp<1s",
        "good>101%",
        "good>99ms",
        "good=99%",
        "rate>x",
        "rate>inf",
        "mean<1s",
        "p95!1s",
        "p95<-1s",
        "good>-1%",
        "p95<1s,",
    ] {
        assert!(bad.parse::<Checks>().is_err(), "{bad}");
    }
    let refusal = "p95<1s,often>2%".parse::<Checks>().unwrap_err();
    assert!(refusal.value == "often>2%" && refusal.allowed.contains("p95<800ms,good>99%"), "{refusal}");
    let refusal = "p95<800".parse::<Checks>().unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "\"p95<800\" is not allowed: a time needs a unit: did you mean 800ms or 800s?"
    );
    assert!(vec!["ok>1%"; 33].join(",").parse::<Checks>().is_err());
}

#[test]
fn checks_hold_over_all_that_was_offered() {
    let fine = measured(0..1_000, 0);
    assert!(held("p50<501ms,p50>490ms,p99<=1s,good>50%,good<=50.1%,ok>=100%,failed<=0,max<1s", &fine));
    assert!(!held("p50<400ms", &fine) && !held("good>51%", &fine));
    // A lost request is no fast one.
    let lossy = measured(0..1_000, 20);
    assert!(!held("p99<10s", &lossy) && held("p99>10s", &lossy) && !held("max<1h", &lossy));
    assert!(held("failed<2%,failed>1.9%", &lossy));
}

#[test]
fn an_unknown_figure_does_not_hold_and_gives_the_reason() {
    let few = measured(0..50, 0);
    let findings = "p99<1h".parse::<Checks>().unwrap().evaluate(&few);
    assert_eq!(findings[0].verdict, Verdict::Undecided);
    assert_eq!(findings[0].found, "not known: 50 requests, but 1000 are needed");
    assert!(!held("good>0%", &Measured::default()) && !held("max<1s", &Measured::default()));
}

#[test]
fn a_finding_for_programs_is_a_number_in_its_unit_or_null_with_the_reason() {
    let found = |text: &str, measured| {
        let finding = text.parse::<Checks>().unwrap().evaluate(measured).remove(0);
        let mut json = serde_json::to_value(finding).unwrap();
        assert_eq!(json.as_object_mut().unwrap().remove("check"), Some(text.into()));
        json
    };
    let lossy = measured((0..1_000).map(|_| 1), 20);
    let nothing = Measured::default();
    for (text, of, json) in [
        ("p50<10ms", &lossy, json!({ "verdict": "held", "found": "1.00 ms", "found_ms": 1.0 })),
        (
            "p99<10ms",
            &lossy,
            json!({ "verdict": "failed", "found": "not reached", "found_ms": null, "found_why": "not_reached" }),
        ),
        (
            "max<1s",
            &nothing,
            json!({ "verdict": "undecided", "found": "nothing was answered", "found_ms": null, "found_why": "too_few" }),
        ),
        (
            "good>50%",
            &nothing,
            json!({ "verdict": "undecided", "found": "none offered", "found_rate": null, "found_why": "none_offered" }),
        ),
        (
            "failed<=50%",
            &measured([1, 1], 2),
            json!({ "verdict": "held", "found": "50.00 % (2 of 4)", "found_rate": 0.5 }),
        ),
        ("rate>1", &nothing, json!({ "verdict": "failed", "found": "0.0 /s", "found_per_second": 0.0 })),
    ] {
        assert_eq!(found(text, of), json, "{text}");
    }
}

#[test]
fn a_verdict_is_one_beyond_chance() {
    let verdict = |text: &str, measured| text.parse::<Checks>().unwrap().verdict(measured);
    // 99.5 % within half a second, of 400 and of 40,000.
    let small = measured((0..400).map(|n| if n < 398 { 10 } else { 900 }), 0);
    let large = measured((0..40_000).map(|n| if n < 39_800 { 10 } else { 900 }), 0);
    assert_eq!(verdict("good>99%", &small), Verdict::Undecided);
    assert_eq!(verdict("good>99%", &large), Verdict::Held);
    assert_eq!(verdict("p99<500ms,good>99%", &large), Verdict::Held);
    assert_eq!(verdict("p99.9<500ms,good>99%", &large), Verdict::Failed);
    assert_eq!(verdict("failed<1%", &large), Verdict::Held);
    assert_eq!(verdict("p99>500ms", &large), Verdict::Failed);
    assert_eq!(verdict("good>99%", &Measured::default()), Verdict::Undecided);
}
