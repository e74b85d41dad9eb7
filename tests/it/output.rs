//! Output that is closed, full or never read changes nothing else: for every command that serves or runs.

use std::{
    io::{ErrorKind, PipeReader, Read as _, Write as _},
    net::SocketAddr,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    process::Stdio,
    sync::Arc,
};

use axum::{Router, routing::get};
use rustix::{
    fs::OFlags,
    io::ioctl_fionbio,
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Action, tcflow},
};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::timeout,
};

use crate::support::{Answer, PATIENCE, get as ask, listening_at, program, send, until};

/// Runs at a time: each is a process with threads of its own.
const RUNS_AT_A_TIME: usize = 4;

/// What is wrong with an output.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// A pipe whose reader has left.
    Closed,
    /// A pipe whose reader leaves when the server listens.
    Leaves,
    /// A disk without room.
    Full,
    /// A pipe that is full, and that nobody reads.
    Unread,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Closed, Self::Leaves, Self::Full, Self::Unread];

    /// The output, and the end of it that must be held while the process runs.
    fn output(self) -> (Stdio, Option<PipeReader>) {
        if self == Self::Full {
            let device = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
            return (device.into(), None);
        }
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        match self {
            Self::Closed => return (writer.into(), None),
            Self::Leaves => return (writer.into(), Some(reader)),
            Self::Full | Self::Unread => {}
        }
        ioctl_fionbio(&writer, true).expect("a pipe has this flag");
        for piece in [[b'x'; 4096].as_slice(), b"x"] {
            let refused = loop {
                if let Err(error) = writer.write(piece) {
                    break error;
                }
            };
            assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        }
        // The flag is the pipe's, not the descriptor's: the process would have it too.
        ioctl_fionbio(&writer, false).expect("a pipe has this flag");
        (writer.into(), Some(reader))
    }
}

#[derive(Clone, Copy, Debug)]
enum Stream {
    Stderr,
    Stdout,
}

/// A command that serves.
#[derive(Debug)]
struct Serving {
    arguments: &'static [&'static str],
    /// A request that changes something.
    change: (&'static str, &'static str),
    /// Where the change is seen: path, place in the document, value.
    seen: (&'static str, &'static str, &'static str),
    /// What it prints on stdout.
    prints: Prints,
}

#[derive(Debug, PartialEq)]
enum Prints {
    Nothing,
    /// What was asked for: that it is missing is a failure, unless its reader has left.
    Result,
}

