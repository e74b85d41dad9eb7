//! Starts the lab: as a process of its own on port 0, or in this process under a paused clock.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
use lab::{
    app::ServeArgs,
    cli,
    client::ExportClient,
    http_lab::{HttpAudit, HttpLab, ServiceAudit},
    telemetry::{Instruments, Telemetry},
    web::Frame,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// How long anything real may take before a test fails: a bound that only ends a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// The program with nothing of this process's environment, in a directory of its own.
pub(crate) fn program(
    directory: &std::path::Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end: exit code, stdout, stderr.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let output = program(directory.path(), arguments, environment).output().expect("the program runs");
    (
        output.status.code().expect("an exit code"),
        String::from_utf8(output.stdout).expect("text"),
        String::from_utf8(output.stderr).expect("text"),
    )
}

/// The settings that `lab config --json` printed.
pub(crate) fn settings(printed: &[u8]) -> Vec<serde_json::Value> {
    let mut printed: serde_json::Value = serde_json::from_slice(printed).expect("JSON");
    serde_json::from_value(printed["settings"].take()).expect("settings")
}

/// Where a process listens: for one that cannot say so.
pub(crate) fn listening_at(pid: Pid) -> Option<SocketAddr> {
    use procfs::{net::TcpState, process::FDTarget};

    let process = procfs::process::Process::new(pid.as_raw_nonzero().get()).ok()?;
    let sockets: Vec<u64> = process
        .fd()
        .ok()?
        .filter_map(|found| match found.ok()?.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let table = process.tcp().ok()?;
    let listening =
        |entry: &&procfs::net::TcpNetEntry| entry.state == TcpState::Listen && sockets.contains(&entry.inode);
    Some(table.iter().find(listening)?.local_address)
}

/// A server process, killed by its id when it is dropped.
pub(crate) struct Server {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    pub(crate) addr: SocketAddr,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts `lab ARGUMENTS` on a free port and waits for its `listening` line.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = program(directory.path(), arguments, environment);
        let addrs = [
            "LAB_ADDR",
            "PIPELINE_ADDR",
            "QUEUE_API_ADDR",
            "QUEUE_MONITOR_ADDR",
            "QUEUE_WORKER_ADDR",
            "SERVICE_ADDR",
            "STREAMS_ADDR",
        ];
        for variable in addrs {
            command.env(variable, "127.0.0.1:0");
        }
        let mut child = command.stdout(Stdio::null()).spawn().expect("the program starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("a line");
        let addr = line
            .trim()
            .strip_prefix("listening on http://")
            .unwrap_or_else(|| panic!("not listening: {line}"))
            .parse()
            .expect("an address");
        Self { child, stderr, addr, directory }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    /// The next line of stderr that has `text`.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.stderr.read_line(&mut line).expect("a line"), 0, "no line with {text:?}");
        }
        line.trim_end().to_owned()
    }

    /// The directory that it runs in.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Waits for the end: status and the rest of stderr.
    pub(crate) fn wait(self) -> (ExitStatus, String) {
        let (status, rest, _) = self.wait_for_what_it_left();
        (status, rest)
    }

    /// The same, and the directory that it ran in.
    pub(crate) fn wait_for_what_it_left(mut self) -> (ExitStatus, String, tempfile::TempDir) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("text");
        let status = self.child.wait().expect("an end");
        let empty = tempfile::tempdir().expect("a directory");
        (status, rest, std::mem::replace(&mut self.directory, empty))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Reads one answer to the end of the connection.
    pub(crate) fn parse(raw: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(raw);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = match headers.get("content-length") {
            Some(length) => length.parse().ok()?,
            None if status == 204 => 0,
            None => return None,
        };
        (body.len() == length).then(|| Self { status, headers: headers.clone(), body: body.to_owned() })
    }
}

/// Sends one request on a connection of its own.
pub(crate) async fn send(addr: SocketAddr, head: &str, body: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await.expect("connected");
        let length = body.len();
        let request = format!(
            "{} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-length: {length}\r\n{}\r\n{body}",
            head.lines().next().unwrap_or_default(),
            head.lines().skip(1).map(|line| format!("{line}\r\n")).collect::<String>(),
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw).await.expect("answered");
        Answer::parse(&raw).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&raw)))
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("in time")
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    send(addr, &format!("GET {path}"), "").await
}

