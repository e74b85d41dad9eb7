//! `/async-limited`: A and B in parallel, B behind a semaphore with a bounded wait.
//!
//! A request that has waited too long is shed, and its call to A is cancelled.

use super::{StrategyAnswer, Instruments, Limiter, Request, Running, Settings, Shape, Strategy};
use crate::http_lab::metrics::WaitMetrics;

#[derive(Debug)]
struct Limited {
    limiter: Limiter,
}

pub(super) fn new(settings: &Settings, instruments: &Instruments) -> impl Strategy + use<> {
    Limited {
        limiter: Limiter::new(settings.async_limit.get(), WaitMetrics::new(instruments)),
    }
}

impl Strategy for Limited {
    fn path(&self) -> &'static str {
        "/async-limited"
    }

    fn shape(&self) -> Shape {
        Shape::Parallel
    }

    fn about(&self) -> &'static str {
        "A and B in parallel, B behind a semaphore; shed after a bounded wait"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["b", "limit_wait_ms", "seed"]
    }

    fn run<'a>(&'a self, request: &'a Request<'_>) -> Running<'a> {
        Box::pin(async move {
            let mut a = None;
            let call_a = async {
                a = Some(request.a().await);
                Ok(())
            };
            let call_b = async {
                request.waits();
                let permit = self.limiter.acquire(request.limit_wait()).await?;
                Ok((request.b().await, permit.waited))
            };
            match tokio::try_join!(biased; call_a, call_b) {
                Ok(((), (b, waited))) => StrategyAnswer::of(a, Some(b)).waited(waited),
                Err(too_long) => StrategyAnswer::shed(a, too_long),
            }
        })
    }

    fn apply(&self, settings: &Settings) {
        self.limiter.resize(settings.async_limit.get());
    }

    fn limiter(&self) -> Option<&Limiter> {
        Some(&self.limiter)
    }
}
