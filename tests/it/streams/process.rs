//! `lab streams` as a process: what it prints, and how it ends.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, ExitStatus},
    sync::atomic::{AtomicUsize, Ordering},
};

use rand::{RngExt as _, SeedableRng as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{program, run};

/// `lab streams` whose stdout is read line by line; killed by its id when it is dropped.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    directory: tempfile::TempDir,
}

impl Running {
    fn start(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let fixed = ["streams", "--addr", "127.0.0.1:0", "--json=report.json"];
        let mut child = program(directory.path(), &[&fixed, flags].concat(), &[]).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, out, directory }
    }

    /// Reads that many lines.
    fn lines(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            assert!(self.out.read_line(&mut text).expect("a line") > 0, "it ended: {text}");
        }
        text
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// Waits for its end: the rest of stdout, stderr, and the report.
    fn end(mut self) -> (ExitStatus, String, String, Value) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("text");
        self.child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
        let status = self.child.wait().expect("an end");
        let report = std::fs::read(self.directory.path().join("report.json")).expect("a report");
        (status, out, err, serde_json::from_slice(&report).expect("JSON"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count(report: &Value, term: &str) -> u64 {
    report[term].as_u64().unwrap_or_else(|| panic!("no {term}: {report}"))
}

/// The balance at the end, with nothing left inside.
fn assert_balance(report: &Value) {
    assert_eq!(count(report, "generated"), count(report, "processed") + count(report, "dropped"), "{report}");
    assert_eq!(count(report, "queued") + count(report, "in_progress"), 0, "{report}");
    assert_eq!(report["balances"], true);
}

#[test]
fn a_signal_at_any_moment_loses_nothing_uncounted() {
    const RUNS: usize = 100;
    let overloaded: &[&str] =
        &["--workers-count", "10", "--streams-count", "500", "--stream-interval", "100"];
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let at @ 0..RUNS = next.fetch_add(1, Ordering::Relaxed) {
                    let mut draw = rand_chacha::ChaCha8Rng::seed_from_u64(at as u64);
                    let policy = ["drop-newest", "drop-oldest", "block", "fair"][at % 4];
                    let load = if at % 8 < 4 { overloaded } else { &[] };
                    let mut running = Running::start(&[load, &["--overload", policy]].concat());
                    // From the first line, before anything has started, to some way into the flow.
                    running.lines(draw.random_range(1..80));
                    running.signal(if draw.random() { Signal::INT } else { Signal::TERM });
                    let (status, out, err, report) = running.end();
                    assert_eq!(status.code(), Some(0), "run {at}: {out}{err}");
                    assert_balance(&report);
                    assert_eq!(report["dropped_by"]["abandoned"], 0, "run {at}");
                    assert!(out.contains("\nShutdown signal received...\n"), "run {at}: {out}");
                    assert!(out.ends_with("\nApplication exited.\n"), "run {at}: {out}");
                }
            });
        }
    });
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_remaining_chunks_are_printed_and_counted() {
    let sink = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", sink.local_addr().expect("an address"));
    let flags = ["--sink", &url, "--sink-timeout-ms", "600000", "--stream-interval", "100"];
    let mut running = Running::start(&flags);
    running.lines(11);
    // The sink takes connections and never answers: when one is there, a chunk is in progress.
    drop(sink.accept().expect("a delivery"));
    running.signal(Signal::INT);
    running.lines(2);
    running.signal(Signal::TERM);
    let (status, out, err, report) = running.end();
    assert_eq!(status.code(), Some(130), "{out}{err}");
    assert_balance(&report);
    let abandoned = report["dropped_by"]["abandoned"].as_u64().expect("a count");
    assert!(abandoned > 0 && err.contains(&format!("left behind: {abandoned} chunk")), "{err}");
    assert!(out.contains("Application exited."), "{out}");
}

