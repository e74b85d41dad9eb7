//! `/async-timeout`: A and B in parallel under one deadline; both are cancelled when it expires.

use tokio::time::timeout_at;

use super::{StrategyAnswer, Instruments, Request, Running, Settings, Shape, Strategy};

#[derive(Debug)]
struct Deadline;

pub(super) fn new(_: &Settings, _: &Instruments) -> impl Strategy + use<> {
    Deadline
}

impl Strategy for Deadline {
    fn path(&self) -> &'static str {
        "/async-timeout"
    }

    fn shape(&self) -> Shape {
        Shape::Deadline
    }

    fn about(&self) -> &'static str {
        "A and B in parallel under one deadline; both are cancelled when it expires"
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["b", "deadline_ms", "seed"]
    }

    fn run<'a>(&'a self, request: &'a Request<'_>) -> Running<'a> {
        Box::pin(async move {
            let (mut a, mut b) = (None, None);
            let both = async {
                tokio::join!(
                    biased;
                    async { a = Some(request.a().await) },
                    async { b = Some(request.b().await) },
                )
            };
            match timeout_at(request.deadline(), both).await {
                Ok(_) => StrategyAnswer::of(a, b),
                Err(_) => StrategyAnswer::deadline(a, b),
            }
        })
    }
}
