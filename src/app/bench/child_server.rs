//! A server in a child process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use hyper::{Request, Response};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{self, AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time;

use super::usage::Usage;
use crate::client::{Bounds, Client};
use crate::config::HttpUrl;
use crate::exec::die_with_this_process;
use crate::load::http::Target;

/// The limits of a request whose response is read.
const PAGE_BOUNDS: Bounds = Bounds { time: Duration::from_secs(10), body_bytes: 16 << 20 };

/// The time limit for a server to start listening.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long a server may drain after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How many lines of output the error contains if the server does not listen.
const ERROR_LINES: usize = 10;

const LISTENING: &str = "listening on http://";

/// A running server. [`ChildServer::stop`] ends it; dropping it kills it.
#[derive(Debug)]
pub(super) struct ChildServer {
    child: Child,
    pid: u32,
    url: HttpUrl,
    client: Client,
}

impl ChildServer {
    /// Starts `program` with only these arguments and this environment, and waits until it prints its address. If the
    /// future is dropped, the child is killed.
    pub(super) async fn start(
        program: &Path,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        die_with_this_process(&mut command);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child.id().context("the server has ended")?;
        let stderr = child.stderr.take().context("the server has no stderr")?;
        let addr = time::timeout(START_LIMIT, listening_addr(stderr))
            .await
            .with_context(|| format!("not listening after {START_LIMIT:?}"))
            .flatten()
            .with_context(|| format!("the arm `{}` failed", args.join(" ")))?;
        let url: HttpUrl = format!("http://{addr}/").parse()?;
        let client = Client::for_url(&url)?;
        Ok(Self { child, pid, url, client })
    }

    pub(super) const fn url(&self) -> &HttpUrl {
        &self.url
    }

    /// Host and port.
    pub(super) fn authority(&self) -> String {
        self.url.uri().authority().map(ToString::to_string).unwrap_or_default()
    }

    /// The load target for `path`.
    pub(super) fn target(&self, path: &str) -> anyhow::Result<Target> {
        Ok(self.url.below(path)?.to_string().parse()?)
    }

    /// Fetches `path` over a connection that is reused.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Response<Bytes>> {
        let request = Request::get(self.url.below(path)?.uri()).body(Bytes::new())?;
        let page =
            self.client.fetch(request, PAGE_BOUNDS).await.with_context(|| format!("fetching {path}"))?;
        ensure!(page.status().is_success(), "{path} responded with {}", page.status());
        Ok(page)
    }

    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.pid).context("cannot read what a server used")
    }

    /// Stops the server by SIGTERM, and kills it after a time limit.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        // The child is reaped only below, so this ID still belongs to it.
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        if time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// Stops all of `servers`, even if stopping one of them fails.
pub(super) async fn stop_all(servers: impl IntoIterator<Item = ChildServer>) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    for server in servers {
        outcome = outcome.and(server.stop().await);
    }
    outcome
}

/// Reads lines until one has the address. The rest of the output is read and discarded, so that the server never
/// blocks.
async fn listening_addr(stderr: ChildStderr) -> anyhow::Result<SocketAddr> {
    let mut lines = BufReader::new(stderr).lines();
    let mut errors = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(addr) = line.strip_prefix(LISTENING) {
            let addr = addr.trim_end_matches('/').parse()?;
            let mut rest = lines.into_inner();
            tokio::spawn(async move { io::copy_buf(&mut rest, &mut io::sink()).await });
            return Ok(addr);
        }
        if errors.len() < ERROR_LINES {
            errors.push(line);
        }
    }
    bail!("it ended without listening: {}", errors.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str) -> anyhow::Result<ChildServer> {
        ChildServer::start(Path::new("/bin/sh"), &["-c", script], &[("A", "1")]).await
    }

    #[tokio::test]
    async fn a_server_is_started_and_stopped() {
        let script = "echo listening on http://127.0.0.1:$((A + 4000)) >&2; exec sleep 60";
        let server = shell(script).await.unwrap();
        assert_eq!(server.url().to_string(), "http://127.0.0.1:4001/");
        let pid = Pid::from_raw(server.pid.try_into().unwrap()).unwrap();
        server.stop().await.unwrap();
        assert!(rustix::process::test_kill_process(pid).is_err());
    }

    #[tokio::test]
    async fn the_error_of_a_failed_start_contains_the_output() {
        let error = shell("echo LAB_ADDR: bad >&2; exit 2").await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("LAB_ADDR: bad"), "{text}");
        let error = ChildServer::start(Path::new("/nonexistent"), &[], &[]).await;
        assert!(error.unwrap_err().to_string().contains("/nonexistent"));
    }
}
