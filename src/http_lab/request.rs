//! One request, as a strategy uses it: it calls A and B, and has the limits.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::task::TaskTracker;

use super::{
    answer::CallReport,
    backend::{Backend, BackendCall, Backends},
    flow::{Dot, Flow, Step},
    metrics::{CallOutcome, ServiceMetrics},
    settings::{Overrides, Settings},
    slots::{Slot, Slots},
    trigger::Acting,
};
use crate::{
    sim::{CallHandle, Key, nearest_tick},
    telemetry::{Trace, Tracing},
};

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: ArcSwap<Settings>,
    pub(super) seed: u64,
    pub(super) flow: Flow,
    pub(super) acting: Acting,
    pub(super) slots: Arc<Slots>,
    pub(super) tracing: Tracing,
    pub(super) detached: TaskTracker,
}

impl Shared {
    /// In which second since the lab began this is.
    pub(super) fn second(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.flow.origin()).as_secs()
    }
}

/// When a request came, as which of its endpoint, its trace, and how it is shown.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    /// The second since the lab began.
    pub(super) second: u64,
    pub(super) number: u64,
    pub(super) trace: Trace,
    pub(super) dot: Dot,
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct Request<'a> {
    shared: &'a Shared,
    backends: &'a Backends,
    settings: Arc<Settings>,
    overrides: Overrides,
    arrival: &'a Arrival,
    /// Counts towards the process's safety stop until the last of the request's work has ended.
    slot: Arc<Slot>,
    called: [AtomicBool; 2],
}

impl<'a> Request<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        backends: &'a Backends,
        arrival: &'a Arrival,
        overrides: Overrides,
        slot: Slot,
    ) -> Self {
        Self {
            shared,
            backends,
            settings: shared.settings.load_full(),
            overrides,
            arrival,
            slot: Arc::new(slot),
            called: Default::default(),
        }
    }

    /// Whether A and B were called.
    pub(super) fn called(&self) -> [bool; 2] {
        [&self.called[0], &self.called[1]].map(|called| called.load(Ordering::Relaxed))
    }

    /// Calls service A. The call starts at once; drop it to cancel it.
    pub(super) fn a(&self) -> Call {
        self.called[0].store(true, Ordering::Relaxed);
        self.call(&self.backends.a, 'A')
    }

    /// Calls service B. The call starts at once; drop it to cancel it.
    pub(super) fn b(&self) -> Call {
        self.called[1].store(true, Ordering::Relaxed);
        self.call(&self.backends.b, 'B')
    }

    fn call(&self, backend: &Backend, service: char) -> Call {
        let key = match self.overrides.seed {
            Some(seed) => Key { seed: seed.get(), request: 0, service, attempt: 0 },
            None => Key { seed: self.shared.seed, request: self.arrival.number, service, attempt: 0 },
        };
        let latency = match service {
            'B' => self.overrides.b.as_ref().map(super::settings::BriefProfile::profile),
            _ => None,
        };
        let trace = self.arrival.trace.call(service);
        Call {
            inner: backend.call(key, latency, &trace, self.arrival.dot.call(service)),
            watch: CallGuard {
                sent: Instant::now(),
                metrics: backend.metrics().clone(),
                trace,
                ended: false,
            },
        }
    }

    /// Lets a call run on a task of its own. It runs on, orphaned, when the returned future is
    /// dropped.
    pub(super) fn spawn(&self, call: Call) -> Detached {
        let handle = call.inner.handle();
        let slot = self.slot.clone();
        let task = self.shared.detached.spawn(async move {
            let report = call.await;
            drop(slot);
            report
        });
        Detached { task, handle }
    }

    /// It waits for a limit from now on.
    pub(super) fn waits(&self) {
        self.arrival.dot.step(Step::Waits);
    }

    /// The longest wait for a semaphore; `None`: without bound.
    pub(super) fn limit_wait(&self) -> Option<Duration> {
        let wait = self.overrides.limit_wait_ms.unwrap_or(self.settings.async_limit_max_wait_ms).get();
        (!wait.is_zero()).then_some(wait)
    }

    /// When the request must have ended.
    pub(super) fn deadline(&self) -> Instant {
        let deadline = self.overrides.deadline_ms.unwrap_or(self.settings.async_timeout_ms).get();
        nearest_tick(self.arrival.at + deadline)
    }
}

/// A call in progress. Await it for its [`CallReport`]; drop it to cancel it.
pub(super) struct Call {
    inner: BackendCall,
    watch: CallGuard,
}

impl Future for Call {
    type Output = CallReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CallReport> {
        match self.inner.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(error) => Poll::Ready(self.watch.end(error)),
        }
    }
}

/// Records the end of a call; if it is dropped before that, the call counts as cancelled.
#[derive(Debug)]
struct CallGuard {
    sent: Instant,
    metrics: Arc<ServiceMetrics>,
    trace: Trace,
    ended: bool,
}

impl CallGuard {
    fn end(&mut self, error: Option<&'static str>) -> CallReport {
        self.ended = true;
        let took = self.sent.elapsed();
        let outcome = if error.is_some() { CallOutcome::Error } else { CallOutcome::Ok };
        self.metrics.record(outcome, took);
        if let Some(error) = error {
            self.trace.failed(error);
        }
        // The span ends with the call, however long this is kept.
        drop(std::mem::take(&mut self.trace));
        CallReport { error, took }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.metrics.record(CallOutcome::Cancelled, self.sent.elapsed());
        self.trace.failed("cancelled");
    }
}

/// A call on a separate task, which continues when its caller is dropped.
#[derive(Debug)]
pub(super) struct Detached {
    task: JoinHandle<CallReport>,
    handle: Option<CallHandle>,
}

impl Future for Detached {
    type Output = CallReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CallReport> {
        let joined = std::task::ready!(Pin::new(&mut self.task).poll(cx));
        self.handle = None;
        Poll::Ready(
            joined.unwrap_or(CallReport { error: Some("the call's task ended early"), took: Duration::ZERO }),
        )
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take()
            && !self.task.is_finished()
        {
            handle.orphan();
        }
    }
}
