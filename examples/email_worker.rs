//! A worker of the queue in Rust: `REDIS_URL=redis://127.0.0.1:6379 cargo run --example email_worker`.
//!
//! Enqueue for it with `lab queue api`: `{"type": "email", "payload": {"to": "user@example.com"}}`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use lab::{
    output,
    queue::{
        Broker, Worker,
        broker::{Claimed, CrashRule, RedisBroker},
        keeper::keep,
        settle::Verdict,
    },
    shutdown::Shutdown,
    storage::redis::RedisUrl,
};
use parking_lot::Mutex;

/// The receiver. It keeps the highest token of each task, so an attempt that comes late has no effect.
#[derive(Default)]
struct Outbox(Mutex<HashMap<String, u64>>);

impl Outbox {
    fn send(&self, task: &Claimed, to: &str) {
        let mut tokens = self.0.lock();
        let last = tokens.entry(task.id.to_string()).or_default();
        if task.delivery > *last {
            *last = task.delivery;
            output::to_stderr(format_args!("sent to {to}, delivery {}", task.delivery));
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url: RedisUrl = std::env::var("REDIS_URL")?.parse()?;
    let broker = Broker::Redis(RedisBroker::connect(&url).await?);
    // A store whose settings would lose tasks is refused.
    broker.check_settings().await?;
    let stop = Shutdown::new(None, Duration::ZERO);
    stop.listen_for_signals()?;

    let outbox = Arc::new(Outbox::default());
    let worker = Worker::builder(broker.clone())
        .on("email", move |task| {
            let outbox = outbox.clone();
            async move {
                let email: Result<serde_json::Value, _> = serde_json::from_slice(&task.spec.payload);
                match email.as_ref().map(|email| email["to"].as_str()) {
                    Ok(Some(to)) => {
                        outbox.send(&task, to);
                        Verdict::Done
                    }
                    _ => Verdict::FailedForGood { error: "the payload is not {\"to\": ADDRESS}".to_owned() },
                }
            }
        })?
        .build();
    // Every process of a queue moves due tasks, and returns those of dead processes.
    let ends = stop.intake_closed().clone();
    let keeper = tokio::spawn(async move {
        keep(&broker, &Default::default(), CrashRule::default(), &ends).await;
    });
    let tally = worker.run(&stop).await?;
    keeper.await?;
    output::to_stderr(format_args!("{} started, {} succeeded", tally.started, tally.succeeded));
    Ok(())
}
