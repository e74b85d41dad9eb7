//! What the orchestrator does to chunks, under a paused clock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use lab::{
    cli,
    shutdown::Shutdown,
    streams::{Resize, ResizeError, Runtime, Statistics, Streams},
    telemetry::Instruments,
    web::RunState,
};
use tokio::time::{Instant, sleep};

use crate::support::run;

/// An orchestrator as `lab streams FLAGS` would configure it.
fn streams(flags: &[&str], observer: Option<lab::streams::Observer>) -> (Streams, Shutdown) {
    let arguments = ["lab", "streams"].iter().chain(flags).map(Into::into);
    let Some(cli::Task::Streams(args)) = cli::parse(arguments).expect("good flags").cli.command else {
        panic!("another command");
    };
    let shutdown = Shutdown::new(None, Duration::ZERO);
    let instruments = Instruments::silent();
    let runtime = Runtime { instruments, shutdown: shutdown.clone(), seed: 1, observer };
    (Streams::new(args.streams.config().expect("a configuration"), runtime), shutdown)
}

async fn run_for(flags: &[&str], seconds: u64) -> Statistics {
    let (streams, _shutdown) = streams(flags, None);
    streams.start().await.expect("it starts");
    // Virtual time: the length of the run.
    sleep(Duration::from_secs(seconds)).await;
    let statistics = streams.stop().await.expect("it ran");
    let ledger = statistics.ledger;
    assert!(ledger.balances() && ledger.queued == 0 && ledger.in_progress == 0, "{ledger:?}");
    statistics
}

fn ms(duration: Option<Duration>) -> f64 {
    duration.expect("a figure").as_secs_f64() * 1e3
}

