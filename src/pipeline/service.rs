//! The pipeline over HTTP: its status for everybody; start, stop, rate and policy for an administrator.
//!
//! Inside `lab` it is idle until started, and each start is a run of its own. `lab pipeline` starts it at once and
//! ends with its run.

use std::{convert::Infallible, sync::Arc};

use parking_lot::Mutex;

use super::{
    charts,
    config::Config,
    ended::PipelineEnd,
    engine::{Load, Pipeline},
    page,
    queue::JobLedger,
    results::Results,
    status::{Moment, Patch, Start, Status},
};
use crate::{
    config::counted,
    shutdown::Shutdown,
    web::{
        History, Lifecycle, Live, LivePage, Problem, RunState, Runnable, Sheet, StartError, System, live,
        timeline::{RunCharts, Timeline},
    },
};

/// The pipeline as a service; cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pipeline: Pipeline,
    lifecycle: Lifecycle,
    history: History<Moment>,
    /// How the last run ended, until it is taken.
    ended: Mutex<Option<PipelineEnd>>,
}

impl Service {
    /// A pipeline that is idle until started; runs end with `process`.
    pub fn new(pipeline: Pipeline, process: Shutdown) -> Self {
        let lifecycle = Lifecycle::new("pipeline", process);
        let shared = Shared { pipeline, lifecycle, history: History::default(), ended: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.shared.pipeline
    }

    /// Its runs.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.shared.lifecycle
    }

    /// Starts a run with `load`; `results` gets the results of jobs from lines.
    ///
    /// # Errors
    /// When a run is in progress, or the process stops.
    pub async fn start_with(
        &self,
        load: Load,
        results: Option<Results>,
    ) -> Result<(), StartError<Infallible>> {
        self.begin(Start::default(), load, results).await
    }

    /// The same with what the start changes; a start that is refused changes nothing.
    async fn begin(
        &self,
        start: Start,
        load: Load,
        results: Option<Results>,
    ) -> Result<(), StartError<Infallible>> {
        let this = self.clone();
        let open = |stop: Shutdown| async move {
            this.pipeline().set(start.rate, start.policy);
            Ok(async move {
                let Shared { pipeline, ended, .. } = &*this.shared;
                let end = pipeline.run(load, results, &stop).await;
                tracing::info!(
                    drained = end.drained,
                    backlog = end.statistics.ledger.backlog,
                    "the pipeline has stopped"
                );
                *ended.lock() = Some(end);
            })
        };
        self.lifecycle().start(open).await?;
        let this = self.clone();
        self.lifecycle().process().tracker().spawn(async move {
            let Shared { pipeline, lifecycle, history, .. } = &*this.shared;
            history.record(lifecycle, || pipeline.moment()).await;
        });
        Ok(())
    }

    /// Waits until the run in progress has ended, and says how; `None` when none has run. Cancel safe.
    pub async fn ended(&self) -> Option<PipelineEnd> {
        self.lifecycle().ended().await;
        self.shared.ended.lock().take()
    }
}

/// The pipeline as a system of a server.
pub fn system(service: &Service) -> System {
    let ledger = {
        let service = service.clone();
        move || service.pipeline().ledger()
    };
    let left = ledger.clone();
    let about = "the auto-scaling pipeline: start it, watch it, change its load and policy";
    let system = System::new("pipeline", "Pipeline", "/pipeline", about)
        .link("Systems", "/pipeline", about)
        .variables::<Config>()
        .metrics(service.pipeline().instruments())
        .sheet(Sheet::new("pipeline", "created = succeeded + permanently_failed + backlog", ledger))
        .stragglers(move || match left() {
            JobLedger { backlog: 0, .. } => Vec::new(),
            JobLedger { backlog, queued, in_progress, retrying, .. } => vec![format!(
                "{} ({queued} queued, {in_progress} in progress, {retrying} waiting for a retry)",
                counted(backlog, "job of the pipeline", "jobs of the pipeline")
            )],
        });
    live(system, service)
}

impl Runnable for Service {
    type Status = Status;
    type Start = Start;
    type Change = Patch;

    fn lifecycle(&self) -> &Lifecycle {
        Self::lifecycle(self)
    }

    fn status(&self) -> Status {
        self.pipeline().status(self.lifecycle().state())
    }

    async fn start(&self, start: Start) -> Result<(), StartError<Problem>> {
        let started = self.begin(start, Load::Producer, None).await;
        started.map_err(|error| error.map(|never| match never {}))
    }

    async fn change(&self, patch: Patch) -> Result<(), Problem> {
        self.pipeline().set(patch.rate, patch.policy);
        Ok(())
    }
}

impl Live for Service {
    fn live(&self) -> LivePage {
        page::live(&self.status(), self.pipeline().recent())
    }

    fn charts(&self) -> RunCharts {
        let ended = self.lifecycle().state() == RunState::Idle;
        let timeline = Timeline::of(&self.shared.history.points(), ended);
        charts::of(self.pipeline().settings(), &timeline)
    }
}
