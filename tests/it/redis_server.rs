//! A real Redis of a test's own: in its own folder, on a free port, ended by its id.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use lab::storage::{
    StoreError,
    redis::{Redis, RedisUrl},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::PATIENCE;

/// A Redis server, killed when it is dropped.
pub(crate) struct RedisServer {
    child: Child,
    addr: SocketAddr,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl RedisServer {
    /// Starts one that keeps everything in memory; `arguments` are added, such as `--maxmemory 10mb`.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), arguments, Vec::new()).await
    }

    /// The same in this folder and with further variables.
    pub(crate) async fn start_in(
        mut folder: tempfile::TempDir,
        arguments: &[&str],
        environment: Vec<(String, String)>,
    ) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // Another process may take a port between the question and Redis: then once more.
        for _ in 0..10 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let addr = listener.local_addr().expect("an address");
            drop(listener);
            let child = spawn(addr, folder.path(), &arguments, &environment);
            let (arguments, environment) = (arguments.clone(), environment.clone());
            let mut server = Self { child, addr, folder, arguments, environment };
            if server.is_ready().await {
                return server;
            }
            folder = std::mem::replace(&mut server.folder, tempfile::tempdir().expect("a folder"));
        }
        panic!("Redis does not start");
    }

    /// Its address, as `REDIS_URL` has it.
    pub(crate) fn url(&self) -> RedisUrl {
        format!("redis://{}", self.addr).parse().expect("a URL")
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends it as a power cut would: without a chance to write.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it again at the same address and folder.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.addr, self.folder.path(), &self.arguments, &self.environment);
        assert!(self.is_ready().await, "Redis does not start again");
    }

    /// The same with other settings.
    pub(crate) async fn restart_with(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.restart().await;
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("sent");
    }

    /// Waits until it serves; `false`: it has ended.
    async fn is_ready(&mut self) -> bool {
        let redis = Redis::unconnected(&self.url()).expect("a client");
        let ready = async {
            // One that wants a password serves as well.
            while let Err(StoreError::Away(_) | StoreError::OutcomeUnknown(_)) =
                redis.command::<String>(&redis::cmd("PING")).await
            {
                if self.child.try_wait().expect("a child").is_some() {
                    return false;
                }
                // It has no other sign of being ready.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            true
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("in time")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(addr: SocketAddr, folder: &Path, arguments: &[String], environment: &[(String, String)]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string(), "--save", "", "--dir"]);
    command.arg(folder).args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is installed: scripts/test installs it")
}