#[tokio::test(start_paused = true)]
async fn configurations_with_room_drop_nothing() {
    let development =
        ["--workers-count", "10", "--streams-count", "20", "--stream-interval", "2000"].as_slice();
    let production = [
        ["--workers-count", "100", "--streams-count", "200", "--stream-interval", "500"].as_slice(),
        ["--chunk-size", "2048", "--buffer-size", "1000"].as_slice(),
    ]
    .concat();
    for (flags, per_second) in [([].as_slice(), 200.0), (development, 20.0), (&production, 800.0)] {
        let run = run_for(flags, 60).await;
        assert_eq!(run.ledger.dropped, 0, "{flags:?}");
        assert!((ms(run.processed.mean.value()) - 35.0).abs() < 1.0, "{flags:?}: {:?}", run.processed.mean);
        assert!(ms(run.offered.p99.value()) < 60.0, "{flags:?}: {:?}", run.offered.p99);
        assert!((run.throughput() / per_second - 1.0).abs() < 0.05, "{flags:?}: {}", run.throughput());
        assert_eq!(run.good.fraction(), Some(1.0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_configuration_prints_a_warning() {
    let flags = [
        ["--workers-count", "150", "--streams-count", "300", "--stream-interval", "100"].as_slice(),
        ["--chunk-size", "4096", "--buffer-size", "2000"].as_slice(),
    ]
    .concat();
    let run = run_for(&flags, 20).await;
    // 300 streams x 20 chunks a second offered, 150 workers / 35 ms served.
    let expected = 1.0 - (150.0 / 0.035) / 6_000.0;
    let dropped = run.ledger.dropped as f64 / run.ledger.generated as f64;
    assert!((dropped - expected).abs() < 0.02, "{dropped} dropped, {expected} expected");
    assert!((ms(run.processed.p50.value()) - 500.0).abs() < 25.0, "{:?}", run.processed.p50);
    assert!(run.offered.p95.value().is_none(), "more than one in twenty was dropped");
    assert_eq!(run.ledger.dropped, run.ledger.dropped_by.full);
}

#[tokio::test(start_paused = true)]
async fn at_the_extremes_of_the_ranges_every_policy_counts_its_drops() {
    for overload in ["drop-newest", "drop-oldest", "block", "fair"] {
        let flags = [
            ["--workers-count", "10", "--streams-count", "500", "--stream-interval", "100"].as_slice(),
            ["--overload", overload].as_slice(),
        ]
        .concat();
        let run = run_for(&flags, 3).await;
        let by = run.ledger.dropped_by;
        let reason = match overload {
            "drop-newest" => by.full,
            "drop-oldest" => by.evicted,
            "fair" => by.share + by.evicted,
            _ => by.total(),
        };
        assert_eq!(reason, run.ledger.dropped, "{overload}: {by:?}");
        assert_eq!(run.ledger.dropped > 0, overload != "block", "{overload}");
        assert!(run.ledger.processed > 800, "{overload}: {:?}", run.ledger);
    }
}

#[tokio::test(start_paused = true)]
async fn back_pressure_does_not_hide_in_the_latency() {
    // Twice what ten workers can do: the schedule runs away from the emission for as long as it lasts.
    let flags = ["--workers-count", "10", "--streams-count", "57", "--stream-interval", "200"];
    let blocked = run_for(&[flags.as_slice(), &["--overload", "block"]].concat(), 30).await;
    assert_eq!(blocked.ledger.dropped, 0);
    let p95 = ms(blocked.offered.p95.value());
    assert!(p95 > 10_000.0, "half of 30 s behind at the end, and it reads {p95} ms");
    assert!(ms(blocked.queue_wait.p99.value()) < 2_500.0, "the wait in the buffer alone shows nothing of it");
}

#[tokio::test(start_paused = true)]
async fn a_noisy_neighbour_costs_the_others_a_tenth_unless_the_policy_is_fair() {
    let flags = ["--workers-count", "10", "--noisy-factor", "100"];
    let lost = async |overload: &str| {
        let run = run_for(&[flags.as_slice(), &["--overload", overload]].concat(), 60).await;
        let others = run.neighbours.expect("there is a noisy one");
        assert!(others.whole > 11_000, "{others}");
        (others.whole - others.part, others.whole)
    };
    let (unfair, of) = lost("drop-newest").await;
    assert!(unfair * 10 >= of, "{unfair} of {of}");
    assert_eq!(lost("fair").await.0, 0);
}

#[tokio::test(start_paused = true)]
async fn workers_and_streams_can_be_added_and_removed_under_load_without_losing_a_chunk() {
    let seen: Arc<Mutex<BTreeMap<u64, usize>>> = Arc::default();
    let hear = seen.clone();
    let observer: lab::streams::Observer = Arc::new(move |processed| {
        *hear.lock().expect("no panic").entry(processed.number).or_default() += 1;
    });
    let (streams, _shutdown) = streams(&["--overload", "block"], Some(observer));
    assert_eq!(streams.resize(Resize::default()).await, Err(ResizeError::NotRunning));
    streams.start().await.expect("it starts");
    let sizes = [(10, 500), (200, 10), (10, 10), (50, 300), (11, 77), (200, 500), (10, 100)];
    for (workers, count) in sizes.into_iter().cycle().take(40) {
        // Virtual time: the length of the run.
        sleep(Duration::from_millis(337)).await;
        streams.resize(size(workers, count)).await.expect("it resizes");
        let status = streams.status();
        assert_eq!((status.workers_count, status.streams_count), (workers, count));
        let ledger = streams.audit();
        assert!(ledger.balances() && ledger.in_progress <= workers as u64, "{ledger:?}");
    }
    let Err(ResizeError::Misfit(misfit)) = streams.resize(size(201, 10)).await else { panic!("refused") };
    assert_eq!((misfit.variable, misfit.invalid.value.as_str()), ("WORKERS_COUNT", "201"));
    let run = streams.stop().await.expect("it ran");
    assert_eq!((run.ledger.generated, run.ledger.dropped), (run.ledger.processed, 0));
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen.len() as u64, run.ledger.generated, "each chunk once");
    assert!(seen.values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_another_size_and_leaves_changes_nothing_of_what_comes_of_it() {
    let flags = ["--stream-interval", "100", "--overload", "block"];
    let (streams, _shutdown) = streams(&flags, None);
    streams.start().await.expect("it starts");
    for (workers, count) in [(10, 10), (50, 100)].into_iter().cycle().take(12) {
        // Virtual time: long enough for all workers to be busy.
        sleep(Duration::from_millis(100)).await;
        let asked =
            tokio::time::timeout(Duration::from_millis(1), streams.resize(size(workers, count))).await;
        assert!(asked.is_err() || workers == 50, "workers that are to go have a chunk to finish");
        assert!(streams.audit().in_progress <= 50, "{:?}", streams.audit());
    }
    let run = streams.stop().await.expect("it ran");
    assert_eq!((run.ledger.dropped, run.ledger.generated), (0, run.ledger.processed));
}

#[tokio::test(start_paused = true)]
async fn a_pool_has_its_new_size_when_the_response_arrives_and_is_slower_then() {
    let (streams, _shutdown) = streams(&[], None);
    streams.start().await.expect("it starts");
    // Virtual time: the length of the run.
    sleep(Duration::from_secs(5)).await;
    let asked = Instant::now();
    streams.resize(size(10, 100)).await.expect("it resizes");
    assert!(asked.elapsed() <= Duration::from_millis(50), "a chunk's time at most");
    // 200 chunks a second for 10 workers: 70 % busy.
    sleep(Duration::from_secs(20)).await;
    assert!(streams.audit().in_progress <= 10);
    streams.stop().await.expect("it ran");
}

#[tokio::test(start_paused = true)]
async fn fair_has_a_place_for_each_stream_or_refuses_it() {
    let (streams, _shutdown) = streams(&["--overload", "fair", "--buffer-size", "100"], None);
    streams.start().await.expect("as many streams as places");
    assert_eq!(streams.resize(size(50, 101)).await, Err(ResizeError::NoSlots { capacity: 100 }));
    assert_eq!(streams.status().streams_count, 100, "nothing was changed");
    streams.stop().await.expect("it ran");
    let (code, _, err) =
        run(&["streams", "--overload", "fair", "--buffer-size", "100", "--streams-count", "101"], &[]);
    assert_eq!(code, 2);
    assert!(err.contains("STREAMS_COUNT (--streams-count, from the flag): \"101\""), "{err}");
}

#[tokio::test(start_paused = true)]
async fn it_can_start_again_and_its_counts_continue() {
    let (streams, shutdown) = streams(&[], None);
    assert_eq!(streams.lifecycle().state(), RunState::Idle);
    assert!(streams.stop().await.is_none(), "nothing runs");
    for round in 1..=3 {
        streams.start().await.expect("it starts");
        assert!(streams.start().await.is_err(), "one run at a time");
        // Virtual time: the length of the run.
        sleep(Duration::from_secs(2)).await;
        let run = streams.stop().await.expect("it ran");
        assert!(run.ledger.processed > 300 && run.elapsed < Duration::from_secs(3), "a run begins at 0");
        assert!(streams.audit().generated >= 300 * round, "the process's balance goes on");
        assert!(streams.audit().balances());
        assert_eq!(streams.lifecycle().state(), RunState::Idle);
    }
    streams.start().await.expect("it starts");
    shutdown.trigger();
    streams.lifecycle().ended().await;
    assert_eq!(streams.audit().queued + streams.audit().in_progress, 0, "the process's stop drains it");
    streams.start().await.expect("it starts");
    streams.lifecycle().ended().await;
    assert_eq!(
        streams.lifecycle().state(),
        RunState::Idle,
        "in a process that stops, a run ends as it begins"
    );
}

#[test]
fn the_same_seed_prints_the_same_bytes() {
    let flags =
        ["streams", "--virtual", "--duration", "5s", "--overload", "drop-oldest", "--workers-count", "10"];
    let print = |seed: &str| {
        let (code, out, err) =
            run(&[flags.as_slice(), &["--noisy-factor", "50", "--seed", seed]].concat(), &[]);
        assert_eq!((code, err.as_str()), (0, ""));
        out
    };
    let first = print("7");
    assert!(first.contains("\nWorker ") && first.contains("Dropped: "), "{first}");
    assert_eq!(first, print("7"));
    assert_ne!(first, print("8"));
}

#[tokio::test]
async fn memory_is_flat_over_a_virtual_day() {
    let peak_kib = async |span: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let flags = ["streams", "--virtual", "--quiet", "--duration", span];
        let load = ["--unbounded-ranges", "--streams-count", "10", "--stream-interval", "20000"];
        let mut child = crate::support::program(directory.path(), &[flags.as_slice(), &load].concat(), &[])
            .spawn()
            .expect("it runs");
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().expect("a child").is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0));
            // A process tells its peak only while it lives: there is no event to wait for.
            sleep(Duration::from_millis(5)).await;
        }
        assert!(child.wait().expect("an end").success());
        peak
    };
    let (hour, day) = (peak_kib("1h").await, peak_kib("24h").await);
    assert!(hour > 1_000 && day < hour + 2_048, "{hour} KiB after an hour, {day} KiB after a day");
}

/// Another size, as a body says it.
fn size(workers: usize, streams: usize) -> Resize {
    let body = serde_json::json!({ "workers_count": workers, "streams_count": streams });
    serde_json::from_value(body).expect("in range")
}
