//! One endpoint: a strategy with its own services, ledger and instruments, from arrival to answer.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::time::Instant;

use super::{
    answer::{Body, RequestOutcome, StrategyAnswer},
    backend::Backends,
    flow::Step,
    ledger::Requests,
    limiter::Limiter,
    metrics::EndpointMetrics,
    request::{Arrival, Request, Shared},
    settings::Overrides,
    strategies::{Shape, Strategy},
};
use crate::{
    latency,
    web::{Kind, Problem, refused_parameter},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

static SERVICE_FAILED: Kind = Kind::new(
    "/problems/service-failed",
    StatusCode::BAD_GATEWAY,
    "A service failed",
    "Service A or B answered with a failure: `a` and `b` say which, and after how long. Retry if the work may be done \
     twice.",
);
static SHED: Kind = Kind::new(
    "/problems/shed",
    StatusCode::SERVICE_UNAVAILABLE,
    "Too busy",
    "As many requests used service B as may, and none of their places became free within the wait \
     (ASYNC_LIMIT_MAX_WAIT_MS, `limit_wait_ms`). Ask again after the seconds in `Retry-After`, or raise ASYNC_LIMIT.",
);
static DEADLINE: Kind = Kind::new(
    "/problems/deadline",
    StatusCode::GATEWAY_TIMEOUT,
    "Too late",
    "The services had not answered by the deadline (ASYNC_TIMEOUT_MS, `deadline_ms`), and were given up. Retry, or allow \
     more time.",
);
static SAFETY_STOP: Kind = Kind::new(
    "/problems/safety-stop",
    StatusCode::SERVICE_UNAVAILABLE,
    "Too much work in flight",
    "All endpoints together hold LAB_MAX_IN_FLIGHT requests, so that memory is bounded. Ask again after the seconds in \
     `Retry-After`.",
);
/// The problems of the endpoints, without the general ones.
pub(super) static PROBLEMS: [&Kind; 4] = [&SERVICE_FAILED, &SHED, &DEADLINE, &SAFETY_STOP];

/// One strategy's endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Its place in the list of strategies.
    pub(super) place: usize,
    pub(super) strategy: Box<dyn Strategy>,
    pub(super) backends: Arc<Backends>,
    pub(super) requests: Requests,
    pub(super) metrics: EndpointMetrics,
    pub(super) shared: Arc<Shared>,
}

/// What an endpoint holds now.
#[derive(Debug, Clone, Copy)]
pub struct EndpointStatus {
    /// Its path.
    pub path: &'static str,
    /// What its strategy does, in one phrase.
    pub about: &'static str,
    /// How its two calls stand to each other.
    pub shape: Shape,
    /// Requests in progress.
    pub in_flight: u64,
    /// The limit of concurrent calls to B, if there is one.
    pub limit: Option<usize>,
    /// Requests that wait for it.
    pub waiting: usize,
    /// Calls of its services that ended although their caller had gone; `None` where that cannot be known, or where
    /// its services are shared.
    pub orphaned: Option<u64>,
}

/// Serves one request.
pub(super) async fn handle(
    State(endpoint): State<Arc<Endpoint>>,
    incoming: axum::extract::Request,
) -> Response {
    let visit = RequestGuard::start(&endpoint, &incoming);
    let overrides = endpoint.overrides(incoming.uri().query());
    // Its head lies in the connection's read buffer, which can be used again once it is gone.
    drop(incoming);
    let overrides = match overrides {
        Ok(overrides) => overrides,
        Err(problem) => return visit.refuse(problem),
    };
    let Some(slot) = endpoint.shared.slots.take() else {
        endpoint.metrics.shed_by_safety_stop.add(1);
        return visit.shed_by_safety_stop();
    };
    let request = Request::new(&endpoint.shared, &endpoint.backends, &visit.arrival, overrides, slot);
    let answer = visit.arrival.trace.enter(endpoint.strategy.run(&request)).await;
    let called = request.called();
    visit.answer(&answer, called)
}

impl Endpoint {
    pub(super) fn status(&self) -> EndpointStatus {
        let limit = self.strategy.limiter().map(Limiter::look);
        let own = self.backends.owner == self.strategy.path();
        let orphaned =
            || self.backends.each().map(|(_, backend)| backend.ledger().orphaned).into_iter().sum();
        EndpointStatus {
            path: self.strategy.path(),
            about: self.strategy.about(),
            shape: self.strategy.shape(),
            in_flight: self.requests.look().in_flight,
            limit: limit.map(|limit| limit.limit),
            waiting: limit.map_or(0, |limit| limit.waiters),
            orphaned: own.then(orphaned).flatten(),
        }
    }

