//! `/async`: A and B on spawned tasks, with no bound of their own.
//!
//! The tasks are detached: when the client disconnects they continue, and their work is orphaned.

use super::{StrategyAnswer, Instruments, Request, Running, Settings, Shape, Strategy};

#[derive(Debug)]
struct Unbounded;

pub(super) fn new(_: &Settings, _: &Instruments) -> impl Strategy + use<> {
    Unbounded
}

impl Strategy for Unbounded {
    fn path(&self) -> &'static str {
        "/async"
    }

    fn shape(&self) -> Shape {
        Shape::Parallel
    }

    fn about(&self) -> &'static str {
        "A and B on spawned tasks, unbounded; they run on when the client leaves"
    }

    fn run<'a>(&'a self, request: &'a Request<'_>) -> Running<'a> {
        Box::pin(async move {
            let a = request.spawn(request.a());
            let b = request.spawn(request.b());
            let (a, b) = tokio::join!(biased; a, b);
            StrategyAnswer::done(a, b)
        })
    }
}