#[test]
fn a_second_signal_ends_it_also_while_sources_wait_for_a_place() {
    let sink = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", sink.local_addr().expect("an address"));
    let flags = [
        ["--sink", &url, "--sink-timeout-ms", "600000", "--overload", "block"].as_slice(),
        &["--stream-interval", "100", "--buffer-size", "100", "--workers-count", "10"],
    ]
    .concat();
    let mut running = Running::start(&flags);
    running.lines(11);
    // Ten deliveries that are never answered: every worker is held, so that the buffer fills.
    let held: Vec<_> = (0..10).map(|_| sink.accept().expect("a delivery")).collect();
    running.signal(Signal::INT);
    running.lines(2);
    running.signal(Signal::INT);
    let (status, out, err, report) = running.end();
    assert_eq!(status.code(), Some(130), "{out}{err}");
    assert_balance(&report);
    drop(held);
}

#[test]
fn a_drain_with_a_time_limit_ends_there_and_fails() {
    let sink = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", sink.local_addr().expect("an address"));
    let flags = ["--sink", &url, "--sink-timeout-ms", "600000", "--drain-ms", "100"];
    let mut running = Running::start(&flags);
    running.lines(11);
    drop(sink.accept().expect("a delivery"));
    running.signal(Signal::INT);
    let (status, _, err, report) = running.end();
    assert_eq!(status.code(), Some(1), "{err}");
    assert_balance(&report);
    assert!(count(&report["dropped_by"], "abandoned") > 0, "{report}");
}

#[test]
fn in_a_pipe_it_prints_a_line_for_each_chunk() {
    let mut running = Running::start(&["--chunk-size", "512"]);
    let head = running.lines(11);
    assert_eq!(
        head,
        "Starting the application...\n\n=== Configuration ===\nWorkers Count:    50\nStreams Count:    100\n\
         Stream Interval:  1000 ms\nChunk Size:       512 bytes\nBuffer Size:      500\n====================\n\
         Application is running...\n50 workers started\n"
    );
    assert_eq!(running.lines(1), "100 streams started\n");
    for line in running.lines(20).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let ["Worker", worker, "processed", "chunk", _, "from", "stream", stream, rest @ ..] =
            words.as_slice()
        else {
            panic!("{line}");
        };
        let stream = stream.strip_suffix(',').expect("a comma");
        assert!(
            worker.parse::<u32>().expect("a number") < 50 && stream.parse::<u32>().expect("a number") < 100
        );
        let ["length", "of", "chunk's", "data", "is", length] = rest else { panic!("{line}") };
        assert!((1..=512).contains(&length.parse::<u32>().expect("a number")));
    }
    running.signal(Signal::INT);
    let (_, out, _, report) = running.end();
    let (_, statistics) = out.split_once("=== Final Statistics ===\n").expect("statistics");
    let names: Vec<&str> =
        statistics.lines().take(8).filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    assert_eq!(
        names,
        [
            "Processed",
            "Dropped",
            "Elapsed",
            "Throughput",
            "Avg Latency",
            "P50 Latency",
            "P95 Latency",
            "P99 Latency"
        ]
    );
    assert!(statistics.starts_with(&format!(
        "Processed: {} chunks\nDropped: {} chunks\n",
        count(&report, "processed"),
        count(&report, "dropped")
    )));
}

