//! A Redis server as a child process: on a free port, with its files in a folder of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpListener,
    process::{Child, Command},
    time,
};

use crate::{exec::die_with_this_process, queue::broker::RedisBroker, storage::redis::RedisUrl};

/// How long a server may take to answer.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait before it is asked again.
const PAUSE: Duration = Duration::from_millis(20);
/// Another process may take a port between the question and Redis: then once more, so often.
const STARTS_LIMIT: u32 = 5;

/// A running Redis; dropping it kills it.
#[derive(Debug)]
pub(super) struct RedisServer {
    addr: SocketAddr,
    _child: Child,
}

impl RedisServer {
    /// Starts `program` with its files in `folder`.
    ///
    /// # Errors
    /// When it does not start, or does not answer in time.
    pub(super) async fn start(program: &Path, folder: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let mut failed = None;
        for _ in 0..STARTS_LIMIT {
            match Self::start_once(program, folder, options).await {
                Ok(server) => return Ok(server),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.context("it was not started")?)
    }

    async fn start_once(program: &Path, folder: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        drop(listener);
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string(), "--save", "", "--dir"]);
        command.arg(folder).args(options).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        die_with_this_process(&mut command);
        let mut child = command.spawn().with_context(|| {
            format!(
                "cannot start {}: install Redis 7 or newer, or name it with --redis-server",
                program.display()
            )
        })?;
        let log = child.stdout.take();
        let server = Self { addr, _child: child };
        let ready = async {
            while RedisBroker::connect(&server.url()?).await.is_err() {
                time::sleep(PAUSE).await;
            }
            anyhow::Ok(())
        };
        let Some(mut log) = log else { bail!("Redis has no output") };
        // Read, so that Redis never waits for it.
        let mut said = Vec::new();
        tokio::select! {
            ready = time::timeout(START_LIMIT, ready) => ready.context("Redis does not answer")??,
            _ = log.read_to_end(&mut said) => {
                let said = String::from_utf8_lossy(&said);
                bail!("Redis has ended: {}", said.lines().last().unwrap_or_default());
            }
        }
        tokio::spawn(async move { tokio::io::copy(&mut log, &mut tokio::io::sink()).await });
        Ok(server)
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its address, as `REDIS_URL` has it.
    pub(super) fn url(&self) -> anyhow::Result<RedisUrl> {
        Ok(format!("redis://{}", self.addr).parse()?)
    }
}
