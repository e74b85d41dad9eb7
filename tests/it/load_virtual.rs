//! Load in virtual time: honesty, searches and comparisons against simulated servers.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use lab::{
    config::Rate,
    latency::{Outcome, Quantile},
    load::{
        Cause, Checks, Completed, Control, Live, Measured, Pace, Plan, Schedule, Spacing, Stage, Trace,
        Transport, Verdict,
        compare::{self, Figure, Question},
        find_max::{Search, step_length},
    },
    sim::{Contention, Key, OnCallerGone, Profile, Service, Spec},
};
use tokio::time::{Instant, sleep, sleep_until};

const SLO: Duration = Duration::from_millis(500);

/// A server that takes 1 ms, and stands still once.
struct Stalling {
    start: Instant,
}

impl Stalling {
    const FROM: Duration = Duration::from_secs(20);
    const UNTIL: Duration = Duration::from_secs(22);
}

impl Transport for Stalling {
    async fn exchange(&self, _request: u64, trace: &mut Trace) -> Result<Completed, Cause> {
        trace.sent = Some(Instant::now());
        if (Self::FROM..Self::UNTIL).contains(&self.start.elapsed()) {
            sleep_until(self.start + Self::UNTIL).await;
        }
        sleep(Duration::from_millis(1)).await;
        Ok(Completed { status: 200, success: true, body_bytes: 1 })
    }
}

/// A simulated service as a server.
struct Simulated {
    service: Service,
    seed: u64,
}

impl Simulated {
    fn new(latency: &str, contention: &str, seed: u64) -> Arc<Self> {
        let service = Service::start(Spec {
            latency: Profile::parse(latency).expect(latency),
            slower: 1.0,
            error_rate: "0".parse().expect("a share"),
            contention: contention.parse::<Contention>().expect(contention),
            on_caller_gone: OnCallerGone::Continue,
        });
        Arc::new(Self { service, seed })
    }
}

impl Transport for Simulated {
    async fn exchange(&self, request: u64, trace: &mut Trace) -> Result<Completed, Cause> {
        trace.sent = Some(Instant::now());
        let key = Key { seed: self.seed, request, service: 'B', attempt: 0 };
        match self.service.call(key, None).await {
            Ok(()) => Ok(Completed { status: 200, success: true, body_bytes: 0 }),
            Err(_) => Ok(Completed { status: 503, success: false, body_bytes: 0 }),
        }
    }
}

fn rate(rate: f64) -> Rate {
    Rate::try_from(rate).expect("a rate")
}

fn hold(at: f64, seconds: u64, spacing: Spacing) -> Schedule {
    Schedule::hold(rate(at), Duration::from_secs(seconds), spacing)
}

fn open(schedule: Schedule, max_in_flight: u32) -> Pace {
    Pace::Open { schedule, max_in_flight: NonZeroU32::new(max_in_flight).expect("not 0") }
}

async fn measure<T: Transport>(pace: Pace, transport: Arc<T>) -> Measured {
    let plan = Plan { pace, timeout: Duration::from_secs(60), slo: SLO };
    plan.run(transport, &Control::default(), &Live::new(plan.slo, None)).await
}