/// Asks until `done` says so; each question waits for its answer, and the whole has a limit.
pub(crate) async fn until<T>(addr: SocketAddr, path: &str, done: impl Fn(&Answer) -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = done(&get(addr, path).await) {
                return found;
            }
            // A server that is busy is not made busier: the event has no other sign to wait for.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("in time")
}

/// The balance sheets of a lab, or of a service.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Audit {
    pub(crate) http: Option<HttpAudit>,
    pub(crate) service: ServiceAudit,
}

impl Audit {
    pub(crate) fn of(lab: &HttpLab) -> Self {
        Self { http: Some(lab.requests()), service: lab.calls() }
    }

    /// Whether every balance holds, and no more calls were orphaned than have ended.
    pub(crate) fn balances(&self) -> bool {
        let mut requests = self.http.iter().flat_map(|http| http.endpoints.values().chain([&http.sum]));
        let mut calls = self.service.services.values().chain([&self.service.sum]);
        requests.all(|ledger| ledger.started == ledger.completed + ledger.cancelled + ledger.in_flight)
            && calls.all(|ledger| {
                let ended = ledger.completed + ledger.failed;
                ledger.started == ended + ledger.cancelled + ledger.in_flight
                    && ledger.orphaned.is_none_or(|orphaned| orphaned <= ended)
            })
    }
}

/// Waits until nothing is in flight, and returns the audit.
pub(crate) async fn at_rest(addr: SocketAddr) -> Audit {
    until(addr, "/audit", |answer| {
        let audit: Audit = serde_json::from_value(answer.json()["sheets"].take()).expect("an audit");
        let http = audit.http.as_ref().map_or(0, |http| http.sum.in_flight);
        (http == 0 && audit.service.sum.in_flight == 0).then_some(audit)
    })
    .await
}

/// A lab in this process, without sockets: works under a paused clock.
pub(crate) struct Lab {
    pub(crate) lab: HttpLab,
    pub(crate) router: Router,
    pub(crate) detached: TaskTracker,
}

/// The arguments that `lab serve FLAGS` would have.
pub(crate) fn serve_args(flags: &[&str]) -> ServeArgs {
    let arguments = ["lab", "serve"].iter().chain(flags).map(Into::into);
    match cli::parse(arguments).expect("good flags").cli.command {
        Some(cli::Task::Serve(args)) => args,
        other => panic!("{other:?}"),
    }
}

impl Lab {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::with(flags, Instruments::silent())
    }

    /// A lab whose metrics can be read.
    pub(crate) fn measured(flags: &[&str]) -> (Self, Telemetry) {
        let telemetry =
            Telemetry::start(&serve_args(flags).telemetry, ExportClient::start).expect("telemetry");
        (Self::with(flags, telemetry.instruments()), telemetry)
    }

    fn with(flags: &[&str], instruments: Instruments) -> Self {
        let args = serve_args(flags);
        let detached = TaskTracker::new();
        let runtime = lab::http_lab::Runtime {
            instruments,
            tracing: lab::telemetry::Tracing::default(),
            slo: Duration::from_millis(1_500),
            detached: detached.clone(),
        };
        let lab = HttpLab::start(&args.lab, runtime).expect("a lab");
        let system = lab::http_lab::system(&lab);
        let frame = Frame::new(system.title, [].into(), system.path);
        let router =
            system.views.into_iter().fold(system.endpoints.merge(system.controls), |router, views| {
                router.merge(views(frame.clone()))
            });
        Self { router, lab, detached }
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Body> {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        self.router.clone().oneshot(request).await.expect("infallible")
    }

    pub(crate) async fn json(&self, path: &str) -> (u16, serde_json::Value) {
        let response = self.get(path).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }
}
