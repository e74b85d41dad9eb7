//! What a client is told when no connection is left for it: 503, when to come back, and a close that
//! does not reset the answer.
//!
//! A goodbye takes a task and a descriptor, so it must not become a way around the cap: at most
//! [`GOODBYES_MAX`] are being said at once, each for at most [`GOODBYE_MS`]. Above that the connection
//! is just dropped.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Problem;
use super::head::HeadWait;
use super::socket::Socket;

const GOODBYES_MAX: usize = 64;
const GOODBYE_MS: u64 = 1_000;

pub(super) struct Goodbyes {
    answer: Arc<[u8]>,
    permits: Arc<Semaphore>,
}

impl Goodbyes {
    pub(super) fn new() -> Self {
        let problem = Problem::of(StatusCode::SERVICE_UNAVAILABLE)
            .detail("this server holds as many connections as it may")
            .retry_after_s(1);
        Self { answer: answer(&problem).into(), permits: Arc::new(Semaphore::new(GOODBYES_MAX)) }
    }

    /// Says goodbye in a task of `tasks`, or drops the stream if too many are being said.
    pub(super) fn say(&self, stream: TcpStream, tasks: &TaskTracker) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return;
        };
        let answer = Arc::clone(&self.answer);
        tasks.spawn(async move {
            let bound = Duration::from_millis(GOODBYE_MS);
            let mut socket = Socket::new(stream, bound, HeadWait::begin());
            let said = async {
                socket.write_all(&answer).await?;
                socket.shutdown().await
            };
            if !matches!(tokio::time::timeout(bound, said).await, Ok(Ok(()))) {
                tracing::debug!("a refused client did not take its answer");
            }
            drop(permit);
        });
    }
}

/// `problem` as the bytes of a whole HTTP/1.1 answer that ends its connection.
fn answer(problem: &Problem) -> Vec<u8> {
    let body = problem.to_bytes();
    let retry_after =
        problem.retry_after().and_then(|value| value.to_str().ok().map(str::to_owned)).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\nretry-after: {retry_after}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        problem.status(),
        body.len(),
    );
    [head.into_bytes(), body].concat()
}