#[test]
fn a_closed_or_unread_stdout_blocks_nothing() {
    let mut closed = Running::start(&["--duration", "1s", "--stream-interval", "100"]);
    closed.lines(20);
    let pipe = std::mem::replace(&mut closed.out, BufReader::new(empty_pipe()));
    drop(pipe);
    let (status, _, _, report) = closed.end();
    assert!(status.success());
    assert_balance(&report);

    // 6,000 lines a second, 70 bytes each: the pipe's 64 KiB and the printer's queue are soon full.
    let unread = Running::start(&[
        "--duration",
        "5s",
        "--streams-count",
        "500",
        "--stream-interval",
        "100",
        "--workers-count",
        "200",
    ]);
    let report_path = unread.directory.path().join("report.json");
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while !report_path.exists() {
        assert!(tokio::time::Instant::now() < deadline, "it waits for its reader");
        // The report is written while nobody reads the lines: a file has no event to wait for here.
        std::thread::yield_now();
    }
    let (status, _, _, report) = unread.end();
    assert!(status.success());
    assert_balance(&report);
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_a_failure_but_a_closed_stdout_is_not() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let directory = tempfile::tempdir().expect("a directory");
    for form in ["--json", "--quiet", "--verbose"] {
        for time in [["--virtual"].as_slice(), &["--addr", "127.0.0.1:0"]] {
            let flags = [&["streams", "--duration", "300ms", form], time].concat();
            let mut command = program(directory.path(), &flags, &[]);
            let output = command.stdout(full()).output().expect("it runs");
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{flags:?}: {err}");
            assert!(err.contains("writing to stdout") && !err.contains("panicked"), "{flags:?}: {err}");

            let (reader, writer) = std::io::pipe().expect("a pipe");
            drop(reader);
            let output = program(directory.path(), &flags, &[]).stdout(writer).output().expect("it runs");
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{flags:?}: {err}");
        }
    }
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("it runs");
    assert!(made.success());
    let sink = format!("file:{}", pipe.display());
    let (code, out, err) =
        run(&["streams", "--addr", "127.0.0.1:0", "--sink", &sink, "--framing", "length"], &[]);
    assert!(code == 1 && err.contains("named pipe") && !out.contains("running"), "{out}{err}");
}

/// The reading end of a process that printed nothing.
fn empty_pipe() -> ChildStdout {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["completions", "nothing"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it runs");
    let out = child.stdout.take().expect("a pipe");
    child.wait().expect("an end");
    out
}

#[test]
fn quiet_json_and_refusals() {
    let virtually = ["streams", "--virtual", "--duration", "2s"];
    let (code, out, _) = run(&[virtually.as_slice(), &["--quiet"]].concat(), &[]);
    assert!(code == 0 && out.starts_with("=== Final Statistics ===\nProcessed: "), "{out}");
    let (code, out, err) = run(&[virtually.as_slice(), &["--json"]].concat(), &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_balance(&serde_json::from_str(&out).expect("JSON and nothing else"));

    for (flags, said) in [
        (
            ["--workers-count", "9"].as_slice(),
            "WORKERS_COUNT (--workers-count, from the flag): \"9\" is not allowed: a whole number from 10 to 200",
        ),
        (
            &["--streams-count", "501"],
            "STREAMS_COUNT (--streams-count, from the flag): \"501\" is not allowed: a whole number from 10 to 500",
        ),
        (&["--stream-interval", "99"], "a bare number being milliseconds, from 100ms to 5000ms"),
        (&["--chunk-size", "4097"], "a bare number being bytes, from 512B to 4096B"),
        (&["--buffer-size", "two"], "a whole number from 100 to 2000"),
        (&["--overload", "pray"], "drop-newest, drop-oldest, block or fair"),
        (&["--sink", "ftp:x"], "simulate, http:URL"),
        (&["--framing", "xml"], "lines or length"),
        (&["--unbounded-ranges", "--streams-count", "2000000"], "to 1000000 with --unbounded-ranges"),
        (&["--sink", "http://user:secret@127.0.0.1:1/"], "no name or password"),
        (&["--duration", "-1s"], "a time from 1us to 24h"),
        (&["--virtual"], "--duration"),
        (&["--virtual", "--duration", "1s", "--listen", "127.0.0.1:0"], "--virtual"),
        (&["--sink", "file:x"], "STREAMS_FRAMING"),
        (&["--duration", "5"], "\"5\" is not allowed: a time needs a unit: did you mean 5s?"),
        (&["--quiet", "--verbose"], "--verbose"),
    ] {
        let (code, out, err) = run(&[&["streams"], flags].concat(), &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{flags:?}: {err}");
        assert!(err.lines().count() == 1 && err.contains(said), "{flags:?}: {err}");
    }
    let beyond = ["--streams-count", "501", "--workers-count", "201", "--unbounded-ranges", "--quiet"];
    let (code, _, err) = run(&[virtually.as_slice(), &beyond].concat(), &[]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = run(&["streams"], &[("WORKERS_COUNT", "300")]);
    assert!(code == 2 && err.contains("WORKERS_COUNT (--workers-count, from the environment)"), "{err}");
}