    fn overrides(&self, query: Option<&str>) -> Result<Overrides, Problem> {
        let overrides = Overrides::parse(query, self.strategy.parameters())
            .map_err(|(name, invalid)| refused_parameter(&name, &invalid))?;
        if overrides.b.is_some() && self.backends.b.is_remote() {
            let detail = "b: service B is a real one (SERVICE_B_URL); its time cannot be chosen";
            return Err(Problem::of(StatusCode::BAD_REQUEST).detail(detail).with("parameter", "b"));
        }
        Ok(overrides)
    }
}

/// Counts a request from arrival to end. If it is dropped before an answer, the client left.
struct RequestGuard<'a> {
    endpoint: &'a Endpoint,
    is_head: bool,
    arrival: Arrival,
    ended: bool,
}

impl<'a> RequestGuard<'a> {
    fn start(endpoint: &'a Endpoint, incoming: &axum::extract::Request) -> Self {
        let method = incoming.method();
        let trace = endpoint.shared.tracing.request(method, endpoint.strategy.path(), incoming.headers());
        let at = Instant::now();
        let second = endpoint.shared.second(at);
        let number = endpoint.requests.start(second);
        let dot = endpoint.shared.flow.arrive(endpoint.place, number, at, &trace);
        let arrival = Arrival { number, at, second, trace, dot };
        Self { endpoint, is_head: method == Method::HEAD, arrival, ended: false }
    }

    fn answer(mut self, answer: &StrategyAnswer, called: [bool; 2]) -> Response {
        let outcome = answer.outcome();
        if outcome == RequestOutcome::Shed {
            self.endpoint.metrics.shed_by_wait.add(1);
        }
        let total = self.arrival.at.elapsed();
        let body = answer.body(self.endpoint.strategy.path(), called, total);
        self.end(outcome.status(), Some((outcome, total)));
        let (kind, detail) = match outcome {
            RequestOutcome::Ok => return json(&body),
            RequestOutcome::ServiceError => (&SERVICE_FAILED, "one of the services answered with a failure"),
            RequestOutcome::Shed => (&SHED, "the wait for service B exceeded its limit"),
            RequestOutcome::Deadline | RequestOutcome::Cancelled => {
                (&DEADLINE, "the services did not answer before the deadline")
            }
        };
        let mut problem = Problem::new(kind).detail(detail);
        if let Ok(serde_json::Value::Object(members)) = serde_json::to_value(&body) {
            for (name, value) in members {
                problem = problem.with(&name, value);
            }
        }
        problem.into_response()
    }

    fn refuse(mut self, problem: Problem) -> Response {
        self.end(problem.status(), None);
        problem.into_response()
    }

    fn shed_by_safety_stop(mut self) -> Response {
        let total = self.arrival.at.elapsed();
        self.end(StatusCode::SERVICE_UNAVAILABLE, Some((RequestOutcome::Shed, total)));
        Problem::new(&SAFETY_STOP)
            .detail("the process has LAB_MAX_IN_FLIGHT requests in flight, its limit")
            .into_response()
    }

    fn end(&mut self, status: StatusCode, worked: Option<(RequestOutcome, Duration)>) {
        self.ended = true;
        let Arrival { at, second, .. } = self.arrival;
        // Refused as it stood, it has had no useful answer.
        let (outcome, took) = worked.map_or_else(
            || (latency::Outcome::Refused, at.elapsed()),
            |(outcome, took)| (outcome.measured(), took),
        );
        self.endpoint.requests.complete(second, outcome, took);
        self.count(status, worked);
    }

    /// Counts the end; `worked` is the outcome and the time of the work, if any was done.
    fn count(&self, status: StatusCode, worked: Option<(RequestOutcome, Duration)>) {
        self.endpoint.metrics.count(self.is_head, status);
        if let Some((outcome, total)) = worked {
            self.endpoint.metrics.record(outcome, total);
        }
        let outcome = worked.map(|(outcome, _)| outcome);
        let step = Step::leaving(outcome);
        match self.arrival.dot.is_shown() {
            true => self.arrival.dot.step(step),
            false => self.endpoint.shared.flow.unseen(self.endpoint.place, self.arrival.number, step),
        }
        self.arrival.trace.answered(status.as_u16());
        if status.is_server_error() || outcome == Some(RequestOutcome::Cancelled) {
            self.arrival.trace.failed(outcome.map_or("refused", RequestOutcome::label));
        }
    }
}

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let total = self.arrival.at.elapsed();
            self.endpoint.requests.cancel(self.arrival.second, total);
            self.count(RequestOutcome::Cancelled.status(), Some((RequestOutcome::Cancelled, total)));
        }
    }
}

fn json(body: &Body) -> Response {
    match body.json() {
        Ok(text) => ([(header::CONTENT_TYPE, JSON)], text).into_response(),
        Err(error) => {
            Problem::of(StatusCode::INTERNAL_SERVER_ERROR).detail(error.to_string()).into_response()
        }
    }
}
