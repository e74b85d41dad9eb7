//! Viewers of the page: connections that read its stream of events, as many browsers would.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time;

use super::child_server::ChildServer;

/// How long the first event of a viewer may take.
const FIRST_EVENT_LIMIT: Duration = Duration::from_secs(10);

const BUFFER_BYTES: usize = 64 * 1024;

/// Connected viewers. They read until this is dropped.
#[derive(Debug)]
pub(super) struct Viewers {
    reading: JoinSet<anyhow::Result<()>>,
}

impl Viewers {
    /// Connects `count` viewers to the page at `/`, and returns when each has been sent an event.
    pub(super) async fn connect(server: &ChildServer, count: u32) -> anyhow::Result<Self> {
        let mut connecting = JoinSet::new();
        for _ in 0..count {
            let authority = server.authority();
            connecting.spawn(async move { time::timeout(FIRST_EVENT_LIMIT, first_event(&authority)).await });
        }
        let mut reading = JoinSet::new();
        while let Some(viewer) = connecting.join_next().await {
            let connection = viewer?.context("a viewer got no event in time")??;
            reading.spawn(read(connection));
        }
        Ok(Self { reading })
    }

    /// Fails when a viewer was disconnected: the others alone would be cheaper.
    pub(super) fn all_connected(&mut self) -> anyhow::Result<()> {
        match self.reading.try_join_next() {
            None => Ok(()),
            Some(ended) => ended?.context("a viewer lost its connection"),
        }
    }
}

/// Asks for the stream and reads its head and the beginning of its first event.
async fn first_event(authority: &str) -> anyhow::Result<TcpStream> {
    let mut connection = TcpStream::connect(authority).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {authority}\r\nAccept: text/event-stream\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !contains(&answer, b"\nevent:") && !contains(&answer, b"\ndata:") {
        ensure!(connection.read_buf(&mut answer).await? > 0, "a viewer's connection was closed");
        ensure!(answer.len() < BUFFER_BYTES * 16, "a viewer was sent no event");
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "a viewer was refused");
    Ok(connection)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Reads what comes and forgets it, until the connection ends, which is a failure.
async fn read(mut connection: TcpStream) -> anyhow::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while connection.read(&mut buffer).await? > 0 {}
    anyhow::bail!("the server closed it")
}
