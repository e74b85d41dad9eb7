//! The closed loop: each connection sends its next request when it has its answer.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Failure};
use super::tally::SharedTally;
use super::{Tally, Targets};

/// How long after a failure a connection is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// A closed loop to run.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    /// The server.
    pub addr: SocketAddr,
    /// What to ask for. Each connection starts at another target of the rotation.
    pub targets: Targets,
    /// How many connections, each with one request at a time.
    pub connections: NonZeroU32,
    /// How long requests are sent, once all connections are open.
    pub duration: Duration,
}

/// What a closed loop measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The counts. Latency is from the send, which a closed loop puts off while the server is slow.
    pub tally: Tally,
    /// From the first request to the end.
    pub elapsed: Duration,
}

impl Measured {
    /// Whole answers a second.
    #[must_use]
    pub fn answers_per_second(&self) -> f64 {
        self.tally.answered() as f64 / self.elapsed.as_secs_f64()
    }
}

impl ClosedLoop {
    /// Runs until the duration is over or `stop` is cancelled.
    ///
    /// What is in flight then is given up, counted as unfinished, and its connection closed. A
    /// connection that fails is opened again. Cancellation safe: dropping the future closes all
    /// connections.
    pub async fn run(&self, stop: &CancellationToken) -> Measured {
        let tally = SharedTally::default();
        let opened = stop.run_until_cancelled(self.connect(&tally)).await.unwrap_or_default();

        let started = Instant::now();
        let mut users = JoinSet::new();
        for (turn, connection) in opened.into_iter().enumerate() {
            let user = User { addr: self.addr, targets: self.targets.clone(), turn, tally: tally.clone() };
            users.spawn(user.ask_forever(connection));
        }
        stop.run_until_cancelled(time::sleep(self.duration)).await;
        let elapsed = started.elapsed();
        users.shutdown().await;

        Measured { tally: tally.close(), elapsed }
    }

    /// Opens all connections before the first request, so that none has a head start.
    async fn connect(&self, tally: &SharedTally) -> Vec<Option<Connection>> {
        let mut opened = Vec::new();
        for _ in 0..self.connections.get() {
            opened.push(match Connection::open(self.addr).await {
                Ok(connection) => Some(connection),
                Err(failure) => {
                    tally.lock().count(Err(failure), Duration::ZERO);
                    None
                }
            });
        }
        opened
    }
}

/// One connection's loop.
struct User {
    addr: SocketAddr,
    targets: Targets,
    turn: usize,
    tally: SharedTally,
}

impl User {
    async fn ask_forever(mut self, mut connection: Option<Connection>) {
        loop {
            if let Err(failure) = self.ask_until_closed(connection.take()).await {
                self.tally.lock().count(Err(failure), Duration::ZERO);
                time::sleep(RECONNECT_PAUSE).await;
            }
        }
    }

    /// Asks as long as the connection lasts, over a new one when none is given.
    async fn ask_until_closed(&mut self, connection: Option<Connection>) -> Result<(), Failure> {
        let mut connection = match connection {
            Some(connection) => connection,
            None => Connection::open(self.addr).await?,
        };
        let mut sent = Instant::now();
        while connection.is_reusable().await {
            let target = self.targets.at(self.turn);
            self.turn = self.turn.wrapping_add(1);
            self.tally.lock().started += 1;
            let answer = connection.exchange(target).await?;
            let finished = Instant::now();
            self.tally.lock().count(Ok(answer), finished - sent);
            sent = finished;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use hyper::Uri;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    fn closed(addr: SocketAddr, targets: &[&'static str], ms: u64) -> ClosedLoop {
        let uris: Vec<_> = targets.iter().copied().map(Uri::from_static).collect();
        ClosedLoop {
            addr,
            targets: Targets::try_from(uris).unwrap(),
            connections: NonZeroU32::new(4).unwrap(),
            duration: Duration::from_millis(ms),
        }
    }

    fn assert_balanced(tally: &Tally) {
        let errors = tally.errors.answer + tally.errors.body;
        assert_eq!(tally.started, tally.answered() + errors + tally.unfinished(), "{tally:?}");
    }

    #[tokio::test]
    async fn answers_are_counted_by_status_and_size() {
        let (listener, addr) = listen().await;
        let router = Router::new()
            .route("/ok", get(|| async { "12345" }))
            .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
        tokio::spawn(async { axum::serve(listener, router).await });

        let loop_ = closed(addr, &["/ok", "/busy"], 200);
        let measured = loop_.run(&CancellationToken::new()).await;
        let tally = measured.tally;
        assert_balanced(&tally);
        assert_eq!(tally.errors, super::super::ErrorCounts::default());
        assert!(tally.ok() > 10, "{tally:?}");
        assert_eq!(tally.body_bytes, 5 * tally.ok());
        assert!(tally.by_status[&503].abs_diff(tally.ok()) <= 4, "{tally:?}");
        assert!(measured.elapsed >= loop_.duration);
    }

    #[tokio::test]
    async fn what_never_answers_is_unfinished() {
        let (listener, addr) = listen().await;
        let router = Router::new().route("/", get(std::future::pending::<()>));
        tokio::spawn(async { axum::serve(listener, router).await });

        let measured = closed(addr, &["/"], 50).run(&CancellationToken::new()).await;
        assert_balanced(&measured.tally);
        assert_eq!((measured.tally.started, measured.tally.unfinished()), (4, 4));
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let (listener, addr) = listen().await;
        drop(listener);
        let refused = closed(addr, &["/"], 50).run(&CancellationToken::new()).await.tally;
        assert!(refused.errors.connect >= 4 && refused.started == 0, "{refused:?}");

        for (bytes, body) in [("", false), ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", true)] {
            let (listener, addr) = listen().await;
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    // The request has come when there is something to read.
                    drop(stream.readable().await);
                    drop(stream.try_read(&mut [0; 1024]));
                    drop(stream.write_all(bytes.as_bytes()).await);
                }
            });
            let tally = closed(addr, &["/"], 50).run(&CancellationToken::new()).await.tally;
            assert_balanced(&tally);
            let (broken, other) = if body {
                (tally.errors.body, tally.errors.answer)
            } else {
                (tally.errors.answer, tally.errors.body)
            };
            assert!(broken >= 4 && other == 0, "{tally:?}");
        }
    }

    #[tokio::test]
    async fn a_stop_ends_it_early() {
        let (listener, addr) = listen().await;
        tokio::spawn(async { axum::serve(listener, Router::new()).await });
        let stop = CancellationToken::new();
        stop.cancel();
        let measured = closed(addr, &["/"], 3_600_000).run(&stop).await;
        assert_balanced(&measured.tally);
        assert!(measured.elapsed < Duration::from_secs(60));
    }
}
