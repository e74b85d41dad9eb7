//! Which channel between streams and workers? Chunks a second through the orchestrator, through its
//! buffer alone, and through the channels it could have been, in one run, arms interleaved.
//!
//! `cargo bench --profile dist --bench channels`: 100 producers, 50 consumers, 500 places; each producer sends all
//! its chunks and waits when there is no room.

use std::time::Duration;

use lab::{streams::Race, telemetry::Telemetry};
use tokio::{task::JoinSet, task::coop::consume_budget, time::Instant};

const ROUNDS: usize = 9;
const CHUNKS_EACH: u64 = 10_000;

/// What a bare channel carries: as much as the orchestrator's chunk.
type Item = (u32, u64, Instant, bytes::Bytes);

/// Runs one arm: `$send` and `$receive` on clones of the two ends.
macro_rules! arm {
    ($race:expr, $ends:expr, |$sender:ident, $item:ident| $send:expr, |$receiver:ident| $receive:expr) => {{
        let race = $race;
        let (tx, rx) = $ends;
        let begun = Instant::now();
        let mut producers = JoinSet::new();
        for number in 0..race.streams as u32 {
            let $sender = tx.clone();
            producers.spawn(async move {
                for index in 0..CHUNKS_EACH {
                    let $item: Item = (number, index, Instant::now(), race.payload(number, index));
                    $send;
                    consume_budget().await;
                }
            });
        }
        drop(tx);
        let mut consumers = JoinSet::new();
        for _ in 0..race.workers {
            let $receiver = rx.clone();
            consumers.spawn(async move {
                let mut received = 0_u64;
                while $receive.is_some() {
                    received += 1;
                    consume_budget().await;
                }
                received
            });
        }
        drop(rx);
        producers.join_all().await;
        let received: u64 = consumers.join_all().await.into_iter().sum();
        (received, begun.elapsed())
    }};
}

const ARMS: [&str; 6] =
    ["orchestrator", "buffer", "tokio mpsc + mutex", "async-channel", "flume", "crossfire"];

async fn run(arm: &str, race: Race) -> (u64, Duration) {
    let places = race.buffer_size;
    match arm {
        "orchestrator" => {
            let telemetry = Telemetry::scraped(1_500).expect("telemetry");
            let run = race.orchestrator(Duration::from_millis(500), &telemetry.instruments()).await;
            let run = run.expect("it starts");
            (run.ledger.processed, run.elapsed)
        }
        "buffer" => race.buffer(CHUNKS_EACH).await,
        "tokio mpsc + mutex" => {
            let (tx, rx) = tokio::sync::mpsc::channel::<Item>(places);
            let rx = std::sync::Arc::new(tokio::sync::Mutex::new(rx));
            arm!(race, (tx, rx), |tx, item| assert!(tx.send(item).await.is_ok()), |rx| rx
                .lock()
                .await
                .recv()
                .await)
        }
        "async-channel" => {
            arm!(
                race,
                async_channel::bounded::<Item>(places),
                |tx, item| assert!(tx.send(item).await.is_ok()),
                |rx| rx.recv().await.ok()
            )
        }
        "flume" => {
            arm!(
                race,
                flume::bounded::<Item>(places),
                |tx, item| assert!(tx.send_async(item).await.is_ok()),
                |rx| rx.recv_async().await.ok()
            )
        }
        _ => {
            let ends = crossfire::mpmc::bounded_async::<Item>(places);
            arm!(race, ends, |tx, item| assert!(tx.send(item).await.is_ok()), |rx| rx.recv().await.ok())
        }
    }
}

fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for chunk_size_bytes in [1, 1_024] {
        let race = Race { chunk_size_bytes, ..Race::default() };
        let mut rates = ARMS.map(|_| Vec::new());
        for round in 0..rounds {
            for at in 0..ARMS.len() {
                let at = (at + round) % ARMS.len();
                let (chunks, took) = runtime.block_on(run(ARMS[at], race));
                assert!(at == 0 || chunks == CHUNKS_EACH * race.streams as u64, "{}: {chunks}", ARMS[at]);
                rates[at].push(chunks as f64 / took.as_secs_f64());
            }
        }
        println!("chunks of 1 to {chunk_size_bytes} bytes: chunks/s, median (range) of {rounds} rounds");
        for (arm, rates) in ARMS.iter().zip(&mut rates) {
            rates.sort_by(f64::total_cmp);
            let (first, last) = (rates[0], rates[rates.len() - 1]);
            println!("  {arm:<20} {:>10.0}  ({first:.0} to {last:.0})", rates[rates.len() / 2]);
        }
    }
}
