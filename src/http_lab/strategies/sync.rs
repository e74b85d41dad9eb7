//! `/sync`: A, then B. Takes as long as both together and holds one call at a time.

use super::{StrategyAnswer, Instruments, Request, Running, Settings, Shape, Strategy};

#[derive(Debug)]
struct Sequential;

pub(super) fn new(_: &Settings, _: &Instruments) -> impl Strategy + use<> {
    Sequential
}

impl Strategy for Sequential {
    fn path(&self) -> &'static str {
        "/sync"
    }

    fn shape(&self) -> Shape {
        Shape::Sequence
    }

    fn about(&self) -> &'static str {
        "A, then B"
    }

    fn run<'a>(&'a self, request: &'a Request<'_>) -> Running<'a> {
        Box::pin(async move {
            let a = request.a().await;
            let b = request.b().await;
            StrategyAnswer::done(a, b)
        })
    }
}
