//! The burst: as many connections as requests, all in flight at once.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::Tally;
use super::connection::{Connection, Failure};
use super::tally::SharedTally;

/// How many connections are being made at a time: well below a listener's usual backlog, as what
/// overflows it comes back only after a second.
const CONNECTING_LIMIT: usize = 128;

/// A burst to send.
#[derive(Clone, Debug)]
pub struct Burst {
    /// The server.
    pub addr: SocketAddr,
    /// What to ask for: a path with an optional query.
    pub target: Uri,
    /// How many requests, each on a connection (and a descriptor) of its own.
    pub requests: NonZeroU32,
}

/// Requests on their way. Dropping it closes their connections.
#[derive(Debug)]
pub struct InFlight {
    requests: JoinSet<()>,
    tally: SharedTally,
}

impl Burst {
    /// Begins to connect and send, in the background.
    ///
    /// When all are in flight only the server can tell; ask it.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn start(&self) -> InFlight {
        let tally = SharedTally::default();
        let connecting = Arc::new(Semaphore::new(CONNECTING_LIMIT));
        let mut requests = JoinSet::new();
        for _ in 0..self.requests.get() {
            let request = Request {
                addr: self.addr,
                target: self.target.clone(),
                connecting: Arc::clone(&connecting),
                tally: tally.clone(),
            };
            requests.spawn(request.send());
        }
        InFlight { requests, tally }
    }
}

impl InFlight {
    /// Waits until every request has its answer, for at most `patience`.
    ///
    /// What has none by then is given up and counted as unfinished.
    pub async fn finish(mut self, patience: Duration) -> Tally {
        let all_over = async { while self.requests.join_next().await.is_some() {} };
        if time::timeout(patience, all_over).await.is_err() {
            self.requests.shutdown().await;
        }
        self.tally.close()
    }
}

/// One request and the connection it has to itself.
struct Request {
    addr: SocketAddr,
    target: Uri,
    connecting: Arc<Semaphore>,
    tally: SharedTally,
}

impl Request {
    async fn send(self) {
        match self.connect().await {
            Ok(mut connection) => {
                let sent = Instant::now();
                self.tally.lock().started += 1;
                let result = connection.exchange(&self.target).await;
                self.tally.lock().count(result, sent.elapsed());
            }
            Err(failure) => self.tally.lock().count(Err(failure), Duration::ZERO),
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        // Never closed, so the permit is always there in the end.
        let _permit = self.connecting.acquire().await.ok();
        Connection::open(self.addr).await
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;
    use tokio::sync::Barrier;

    use super::*;

    const REQUESTS: u32 = 300;

    #[tokio::test]
    async fn all_are_in_flight_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let burst = Burst {
            addr: listener.local_addr().unwrap(),
            target: Uri::from_static("/"),
            requests: NonZeroU32::new(REQUESTS).unwrap(),
        };
        // One more than the requests: nobody is answered before the test says so.
        let all_here = Arc::new(Barrier::new(REQUESTS as usize + 1));
        let gate = Arc::clone(&all_here);
        let handler = move || {
            let gate = Arc::clone(&gate);
            async move {
                gate.wait().await;
                "ok"
            }
        };
        let router = Router::new().route("/", get(handler));
        tokio::spawn(async { axum::serve(listener, router).await });

        let in_flight = burst.start();
        all_here.wait().await;
        let tally = in_flight.finish(Duration::from_secs(30)).await;
        assert_eq!((tally.ok(), tally.unfinished(), tally.errors.total()), (u64::from(REQUESTS), 0, 0));
    }

    #[tokio::test]
    async fn patience_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let burst = Burst {
            addr: listener.local_addr().unwrap(),
            target: Uri::from_static("/"),
            requests: NonZeroU32::new(5).unwrap(),
        };
        let router = Router::new().route("/", get(std::future::pending::<()>));
        tokio::spawn(async { axum::serve(listener, router).await });
        let tally = burst.start().finish(Duration::from_millis(200)).await;
        assert_eq!((tally.answered(), tally.unfinished()), (0, tally.started));
    }
}
