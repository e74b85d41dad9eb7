//! `lab queue load`: enqueues tasks at a running queue on a schedule, and checks that nothing accepted is missing.
//!
//! ```text
//!   schedule ──> POST /task, open loop ──> ids ──> GET /task/{id} ──> fates, end to end ──┐
//!   balance and metrics before ─────────────────── balance and metrics after ────────────┴──> report, exit code
//! ```
//!
//! The first signal ends the schedule and the wait; what was accepted until then is looked at all the same.

mod accepted;
mod args;
mod fates;
mod place;
mod report;
mod wait;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::time::Instant;

pub use self::args::LoadArgs;
pub(in crate::app) use self::report::LoadReport;
use self::{accepted::Accepted, args::WaitLimit, place::Place};
use crate::{
    app::{ending::Ending, generator::Generator, load::at_least_one, task_targets::task_targets},
    client::tls,
    config::HttpUrl,
    latency::{Outcome, Percentiles},
    load::{
        Control, Measured, Pace, Plan, Schedule,
        http::{Http, Settings},
    },
    shutdown::Shutdown,
};

/// Answers within this are good; the report does not say so.
const SLO: Duration = Duration::from_secs(1);

/// Enqueues, follows the tasks, prints the report.
///
/// # Errors
/// When no queue answers, or the report cannot be written.
pub async fn load(args: &LoadArgs) -> anyhow::Result<Ending> {
    args.command_line.check_seed(args.arrivals.draws())?;
    let results = args.json.open()?;
    let shutdown = Shutdown::new(None, Duration::ZERO);
    shutdown.listen_for_signals().context("listening for signals")?;
    crate::web::raise_descriptor_limit();
    let place = Place::find(args).await?;
    let (before, metrics_before) = (place.balance().await?, place.metrics().await?);
    let accepted = Accepted::default();
    let measured = enqueue(args, &place.url, &accepted, &shutdown).await?;
    if shutdown.is_stopping() && measured.offered() == 0 {
        return Ending::without_result(&shutdown);
    }
    let asked = accepted.asked();
    let deadline = args.wait.map(|wait: WaitLimit| Instant::now() + wait.get());
    let fates = fates::follow(&place, &asked, deadline, shutdown.stopping()).await?;
    let (after, metrics_after) = (place.balance().await?, place.metrics().await?);
    let counted = after.enqueued.saturating_sub(before.enqueued);
    let refused = accepted.refused();
    let not_sent = measured.count(Outcome::NotSent);
    let answered = accepted.count() + refused.values().sum::<u64>();
    let report = LoadReport {
        command: args.command_line.command("lab queue load"),
        url: place.url.to_string(),
        offered: measured.offered(),
        sent: measured.sent(),
        accepted: accepted.count(),
        lost: measured.offered().saturating_sub(answered + not_sent),
        refused,
        not_sent,
        offered_per_second: measured.offered_per_second(),
        accepted_per_second: measured.answered_per_second() * accepted.count() as f64
            / answered.max(1) as f64,
        enqueue: Percentiles::from(measured.recorder.headline()),
        wait: wait::between(&metrics_before, &metrics_after),
        end_to_end: fates.end_to_end,
        asked: asked.len() as u64,
        waited: deadline.is_some(),
        unfinished: fates.unfinished,
        missing: fates.missing.max(accepted.count().saturating_sub(counted)),
        states: fates.states,
        balances: after.holds,
        balance: after.text,
        interrupted: measured.interrupted,
    };
    let printed = results.json(&report).print_until_stopped(|| report.to_string(), &shutdown).await;
    report.ending().once_printed(printed, &shutdown)
}

/// Sends the tasks of the schedule.
async fn enqueue(
    args: &LoadArgs,
    queue: &HttpUrl,
    accepted: &Accepted,
    shutdown: &Shutdown,
) -> anyhow::Result<Measured> {
    let max_in_flight = at_least_one(args.max_in_flight.get());
    let accepted = accepted.clone();
    let payload_bytes = usize::try_from(args.payload_bytes.get())?;
    let targets = task_targets(queue, &args.kinds, &args.priorities, payload_bytes)?;
    let http = Http::new(&targets, &settings(queue, max_in_flight)?)
        .reading(move |status, body| accepted.take(status, body));
    let schedule = match args.tasks {
        None => args.arrivals.schedule()?,
        Some(count) => Schedule::Counted {
            rate: args.arrivals.rate(),
            count: count.get(),
            spacing: args.arrivals.spacing(),
        },
    };
    let plan = Plan { pace: Pace::Open { schedule, max_in_flight }, timeout: args.timeout.get(), slo: SLO };
    let control = Control { stopping: shutdown.stopping().clone(), aborted: shutdown.aborted().clone() };
    Generator { control, metrics: None }.run(plan, Arc::new(http), "").await
}

fn settings(queue: &HttpUrl, connections: NonZeroU32) -> anyhow::Result<Settings> {
    let tls = queue.is_encrypted().then(|| tls::client_config(&tls::Trust::System, None, tls::Offer::Http1));
    Ok(Settings { tls: tls.transpose()?, ..Settings::plain(connections) })
}
