//! A server on a free port, and a client that speaks raw HTTP/1.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;
use crate::web::{Drained, Limits, Metrics, listen, serve};

/// A bound that only ends a test that hangs.
pub(in crate::web) const PATIENCE: Duration = Duration::from_secs(300);

pub(in crate::web) struct Server {
    pub(in crate::web) addr: SocketAddr,
    pub(in crate::web) shutdown: Shutdown,
    telemetry: Telemetry,
    running: JoinHandle<Drained>,
}

impl Server {
    pub(in crate::web) fn start(app: Router) -> Self {
        Self::with(Limits::default(), Duration::ZERO, |_, _| app)
    }

    pub(in crate::web) fn limited(limits: Limits, app: Router) -> Self {
        Self::with(limits, Duration::ZERO, |_, _| app)
    }

    pub(in crate::web) fn with(
        limits: Limits,
        unready: Duration,
        app: impl FnOnce(&Shutdown, &Metrics) -> Router,
    ) -> Self {
        let telemetry = Telemetry::scraped(1_500).unwrap();
        let metrics = Metrics::new(telemetry.process_instruments());
        let shutdown = Shutdown::new(Some(PATIENCE), unready);
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "--addr").unwrap();
        let addr = listener.addr();
        let app = app(&shutdown, &metrics);
        let running = tokio::spawn({
            let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
            async move { serve(listener.into_socket(), app, limits, &metrics, shutdown).await }
        });
        Self { addr, shutdown, telemetry, running }
    }

    pub(in crate::web) async fn connect(&self) -> Client {
        Client::connect(self.addr).await.unwrap()
    }

    /// One request on a connection of its own.
    pub(in crate::web) async fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await.expect("an answer")
    }

    pub(in crate::web) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await
    }

    pub(in crate::web) async fn stop(self) -> Drained {
        self.shutdown.trigger();
        self.drained().await
    }

    pub(in crate::web) async fn drained(self) -> Drained {
        let drained = tokio::time::timeout(PATIENCE, self.running).await;
        drained.expect("the server ends").unwrap()
    }

    /// The instruments as Prometheus sees them.
    pub(in crate::web) fn scrape(&self) -> String {
        self.telemetry.render().unwrap()
    }

    /// The value of the series `name` that has all of `labels`.
    pub(in crate::web) fn series(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let scrape = self.scrape();
        let series = scrape.lines().find(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
        })?;
        series.rsplit_once(' ')?.1.parse().ok()
    }
}

pub(in crate::web) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(in crate::web) async fn connect(addr: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(addr).await?, unread: Vec::new() })
    }

    pub(in crate::web) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(in crate::web) async fn send(&mut self, request: &str) {
        self.try_send(request.as_bytes()).await.unwrap();
    }

    /// The next whole answer; `None` when the connection ends or breaks before one.
    pub(in crate::web) async fn answer(&mut self) -> Option<Answer> {
        let read = async {
            loop {
                if let Some((answer, length)) = Answer::parse(&self.unread) {
                    self.unread.drain(..length);
                    return Some(answer);
                }
                if !self.read_more().await {
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer or an end")
    }

    /// Waits until `text` has come.
    pub(in crate::web) async fn until(&mut self, text: &str) {
        let read = async {
            while !String::from_utf8_lossy(&self.unread).contains(text) {
                assert!(self.read_more().await, "the connection ended before {text:?} came");
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("in time");
    }

    /// Waits until the server ends the connection.
    pub(in crate::web) async fn ended(&mut self) {
        let end = async { while self.read_more().await {} };
        tokio::time::timeout(PATIENCE, end).await.expect("an end");
    }

    /// Waits until an answer begins, without taking any of it.
    pub(in crate::web) async fn first_byte(&self) {
        self.stream.readable().await.unwrap();
    }

    async fn read_more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..))
    }
}

#[derive(Debug)]
pub(in crate::web) struct Answer {
    pub(in crate::web) status: u16,
    pub(in crate::web) head: String,
    pub(in crate::web) body: String,
}

impl Answer {
    /// Reads an answer with a `content-length` from the front of `bytes`.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let head = head.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let body = rest.get(..length)?.to_owned();
        let status = head.split(' ').nth(1)?.parse().unwrap();
        let whole = head.len() + 4 + length;
        Some((Self { status, head, body }, whole))
    }

    pub(in crate::web) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The body of an error, which must be a problem document that repeats the status.
    pub(in crate::web) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{self:?}");
        problem
    }
}
