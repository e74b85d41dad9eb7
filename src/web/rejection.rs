//! Rejects connections above the cap: responds with a 503 and a `Retry-After`, and closes without a reset.
//!
//! A rejection needs a task and a descriptor, so the number of rejections is limited too: at most [`REJECTIONS_MAX`]
//! at a time, each for at most [`REJECTION_MS`]. Further connections are dropped without a response.

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

const REJECTIONS_MAX: usize = 64;
const REJECTION_MS: u64 = 1_000;

pub(super) struct Rejections {
    response: Arc<[u8]>,
    permits: Arc<Semaphore>,
}

impl Rejections {
    pub(super) fn new() -> Self {
        let problem = Problem::of(StatusCode::SERVICE_UNAVAILABLE)
            .detail("this server has too many open connections")
            .retry_after_s(1);
        Self { response: response(&problem).into(), permits: Arc::new(Semaphore::new(REJECTIONS_MAX)) }
    }

    /// Rejects a connection in a task of `tasks`, or drops it if too many are being rejected.
    pub(super) fn send(&self, stream: TcpStream, tasks: &TaskTracker) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return;
        };
        let response = Arc::clone(&self.response);
        tasks.spawn(async move {
            let bound = Duration::from_millis(REJECTION_MS);
            let mut socket = Socket::new(stream, bound, HeadWait::begin());
            let sent = async {
                socket.write_all(&response).await?;
                socket.shutdown().await
            };
            if !matches!(tokio::time::timeout(bound, sent).await, Ok(Ok(()))) {
                tracing::debug!("a rejected client did not read its response");
            }
            drop(permit);
        });
    }
}

/// `problem` as the bytes of a complete HTTP/1.1 response that closes its connection.
fn response(problem: &Problem) -> Vec<u8> {
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
