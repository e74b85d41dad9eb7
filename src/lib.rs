//! The concurrency lab: how should a service treat a slow dependency? Measured, not guessed.
//!
//! Work *arrives*, is *admitted* or refused, *waits*, is *served*, is *recorded*; at the end it
//! *drains*. Each system applies this idea at a different scale, so all of them share the recording of latency
//! ([`latency`]), the shutdown ([`shutdown`]), and the ways to observe them ([`telemetry`], [`web`]).
//!
//! ```text
//!   clients ──> web (limits, problems, drain) ──> http_lab: endpoint ──> strategy ──> A, B (sim, or a URL)
//!                 │                                  │ ledger, slots         └ limiter
//!                 └ pages, settings, audit           └ instruments ──> telemetry ──> /metrics, OTLP
//!   streams: sources (generated, TCP, HTTP) ──> buffer (policy, ledger) ──> workers ──> sink
//!   queue: POST /task, raw list ──> lanes in Redis or a file <──claim, settle── workers ──> a server, a command
//!   pipeline: producer, or lines ──> bounded queue <─retries─> workers, as many as a policy says ──> results
//! ```
//!
//! # Map
//!
//! The modules ("rooms"), in reading order:
//!
//! ```text
//! main.rs        parse, start telemetry, run one command, flush; no logic
//! cli/           one variant per command; layers of configuration; one-line error messages
//! config/        one grammar each for times, rates, shares, sizes; bounded types that describe their allowed values
//! shutdown.rs    signal -> stopping -> intake closed -> drained, or aborted
//! output/        logs, journals, terminals: a bounded queue and a thread each, losses counted; results, documents
//!                and their schemas
//! input.rs       reads whole files up to a size limit
//! telemetry/     providers, Prometheus and OTLP, instruments, process and runtime metrics, trace context
//! latency/       recorder (intended start, finish -> sample) over pure histogram arithmetic
//! theory/        queueing formulas, each with its source and its error; pure
//! sim/           seeded services: latency distribution, capacity, contention, failure
//! web/           System, run lifecycle, live view; serve: health, limits, problem+json, admin, pages, charts
//! storage/       redis (connection, scripts, how a request fails), sqlite (one owner, group commit); what a write survives
//! client/        the one HTTP client: pooled, TLS trust, bounded answers, named failures; OTLP goes through it
//! exec/          commands as child processes: process group, time limit, captured output, guard
//! load/          schedule (pure), open-loop driver, checks, find-max, compare; HTTP/1.1, HTTP/2, TLS
//! http_lab/      strategies, one file each; limiter; ledger; settings; services as processes
//! streams/       sources, one bounded buffer with its policies and its ledger, workers, sinks, gateway
//! pipeline/      producer, bounded queue, workers, scaling policies (pure), supervisor, collector
//! queue/         task, lanes and turns (pure); broker: redis (one script a move), sqlite (one transaction a move); worker
//!                and its handlers; API, raw list, monitor page
//! analytics/     so far its pure part: events parsed once, batches and verdicts, entries of the log, rollups and their
//!                measures, calendars of zones, the balance; nothing uses it yet
//! app/           combines the systems into servers; the lab's page and its load; `lab load`; small commands; benchmarks
//! ```
//!
//! # Invariants
//!
//! - Imports go down only: `main`, `cli` -> `app` -> systems (`http_lab`, `streams`, `pipeline`, `queue`, `analytics`) ->
//!   `load`, `theory`, `sim`, `storage`, `web` -> `client`, `exec` -> `telemetry`, `latency` -> `config`, `shutdown`,
//!   `output`, `input`. A system never names another. A test checks it.
//! - Time is Tokio's or an argument; std's clock is banned by `clippy.toml`. So the lab also runs in
//!   virtual time, and the same seed meets the same services.
//! - Decisions are pure functions ([`sim::Station`], buckets, histograms); the code that acts on them is thin.
//! - Everything is bounded, with the unit in the name of the limit, and refusals are counted.
//! - A server never blocks on its own output or fails because of it: all of stderr goes through [`output`].
//! - Conservation: requests `started = completed + cancelled + in_flight`; calls `started = completed +
//!   failed + cancelled + in_flight`, with orphaned work counted among those that ended; chunks
//!   `generated = processed + dropped + queued + in_progress`; jobs `created = succeeded +
//!   permanently_failed + backlog`; tasks `enqueued = pending + in_flight + delayed + dead + done`. `lab audit`
//!   checks a running server.
//! - A name that must be equal in several places has one source, or a test.
//!
//! Deliberately absent: a clustering layer, HTTP/2 and TLS on the server side (a proxy's work).

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod analytics;
pub mod app;
pub mod cli;
pub mod client;
pub mod config;
pub mod exec;
pub mod http_lab;
pub mod input;
pub mod latency;
pub mod load;
pub mod output;
pub mod pipeline;
pub mod queue;
pub mod shutdown;
pub mod sim;
pub mod storage;
pub mod streams;
pub mod telemetry;
pub mod theory;
pub mod web;