const SERVING: [Serving; 6] = [
    Serving {
        arguments: &[],
        change: ("PATCH /settings", r#"{"async_limit":7}"#),
        seen: ("/settings", "/async_limit", "7"),
        prints: Prints::Nothing,
    },
    Serving {
        arguments: &["serve"],
        change: ("POST /streams/start", ""),
        seen: ("/streams", "/state", "\"running\""),
        prints: Prints::Nothing,
    },
    Serving {
        arguments: &["streams"],
        change: ("PATCH /streams", r#"{"workers_count":60}"#),
        seen: ("/streams", "/workers_count", "60"),
        prints: Prints::Result,
    },
    Serving {
        arguments: &["pipeline"],
        change: ("PATCH /pipeline", r#"{"policy":"pid"}"#),
        seen: ("/pipeline", "/policy", "\"pid\""),
        prints: Prints::Result,
    },
    Serving {
        arguments: &["pipeline", "--json"],
        change: ("PATCH /pipeline", r#"{"policy":"pid"}"#),
        seen: ("/pipeline", "/policy", "\"pid\""),
        prints: Prints::Result,
    },
    Serving {
        arguments: &["service", "a"],
        change: ("GET /", ""),
        seen: ("/audit", "/sheets/service/completed", "1"),
        prints: Prints::Nothing,
    },
];

const ENVIRONMENT: [(&str, &str); 11] = [
    ("RUST_LOG", "trace"),
    ("LAB_ADDR", "127.0.0.1:0"),
    ("SERVICE_ADDR", "127.0.0.1:0"),
    ("STREAMS_ADDR", "127.0.0.1:0"),
    ("PIPELINE_ADDR", "127.0.0.1:0"),
    ("LAB_UNREADY_MS", "0"),
    ("SERVICE_A_LATENCY", "uniform:1,5"),
    ("STREAM_INTERVAL", "100"),
    ("PIPELINE_WORK", "uniform:1,5"),
    ("PIPELINE_IDLE_INTERVAL", "20ms"),
    ("PIPELINE_FAILURE_RATE", "0"),
];

/// A process with one faulty output; the other is read and kept. Killed by its id when it is dropped.
struct Run {
    child: Child,
    other: PipeReader,
    fault: Option<Fault>,
    held: Option<PipeReader>,
    _directory: tempfile::TempDir,
}

impl Run {
    /// `limit`: as many descriptors as it may have.
    fn start(arguments: &[&str], on: Stream, fault: Option<Fault>, limit: Option<u32>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = program(directory.path(), arguments, &ENVIRONMENT);
        if let Some(limit) = limit {
            let lab = command.get_program().to_owned();
            let mut shell = std::process::Command::new("/bin/sh");
            shell.arg("-c").arg(format!("ulimit -n {limit}; exec \"$0\" \"$@\"")).arg(lab).args(arguments);
            shell.env_clear().envs(ENVIRONMENT).current_dir(directory.path()).stdin(Stdio::null());
            command = shell;
        }
        let (output, held) = match fault {
            Some(fault) => fault.output(),
            None => (Stdio::null(), None),
        };
        let (other, writer) = std::io::pipe().expect("a pipe");
        match on {
            Stream::Stderr => command.stderr(output).stdout(writer),
            Stream::Stdout => command.stdout(output).stderr(writer),
        };
        let child = Command::from(command).kill_on_drop(true).spawn().expect("it starts");
        Self { child, other, fault, held, _directory: directory }
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().expect("it has not ended");
        Pid::from_raw(id.try_into().expect("an id")).expect("not 0")
    }

    /// Where it listens, which it may be unable to say. A reader that leaves then does.
    async fn addr(&mut self) -> SocketAddr {
        let addr = tokio::select! {
            addr = listening(self.pid()) => addr,
            ended = self.child.wait() => panic!("it ended: {ended:?}"),
        };
        self.held.take_if(|_| self.fault == Some(Fault::Leaves));
        addr
    }

    /// SIGTERM, and its end: exit code, and what the healthy output got.
    async fn stop(mut self) -> (Option<i32>, String) {
        kill_process(self.pid(), Signal::TERM).expect("it is there");
        self.end().await
    }

    async fn end(&mut self) -> (Option<i32>, String) {
        let mut other = self.other.try_clone().expect("a pipe");
        let reading = tokio::task::spawn_blocking(move || {
            let mut text = Vec::new();
            other.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
        });
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("a child");
        (status.code(), reading.await.expect("no panic").expect("text"))
    }
}

/// Where a process listens, once it does.
async fn listening(pid: Pid) -> SocketAddr {
    let looking = async {
        loop {
            if let Some(addr) = listening_at(pid) {
                return addr;
            }
            // Another process's sockets give no sign when they begin to listen.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("in time")
}

/// Serves, is changed, is stopped, while one of its outputs is at fault.
async fn serves(command: &Serving, on: Stream, fault: Fault) {
    let mut run = Run::start(command.arguments, on, Some(fault), None);
    let addr = run.addr().await;
    assert_eq!(ask(addr, "/healthz").await.status, 200);
    let (request, body) = command.change;
    let answer = send(addr, &format!("{request}\ncontent-type: application/json"), body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (path, place, value) = command.seen;
    let seen = ask(addr, path).await.json();
    assert_eq!(seen.pointer(place).map(ToString::to_string).as_deref(), Some(value), "{seen}");
    // The line that says where it listens is lost, if no other is.
    if matches!(on, Stream::Stderr) && matches!(fault, Fault::Closed | Fault::Full) {
        until(addr, "/metrics", |answer| (lost(&answer.body, "stderr") > 0.0).then_some(())).await;
    }
    let missing = matches!(on, Stream::Stdout)
        && matches!(fault, Fault::Full | Fault::Unread)
        && command.prints == Prints::Result;
    let (code, said) = run.stop().await;
    // A trace is long.
    let said = &said[said.len().saturating_sub(2_000)..];
    assert_eq!(code, Some(i32::from(missing)), "{said}");
    assert_eq!(missing, said.contains("writing to stdout: "), "{said}");
}

/// A terminal whose output is stopped, as Ctrl-S does; both ends must be held.
fn stopped_terminal() -> (OwnedFd, OwnedFd) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&screen).expect("a terminal");
    unlockpt(&screen).expect("a terminal");
    let name = ptsname(&screen, Vec::new()).expect("a name").into_string().expect("text");
    let mut options = std::fs::OpenOptions::new();
    let terminal =
        options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits().try_into().expect("flags"));
    let terminal = terminal.open(name).expect("a terminal");
    tcflow(&terminal, Action::OOff).expect("a terminal");
    (screen, terminal.into())
}

/// What `/metrics` says of the lines that an output lost.
fn lost(metrics: &str, destination: &str) -> f64 {
    let name = format!("output_lines_lost_total{{destination=\"{destination}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0.0)
}

/// Runs all of them, a few at a time, and names those that failed.
async fn all_pass(runs: impl IntoIterator<Item = (String, impl Future<Output = ()> + Send + 'static)>) {
    let places = Arc::new(Semaphore::new(RUNS_AT_A_TIME));
    let mut tasks = JoinSet::new();
    for (name, run) in runs {
        let places = places.clone();
        tasks.spawn(async move {
            let _place = places.acquire_owned().await.expect("open");
            let failed = tokio::spawn(run).await.is_err();
            failed.then_some(name)
        });
    }
    let failed: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_output_fails_or_blocks_answers_changes_and_stops() {
    let mut runs = Vec::new();
    for command in &SERVING {
        for fault in Fault::ALL {
            let mut streams = vec![Stream::Stderr];
            streams.extend((command.prints != Prints::Nothing).then_some(Stream::Stdout));
            for on in streams {
                let name = format!("lab {}: {on:?} {fault:?}", command.arguments.join(" "));
                runs.push((name, serves(command, on, fault)));
            }
        }
    }
    all_pass(runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_whose_output_fails_or_blocks_ends() {
    let asked = Arc::new(Notify::new());
    let router = Router::new().route(
        "/",
        get({
            let asked = asked.clone();
            async move || asked.notify_one()
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let arguments = ["load", &url, "--rate", "50", "--for", "200ms"];
    for fault in [Fault::Closed, Fault::Full, Fault::Unread] {
        let (code, said) = Run::start(&arguments, Stream::Stderr, Some(fault), None).end().await;
        assert!(code == Some(0) && said.contains("offered 10 "), "{fault:?}: {code:?}: {said}");
    }
    for (fault, expected) in [(Fault::Closed, 0), (Fault::Full, 1)] {
        let (code, said) = Run::start(&arguments, Stream::Stdout, Some(fault), None).end().await;
        assert!(code == Some(expected) && !said.contains("panicked"), "{fault:?}: {code:?}: {said}");
    }
    // Who may still read the result is waited for, until a signal says otherwise.
    while timeout(std::time::Duration::ZERO, asked.notified()).await.is_ok() {}
    let unread = Run::start(&arguments, Stream::Stdout, Some(Fault::Unread), None);
    timeout(PATIENCE, asked.notified()).await.expect("it asks");
    let (code, said) = unread.stop().await;
    assert!(code == Some(1) && said.contains("writing to stdout: "), "{code:?}: {said}");
}

/// At the descriptor limit it lives on, and takes connections again when there is room.
async fn survives_the_descriptor_limit(command: &Serving, fault: Fault) {
    const DESCRIPTORS: u32 = 48;
    let mut run = Run::start(command.arguments, Stream::Stderr, Some(fault), Some(DESCRIPTORS));
    let addr = run.addr().await;
    let refused = |metrics: &str| {
        let name = "web_connections_refused_total{reason=\"descriptors\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0.0)
    };
    let mut seen = 0.0;
    // As many connections as it cannot take; that it has run out of descriptors shows afterwards only.
    while seen == 0.0 {
        let connecting: JoinSet<_> =
            (0..2 * DESCRIPTORS).map(|_| async move { TcpStream::connect(addr).await }).collect();
        let open = timeout(PATIENCE, connecting.join_all()).await.expect("in time");
        assert!(open.iter().all(Result::is_ok), "it ended");
        drop(open);
        assert_eq!(ask(addr, "/healthz").await.status, 200);
        seen = refused(&ask(addr, "/metrics").await.body);
    }
    let (code, _) = run.stop().await;
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_survives_running_out_of_descriptors() {
    let first = Fault::ALL.map(|fault| (&SERVING[0], fault));
    let rest = SERVING[1..].iter().map(|command| (command, Fault::Leaves));
    all_pass(first.into_iter().chain(rest).map(|(command, fault)| {
        let name = format!("lab {}: {fault:?}", command.arguments.join(" "));
        (name, survives_the_descriptor_limit(command, fault))
    }))
    .await;
}

#[tokio::test]
async fn lines_that_a_full_log_file_loses_are_counted_and_reported() {
    let arguments = ["pipeline", "--log-file", "/dev/full"];
    let mut run = Run::start(&arguments, Stream::Stdout, None, None);
    let addr = run.addr().await;
    until(addr, "/metrics", |answer| (lost(&answer.body, "log_file") > 0.0).then_some(())).await;
    let (code, said) = run.stop().await;
    assert_eq!(code, Some(0));
    let told = said.lines().filter(|line| line.contains("log_file") && line.contains("No space left"));
    assert_eq!(told.count(), 1, "once for as long as it lasts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_progress_bar_on_a_stopped_terminal_blocks_nothing() {
    let environment = [("TERM", "xterm"), ("STREAMS_ADDR", "127.0.0.1:0"), ("STREAM_INTERVAL", "100")];
    let directory = tempfile::tempdir().expect("a directory");
    let (_screen, terminal) = stopped_terminal();
    let start = |arguments: &[&str], stdout: Stdio| {
        let mut command = program(directory.path(), arguments, &environment);
        command.stdout(stdout).stderr(terminal.try_clone().expect("a terminal"));
        Command::from(command).kill_on_drop(true).spawn().expect("it starts")
    };
    // Long enough for a frame or two, which the terminal does not take.
    let load = ["load", "http://127.0.0.1:9/", "--rate", "10", "--for", "1s"];
    let load = start(&load, Stdio::piped()).wait_with_output();
    let load = timeout(PATIENCE, load).await.expect("it ends").expect("a child");
    let said = String::from_utf8_lossy(&load.stdout);
    assert!(load.status.code() == Some(1) && said.contains("offered 10 "), "{said}");

    let stdout = terminal.try_clone().expect("a terminal");
    let mut streams = start(&["streams"], stdout.into());
    let pid = Pid::from_raw(streams.id().expect("it runs").try_into().expect("an id")).expect("not 0");
    let addr = listening(pid).await;
    // Some processed chunks are later than the first frame.
    let processed = |answer: &Answer| (answer.json()["processed"].as_u64()? > 500).then_some(());
    until(addr, "/streams/audit", processed).await;
    kill_process(pid, Signal::TERM).expect("it is there");
    let status = timeout(PATIENCE, streams.wait()).await.expect("it ends").expect("a child");
    assert_eq!(status.code(), Some(1), "its result could not be printed");
}

/// Set in the process that panics for [`a_panic_is_reported_by_the_writer`].
const PANICS: &str = "LAB_TEST_PANICS";

#[test]
fn a_panic_is_reported_by_the_writer() {
    if std::env::var_os(PANICS).is_some() {
        let _output = lab::output::start();
        let ended = std::thread::Builder::new().name("doomed".to_owned()).spawn(|| panic!("as it must"));
        assert!(ended.expect("a thread").join().is_err());
        return;
    }
    let this = || {
        let mut command = std::process::Command::new(std::env::current_exe().expect("a test"));
        command.args(["--exact", "output::a_panic_is_reported_by_the_writer", "--nocapture"]);
        command.env(PANICS, "1").stdout(Stdio::null());
        command
    };
    let output = this().output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().take(2).collect::<Vec<_>>().join(" ");
    assert!(output.status.success(), "{said}");
    assert!(first.starts_with("thread 'doomed' panicked at tests/it/output.rs:"), "{said}");
    assert!(first.ends_with("as it must"), "{said}");
    for fault in [Fault::Closed, Fault::Full, Fault::Unread] {
        let (stderr, _held) = fault.output();
        let mut child = this().stderr(stderr).spawn().expect("it starts");
        assert!(child.wait().expect("an end").success(), "{fault:?}");
    }
}