fn p99(histogram: &lab::latency::Histogram) -> f64 {
    histogram.percentile(0.99).value().expect("reached").as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_sees_a_stall_that_a_closed_one_hides() {
    let server = || Arc::new(Stalling { start: Instant::now() });
    let schedule = || hold(500.0, 60, Spacing::Constant);
    let users = NonZeroU32::new(5).expect("not 0");
    let length = Duration::from_secs(60);

    let open = measure(open(schedule(), 10_000), server()).await;
    assert_eq!(open.offered(), 30_000);
    let honest = p99(open.recorder.headline());
    assert!((1.35..1.45).contains(&honest), "{honest}");

    let closed = measure(Pace::Closed { requests: None, users, length, schedule: None }, server()).await;
    assert!(p99(closed.recorder.headline()) < 0.010);

    let paced =
        measure(Pace::Closed { requests: None, users, length, schedule: Some(schedule()) }, server()).await;
    assert!(p99(paced.recorder.since_sent()) < 0.010);
    let from_intended = p99(paced.recorder.headline());
    assert!((from_intended / honest - 1.0).abs() < 0.10, "{from_intended} {honest}");
}

#[tokio::test(start_paused = true)]
async fn a_request_above_the_limit_is_not_sent_and_infinitely_slow() {
    let server = Simulated::new("constant:1000", "off", 1);
    let measured = measure(open(hold(100.0, 10, Spacing::Constant), 50), server).await;
    let not_sent = measured.caused(Cause::NotSent);
    assert_eq!((measured.offered(), measured.sent()), (1_000, 1_000 - not_sent));
    assert!((480..=500).contains(&not_sent), "half of them find the limit: {not_sent}");
    assert_eq!(measured.recorder.headline().percentile(0.9), Quantile::NotReached);
    assert_eq!(measured.count(Outcome::NotSent), not_sent);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_slow_requests_in_flight_do_not_delay_the_schedule() {
    let server = Simulated::new("constant:10000", "off", 1);
    let measured = measure(open(hold(1_000.0, 20, Spacing::Constant), 11_000), server).await;
    assert_eq!((measured.sent(), measured.count(Outcome::Ok)), (20_000, 20_000));
    assert!(measured.recorder.send_lag().max().expect("sent") <= Duration::from_millis(1));
    assert_eq!(measured.fell_behind(), None);
    assert!((measured.sent_per_second() / 1_000.0 - 1.0).abs() < 0.01);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| async move {
        let server = Simulated::new("lognormal:80,0.5", "pool:8", seed);
        let measured = measure(open(hold(60.0, 20, Spacing::Poisson { seed }), 1_000), server).await;
        serde_json::to_string(&measured).expect("JSON")
    };
    let first = run(7).await;
    assert_eq!(first, run(7).await);
    assert_ne!(first, run(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_requests_in_flight_and_an_abort_counts_them() {
    for abort in [false, true] {
        let control = Control::default();
        let server = Simulated::new("constant:5000", "off", 1);
        let pace = open(hold(100.0, 3_600, Spacing::Constant), 10_000);
        let plan = Plan { pace, timeout: Duration::from_secs(60), slo: SLO };
        let live = Live::new(plan.slo, None);
        let signals = async {
            sleep(Duration::from_secs(10)).await;
            // The arrival of this very moment may be among them.
            assert!(live.in_flight().abs_diff(500) <= 1, "{}", live.in_flight());
            control.stopping.cancel();
            if abort {
                sleep(Duration::from_secs(1)).await;
                control.aborted.cancel();
            }
        };
        let (measured, ()) = tokio::join!(plan.run(server, &control, &live), signals);
        assert!(measured.interrupted);
        let (ok, unfinished) = (measured.count(Outcome::Ok), measured.count(Outcome::Unfinished));
        assert_eq!(measured.offered(), ok + unfinished);
        assert!(measured.offered().abs_diff(1_000) <= 1, "{}", measured.offered());
        let left = if abort { 400 } else { 0 };
        assert!(unfinished.abs_diff(left) <= u64::from(abort), "{unfinished}");
        assert_eq!(live.in_flight(), 0);
    }
}

/// A server that does to every request what its number says.
struct Moody;

impl Moody {
    const KINDS: u64 = 4;
}

impl Transport for Moody {
    async fn exchange(&self, request: u64, trace: &mut Trace) -> Result<Completed, Cause> {
        let kind = request % Self::KINDS;
        sleep(Duration::from_millis(1)).await;
        if kind == 0 {
            return Err(Cause::ConnectionRefused);
        }
        trace.stage = Stage::Sent;
        trace.sent = Some(Instant::now());
        sleep(Duration::from_millis(9)).await;
        match kind {
            1 => Err(Cause::ClosedBeforeAnswer),
            2 => std::future::pending().await,
            _ => Ok(Completed { status: 200, success: true, body_bytes: 3 }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_is_counted_once_whatever_its_outcome() {
    let length = Duration::from_secs(10);
    let users = NonZeroU32::new(7).expect("not 0");
    for pace in [
        open(hold(100.0, 10, Spacing::Constant), 10_000),
        open(hold(100.0, 10, Spacing::Constant), 20),
        Pace::Closed { requests: None, users, length, schedule: None },
        Pace::Closed { requests: None, users, length, schedule: Some(hold(100.0, 10, Spacing::Constant)) },
    ] {
        for abort in [false, true] {
            let plan = Plan { pace: pace.clone(), timeout: Duration::from_millis(700), slo: SLO };
            let (control, live) = (Control::default(), Live::new(SLO, None));
            let signals = async {
                if abort {
                    sleep(Duration::from_millis(5_005)).await;
                    control.stopping.cancel();
                    control.aborted.cancel();
                }
            };
            let (measured, ()) = tokio::join!(plan.run(Arc::new(Moody), &control, &live), signals);
            let [refused, closed, not_in_time, not_sent] =
                [Cause::ConnectionRefused, Cause::ClosedBeforeAnswer, Cause::NoAnswerInTime, Cause::NotSent]
                    .map(|cause| measured.caused(cause));
            let unfinished = measured.count(Outcome::Unfinished);
            assert_eq!(unfinished > 0, abort, "{plan:?}");
            assert!(refused.min(closed).min(not_in_time).min(measured.answered()) > 0, "{measured:?}");
            let lost = refused + closed + not_in_time + not_sent;
            assert_eq!(measured.offered(), measured.answered() + lost + unfinished, "{plan:?}");
            let sent_and_unfinished = measured.recorder.since_sent().censored();
            assert_eq!(
                measured.sent(),
                measured.answered() + closed + not_in_time + sent_and_unfinished,
                "{plan:?}"
            );
            assert_eq!(measured.body_bytes, 3 * measured.answered());
            assert_eq!(live.in_flight(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_closed_loop_finishes_its_seconds_as_it_runs() {
    let users = NonZeroU32::new(1).expect("not 0");
    let pace = Pace::Closed { requests: None, users, length: Duration::from_secs(3_600), schedule: None };
    let plan = Plan { pace, timeout: Duration::from_secs(5), slo: SLO };
    let (control, live) = (Control::default(), Live::new(SLO, None));
    let server = Simulated::new("constant:20", "off", 1);
    let (_, ()) = tokio::join!(plan.run(server, &control, &live), async {
        sleep(Duration::from_secs(60)).await;
        // A closed second has its percentiles; one that can still change has none.
        let with_p50 =
            live.look(|measured| measured.series.seconds().filter(|(_, s)| s.latency.is_some()).count());
        assert!((50..60).contains(&with_p50), "{with_p50}");
        control.stopping.cancel();
    });
}

/// The interval of the highest rate of a server.
async fn find_max(checks: &str, first: f64, server: impl Fn() -> Arc<Simulated>) -> (f64, f64) {
    let checks: Checks = checks.parse().expect("checks");
    let precision = 0.05;
    let mut search = Search::new(rate(first), rate(0.1), rate(10_000.0), precision);
    while let Some(at) = search.next() {
        let length = step_length(&checks, at, SLO, precision, Duration::from_secs(5));
        let schedule = Schedule::hold(at, length, Spacing::Constant);
        let measured = measure(open(schedule, 100_000), server()).await;
        search.record(checks.verdict(&measured));
    }
    let found = search.found();
    (found.holds.expect("it held"), found.fails.expect("it failed"))
}

#[tokio::test(start_paused = true)]
async fn find_max_finds_a_known_capacity() {
    for (latency, contention, capacity, first) in
        [("constant:100", "pool:4", 40.0, 7.0), ("constant:250", "pool:8", 32.0, 500.0)]
    {
        let (holds, fails) =
            find_max("p99<800ms,good>99%", first, || Simulated::new(latency, contention, 1)).await;
        assert!(holds <= capacity * 1.001 && capacity <= fails, "{holds} {fails}");
        assert!(fails / holds <= 1.11, "{holds} {fails}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sample_that_is_too_small_is_undecided() {
    let server = Simulated::new("uniform:0,1000", "off", 3);
    let measured = measure(open(hold(20.0, 10, Spacing::Constant), 1_000), server).await;
    let verdict = |text: &str| text.parse::<Checks>().expect("checks").verdict(&measured);
    assert_eq!(verdict("good>50%"), Verdict::Undecided);
    assert_eq!((verdict("good>20%"), verdict("good>80%")), (Verdict::Held, Verdict::Failed));
}

/// Compares two simulated servers, in blocks of 60 requests.
async fn compare(run: u64, pairs: usize, a: &str, b: &str) -> compare::Comparison {
    let question = Question { margin: 0.0, detect: 0.05, confidence: 0.99 };
    let mut figures = Vec::new();
    for pair in 0..pairs as u64 {
        let mut both = [0.0; 2];
        for (place, latency) in [a, b].into_iter().enumerate() {
            let server = Simulated::new(latency, "off", run * 1_000_000 + pair * 2 + place as u64);
            let measured = measure(open(hold(60.0, 1, Spacing::Constant), 1_000), server).await;
            both[place] = Figure::P50.of(&measured).expect("enough");
        }
        figures.push((both[0], both[1]));
    }
    compare::compare(&figures, &question).expect("pairs")
}

#[tokio::test(start_paused = true)]
async fn a_server_compared_with_itself_stays_undecided() {
    let mut undecided = 0;
    for run in 0..100 {
        let found = compare(run, 10, "lognormal:1000,0.3", "lognormal:1000,0.3").await;
        undecided += usize::from(found.answer == compare::CompareVerdict::Undecided);
    }
    assert!(undecided >= 95, "{undecided} of 100");
}

#[tokio::test(start_paused = true)]
async fn a_slowdown_of_five_percent_is_found_with_the_predicted_number_of_pairs() {
    let (known, slower) = ("lognormal:1000,0.3", "lognormal:1050,0.3");
    let mut found = 0;
    for run in 0..20 {
        let needed = compare(1_000 + run, 20, known, slower).await.pairs_needed.expect("a number");
        assert!((8..100).contains(&needed), "{needed}");
        let answer = compare(2_000 + run, needed, known, slower).await.answer;
        found += usize::from(answer == compare::CompareVerdict::Regression);
    }
    // Asked for 9 of 10; the spread itself is estimated from 20 pairs.
    assert!(found >= 16, "{found} of 20");
}

/// Nobody listens.
struct Away;

impl Transport for Away {
    async fn exchange(&self, _request: u64, _trace: &mut Trace) -> Result<Completed, Cause> {
        Err(Cause::ConnectionRefused)
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_ends_the_run() {
    const USERS: u32 = 7;
    let length = Duration::from_secs(3_600);
    let users = NonZeroU32::new(USERS).expect("not 0");
    for (pace, most) in [
        (open(hold(10.0, 3_600, Spacing::Constant), 10_000), 51),
        // Each asks twice at once, then after 1, 2, 4 ms and so on.
        (Pace::Closed { requests: None, users, length, schedule: None }, 16 * u64::from(USERS)),
    ] {
        let plan = Plan { pace, timeout: length, slo: SLO };
        let started = Instant::now();
        let measured = plan.run(Arc::new(Away), &Control::default(), &Live::new(SLO, None)).await;
        assert_eq!(started.elapsed().as_secs(), 5);
        assert!(measured.interrupted && measured.scheduled_ms < 6_000.0, "{measured:?}");
        let refused = measured.caused(Cause::ConnectionRefused);
        assert!(refused > 40 && refused <= most, "{refused}");
        assert!(measured.offered() - refused <= 1, "{measured:?}");
    }
}
