//! The pipeline at its edge: a live cycle, signals, configuration, real work that is killed and resumed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Answer, PATIENCE, Server, get, program, run, send, until};

/// `lab pipeline` in a directory of its own, its outputs in files there; killed when dropped.
struct Run {
    child: Child,
    directory: PathBuf,
    /// The most memory it was seen to hold, kilobytes.
    high_kb: u64,
}

impl Run {
    fn start(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn(directory, program(directory, arguments, environment))
    }

    /// `lab pipeline` with SIGHUP ignored from its start.
    fn start_under_nohup(directory: &Path, environment: &[(&str, &str)]) -> Self {
        let lab = program(directory, &[], environment);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' HUP; exec \"$0\" pipeline"]).arg(lab.get_program());
        command.current_dir(directory).env_clear().stdin(std::process::Stdio::null());
        command.envs(environment.iter().copied());
        Self::spawn(directory, command)
    }

    fn spawn(directory: &Path, mut command: Command) -> Self {
        let file = |name: &str| File::create(directory.join(name)).expect("a file");
        command.env("PIPELINE_ADDR", "127.0.0.1:0").env("PATH", std::env::var("PATH").unwrap_or_default());
        let child = command.stdout(file("out")).stderr(file("err")).spawn().expect("it starts");
        Self { child, directory: directory.to_owned(), high_kb: 0 }
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join(name)).unwrap_or_default()).into_owned()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// Looks until `done` says so.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let looking = async {
            while !done(self) {
                self.look();
                // A file has no other sign to wait for.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, looking).await.is_ok();
        assert!(in_time, "{what}: {}\n{}", self.read("out"), self.read("err"));
    }

    fn look(&mut self) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let high = high.and_then(|high| high.split_whitespace().next()?.parse::<u64>().ok());
        self.high_kb = self.high_kb.max(high.unwrap_or(0));
    }

    async fn ended(&mut self) -> ExitStatus {
        let ending = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("its status") {
                    return status;
                }
                self.look();
                // Its memory is looked at meanwhile.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ending).await.expect("in time")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_terminal_that_closes_stops_it_in_order_unless_nohup_says_otherwise() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut run = Run::start(directory.path(), &["pipeline"], &FAST);
    run.until("it runs", |run| run.read("out").contains("pipeline running")).await;
    run.signal(Signal::HUP);
    run.until("it heard", |run| run.read("out").contains("signal received")).await;
    // The shell and the kernel both send one, which must not end the drain.
    run.signal(Signal::HUP);
    assert_eq!(run.ended().await.code(), Some(0), "{}", run.read("err"));
    assert!(run.read("out").contains("Balance: created "), "{}", run.read("out"));

    let directory = tempfile::tempdir().expect("a directory");
    let mut run = Run::start_under_nohup(directory.path(), &FAST);
    run.until("it runs", |run| run.read("out").contains("pipeline running")).await;
    run.signal(Signal::HUP);
    run.until("it goes on", |run| run.read("out").contains("↑ added worker (total 8)")).await;
    assert!(!run.read("out").contains("signal received"), "{}", run.read("out"));
    run.signal(Signal::TERM);
    assert_eq!(run.ended().await.code(), Some(0), "{}", run.read("err"));
}

#[test]
fn a_log_file_that_cannot_be_opened_is_refused_before_anything_starts() {
    let (code, out, err) =
        run(&["pipeline", "--log-file", "/proc/none/log"], &[("PIPELINE_ADDR", "127.0.0.1:0")]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    let said = "lab: --log-file=/proc/none/log (PIPELINE_LOG_FILE): the file cannot be written: ";
    assert!(err.lines().any(|line| line.starts_with(said) && line.ends_with("or off for none")), "{err}");
}

/// The defaults in a fiftieth of their time.
const FAST: [(&str, &str); 7] = [
    ("PIPELINE_WORK", "uniform:20,100"),
    ("PIPELINE_CHECK_INTERVAL", "20ms"),
    ("PIPELINE_BURST_INTERVAL", "1ms"),
    ("PIPELINE_BURST_LENGTH", "400ms"),
    ("PIPELINE_IDLE_INTERVAL", "12ms"),
    ("PIPELINE_IDLE_LENGTH", "3s"),
    ("PIPELINE_RETRY_BACKOFF", "2ms"),
];

/// What stands after the stamp of each line.
fn texts(log: &str) -> Vec<&str> {
    log.lines().map(|line| line.get(27..).unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_live_cycle_grows_to_eight_shrinks_to_two_and_drains() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut run = Run::start(directory.path(), &["pipeline"], &FAST);
    run.until("it grows", |run| run.read("out").contains("↑ added worker (total 8)")).await;
    run.until("it shrinks", |run| {
        let log = run.read("out");
        log.split_once("(total 8)").is_some_and(|(_, rest)| rest.contains("↓ removed worker (total 2)"))
    })
    .await;
    run.signal(Signal::TERM);
    assert_eq!(run.ended().await.code(), Some(0));
    let (out, log) = (run.read("out"), run.read("logs/pipeline.log"));
    let after = out.strip_prefix(&log).expect("both have the whole log");
    assert!(
        after.starts_with("=== Final Statistics ===\n") && after.contains("Balance: created "),
        "{after}"
    );
    let lines = texts(&log);
    let at =
        |text: &str| lines.iter().position(|line| *line == text).unwrap_or_else(|| panic!("{text}: {log}"));
    assert_eq!(at("pipeline running — press Ctrl+C to start graceful drain"), 0);
    assert!(at("signal received — stopping producer, beginning drain") < at("draining backlog=0"));
    assert!(at("draining backlog=0") < at("jobs channel closed — stopping workers and supervisor"));
    assert_eq!(at("graceful exit complete"), lines.len() - 1);
    // The time stamp, to the microsecond: 2025/08/13 10:00:00.000123
    for line in log.lines() {
        let form: String = line[..26].chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(form, "0000/00/00 00:00:00.000000", "{line}");
    }
}

#[tokio::test]
async fn a_second_signal_or_the_deadline_leaves_jobs_behind_and_counts_them() {
    let slow = [("PIPELINE_WORK", "constant:600000"), ("PIPELINE_BURST_INTERVAL", "1ms")];
    for (drain_ms, signals, code) in [("", 2, 130), ("300", 1, 1)] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut environment = slow.to_vec();
        environment.push(("LAB_DRAIN_MS", drain_ms));
        let mut run = Run::start(directory.path(), &["pipeline"], &environment);
        // As many jobs as the queue holds, and what its workers have.
        let loaded = |out: &str| (60..=68).any(|jobs| out.contains(&format!("backlog size: {jobs}\n")));
        run.until("it is loaded", |run| loaded(&run.read("out"))).await;
        run.signal(Signal::INT);
        if signals == 2 {
            run.until("it drains", |run| run.read("out").contains("draining backlog=")).await;
            run.signal(Signal::TERM);
        }
        assert_eq!(run.ended().await.code(), Some(code), "{}", run.read("err"));
        let err = run.read("err");
        let left =
            err.lines().find_map(|line| line.strip_prefix("lab: left behind: ")).expect("what is left");
        let jobs: u64 = left.split(' ').next().and_then(|jobs| jobs.parse().ok()).expect("a number");
        assert!((60..=68).contains(&jobs) && left.contains("in progress"), "{left}");
    }
}

#[tokio::test]
async fn a_drain_deadline_inside_the_lab_names_the_abandoned_jobs() {
    let environment = [
        ("PIPELINE_WORK", "constant:600000"),
        ("PIPELINE_BURST_INTERVAL", "1ms"),
        ("LAB_UNREADY_MS", "0"),
        ("LAB_DRAIN_MS", "300"),
    ];
    let server = Server::start(&[], &environment);
    assert_eq!(send(server.addr, "POST /pipeline/start", "").await.status, 200);
    let is_working = |answer: &Answer| answer.json()["in_progress"].as_u64().is_some_and(|jobs| jobs > 0);
    until(server.addr, "/pipeline", |answer| is_working(answer).then_some(())).await;
    server.signal(Signal::TERM);
    let (status, rest) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(rest.contains("left behind: ") && rest.contains("of the pipeline ("), "{rest}");
}

#[test]
fn a_bad_configuration_names_the_key_the_value_and_what_is_allowed() {
    let check = |arguments: &[&str], environment: &[(&str, &str)], expect: &str| {
        let arguments: Vec<&str> = ["pipeline"].iter().chain(arguments).copied().collect();
        let (code, out, err) = run(&arguments, environment);
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1), "{err}");
        assert!(err.contains(expect), "{expect}: {err}");
    };
    check(
        &["--min-workers", "9"],
        &[],
        "PIPELINE_MIN_WORKERS (--min-workers, from the flag): \"9\" is not allowed: at most max_workers, which is 8",
    );
    check(
        &[],
        &[("PIPELINE_SHRINK_THRESHOLD", "60")],
        "PIPELINE_SHRINK_THRESHOLD (--shrink-threshold, from the environment): \"60\" is not allowed: less than \
         grow_threshold, which is 50",
    );
    check(
        &[],
        &[("PIPELINE_CHECK_INTERVAL", "1")],
        "\"1\" is not allowed: a time needs a unit: did you mean 1s?",
    );
    check(&["--policy", "best"], &[], "threshold, target, keda, little or pid");
    check(&["--failure-rate", "often"], &[], "a whole number from 0 to 1000000");
    check(&["simulate", "--min-workers", "9"], &[], "PIPELINE_MIN_WORKERS");
    check(&["--virtual"], &[], "--duration");
    check(&["--jobs", "-"], &[], "--exec");
    // `lab` has the pipeline too, and `lab config` refuses what it refuses.
    for arguments in [&[][..], &["config"]] {
        for (variable, value) in
            [("PIPELINE_MIN_WORKERS", "9"), ("PIPELINE_GROW_THRESHOLD", "5"), ("PIPELINE_WORK", "often")]
        {
            let (code, out, err) = run(arguments, &[(variable, value)]);
            assert_eq!(
                (code, out.as_str(), err.lines().count()),
                (2, "", 1),
                "{arguments:?} {variable}: {err}"
            );
        }
    }
}

#[test]
fn a_yaml_file_is_read_below_the_environment_and_flags() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |text: &str| fs::write(directory.path().join("config.yml"), text).expect("written");
    let ask = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut all = vec!["config", "--json", "--config", "config.yml"];
        all.extend(arguments);
        program(directory.path(), &all, environment).output().expect("it runs")
    };
    write(
        "pipeline:\n  min_workers:      3\n  max_workers:      6\n  grow_threshold:   50\n  shrink_threshold: 10\n  \
         check_interval:   2s\n  failure_rate:     10\n  seed: 7\n",
    );
    let output = ask(&[], &[("PIPELINE_MAX_WORKERS", "5")]);
    let settings = crate::support::settings(&output.stdout);
    for (name, value, source) in [
        ("PIPELINE_MIN_WORKERS", "3", "file"),
        ("PIPELINE_MAX_WORKERS", "5", "environment"),
        ("PIPELINE_CHECK_INTERVAL", "2s", "file"),
        ("PIPELINE_QUEUE_CAPACITY", "60", "default"),
        ("LAB_SEED", "7", "file"),
    ] {
        let found = settings.iter().find(|setting| setting["name"] == name).expect(name);
        assert_eq!(
            (found["value"].as_str(), found["source"].as_str()),
            (Some(value), Some(source)),
            "{name}"
        );
    }
    for (text, expect) in [
        ("pipeline:\n  min_wrkers: 3\n", "\"min_wrkers: 3\" is not allowed: keys are seed, addr,"),
        ("pipeline: [1, 2]\n", "line 1: a mapping pipeline: with keys and plain values is allowed"),
        ("pipeline:\n  seed: 1\n  work: [1]\n", "a mapping pipeline: with keys and plain values is allowed"),
        ("pipeline:\n  seed: 1\n  seed: 2\n", "config.yml: line 3: each key is allowed once"),
        ("pipeline:\n  min_workers: 0\n", "PIPELINE_MIN_WORKERS"),
    ] {
        write(text);
        let output = ask(&[], &[]);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && err.contains(expect) && err.lines().count() == 1, "{err}");
    }
}

#[test]
fn in_virtual_time_the_same_seed_writes_the_same_bytes() {
    let arguments = ["pipeline", "--virtual", "--duration", "480s", "--seed"];
    let log = |seed: &str| {
        let mut all = arguments.to_vec();
        all.push(seed);
        let (code, out, err) = run(&all, &[]);
        assert_eq!(code, 0, "{err}");
        out
    };
    let first = log("5");
    assert!(first.starts_with("2025/08/13 10:00:00.000000 pipeline running"), "{first}");
    assert_eq!(first, log("5"));
    assert_ne!(first, log("6"));
    let (code, out, _) = run(&["pipeline", "--virtual", "--duration", "30s", "--json"], &[]);
    let ledger: serde_json::Value = serde_json::from_str(&out).expect("nothing but JSON");
    let term = |name: &str| ledger[name].as_u64().unwrap_or_else(|| panic!("{name}: {out}"));
    assert_eq!((code, term("backlog")), (0, 0));
    assert_eq!(term("created"), term("succeeded") + term("permanently_failed"));
    // What the text says stands in the JSON too.
    assert_eq!(ledger["sojourn"]["n"], ledger["created"]);
    assert!(ledger["sojourn"]["p50_ms"].as_f64() > Some(1_000.0), "{out}");
    assert!(ledger["elapsed_ms"].as_f64() >= Some(30_000.0), "{out}");
    assert!(ledger["worker_seconds"].as_f64() >= Some(60.0), "{out}");
    for count in ["retries", "held_back", "worker_changes"] {
        term(count);
    }
}

/// A command for jobs that succeed, fail, hang with a child in the background, or print five megabytes.
const JOB: &str = "#!/bin/sh\n\
    echo \"$1\" >> ran\n\
    case \"$1\" in\n\
    *fail*) echo bad >&2; exit 3;;\n\
    *hang*) sleep 600 & echo $! >> background; sleep 600;;\n\
    *print*) head -c 5000000 /dev/zero;;\n\
    *slow*) sleep 600 & echo $! >> background; sleep 0.03;;\n\
    *) cat;;\n\
    esac\n";

fn script(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("job.sh");
    fs::write(&path, JOB).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
}

fn records(directory: &Path) -> BTreeMap<String, serde_json::Value> {
    let text = fs::read_to_string(directory.join("results.jsonl")).expect("results");
    let mut records = BTreeMap::new();
    // Without the last line if it is torn.
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let job = record["job"].to_string();
        assert!(records.insert(job, record).is_none(), "twice: {line}");
    }
    records
}

/// Whether a process is there and no zombie.
fn is_alive(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

#[tokio::test]
async fn a_thousand_commands_run_of_which_some_fail_or_print_megabytes() {
    let directory = tempfile::tempdir().expect("a directory");
    script(directory.path());
    let kind = |number: u32| match number {
        _ if number % 40 == 7 => "fail",
        _ if number % 50 == 3 => "print",
        _ => "fine",
    };
    let jobs: String = (0..1_000)
        .map(|number| format!("{{\"id\":\"j{number}\",\"kind\":\"{}\"}}\n", kind(number)))
        .collect();
    fs::write(directory.path().join("jobs"), jobs + "not json\n").expect("written");
    let arguments = [
        "pipeline",
        "--json",
        "--jobs",
        "jobs",
        "--exec",
        "./job.sh {}",
        "--max-retries",
        "1",
        "--retry-backoff",
        "5ms",
        "--check-interval",
        "50ms",
        "--policy",
        "little",
    ];
    let mut run = Run::start(directory.path(), &arguments, &[]);
    assert_eq!(run.ended().await.code(), Some(1), "some failed for good: {}", run.read("err"));

    let records = records(directory.path());
    assert_eq!(records.len(), 1_001, "every line has its result");
    for number in 0..1_000 {
        let record = &records[&format!("\"j{number}\"")];
        let expect = match kind(number) {
            "fail" => ("failed", Some("exit code 3"), 2, 0),
            "print" => ("succeeded", None, 1, 5_000_000),
            _ => ("succeeded", None, 1, format!("{{\"id\":\"j{number}\",\"kind\":\"fine\"}}\n").len()),
        };
        let found = (
            record["outcome"].as_str().expect("text"),
            record["error"].as_str(),
            record["attempts"].as_u64().expect("a number"),
            record["stdout_bytes"].as_u64().expect("a number") as usize,
        );
        assert_eq!(found, expect, "{record}");
        assert!(record["stdout"].as_str().expect("text").len() <= 4_096);
    }
    let report: serde_json::Value = serde_json::from_str(&run.read("out")).expect("nothing but JSON");
    let failed = (0..1_000).filter(|number| kind(*number) == "fail").count() as u64 + 1;
    assert_eq!(report["created"], 1_001);
    assert_eq!(report["permanently_failed"], failed);
    assert_eq!((&report["backlog"], &report["jobs"]["permanently_failed"]), (&0.into(), &failed.into()));
    assert!(run.high_kb > 0 && run.high_kb < 100_000, "{} kB, with 100 MB printed", run.high_kb);
}

#[tokio::test]
async fn commands_that_hang_are_killed_with_all_that_they_started() {
    let directory = tempfile::tempdir().expect("a directory");
    script(directory.path());
    let jobs: String = (0..8).map(|number| format!("{{\"id\":{number},\"kind\":\"hang\"}}\n")).collect();
    fs::write(directory.path().join("jobs"), jobs).expect("written");
    let fixed = ["pipeline", "--jobs", "jobs", "--exec", "./job.sh {}", "--min-workers", "8"];
    let limits = ["--job-timeout", "2s", "--max-retries", "1", "--retry-backoff", "5ms"];
    let mut run = Run::start(directory.path(), &[&fixed[..], &limits].concat(), &[]);
    assert_eq!(run.ended().await.code(), Some(1), "all failed for good: {}", run.read("err"));
    let records = records(directory.path());
    assert_eq!(records.len(), 8);
    for record in records.values() {
        let found = (record["outcome"].as_str(), record["error"].as_str(), record["attempts"].as_u64());
        assert_eq!(found, (Some("failed"), Some("timed out after 2 s"), Some(2)), "{record}");
    }
    let background = fs::read_to_string(directory.path().join("background")).expect("hanging jobs");
    assert!(!background.is_empty() && !background.lines().any(is_alive), "{background}");
}

#[tokio::test]
async fn after_a_kill_and_a_resume_each_job_has_a_result_and_no_recorded_job_ran_again() {
    let directory = tempfile::tempdir().expect("a directory");
    script(directory.path());
    let jobs: String = (0..400).map(|number| format!("{{\"id\":{number},\"kind\":\"slow\"}}\n")).collect();
    fs::write(directory.path().join("jobs"), jobs).expect("written");
    let arguments = ["pipeline", "--jobs", "jobs", "--exec", "./job.sh {}", "--check-interval", "50ms"];
    let lines =
        |name: &str| fs::read_to_string(directory.path().join(name)).unwrap_or_default().lines().count();
    let mut run = Run::start(directory.path(), &arguments, &[]);
    run.until("it is in the middle", |_| lines("results.jsonl") >= 60).await;
    run.signal(Signal::KILL);
    run.ended().await;
    // The kernel and the guard end what it started.
    let background = fs::read_to_string(directory.path().join("background")).expect("background");
    run.until("nothing of it is left", |_| !background.lines().any(is_alive)).await;
    let recorded: BTreeSet<String> = records(directory.path()).into_keys().collect();
    assert!(recorded.len() >= 60 && recorded.len() < 400, "{}", recorded.len());
    let ran_before = lines("ran");

    // Without --resume a file with results is not touched.
    let mut refused = Run::start(directory.path(), &arguments, &[]);
    assert_eq!(refused.ended().await.code(), Some(2));
    assert!(refused.read("err").contains("--resume"), "{}", refused.read("err"));

    let results = directory.path().join("results.jsonl");
    let mut torn = fs::read_to_string(&results).expect("text");
    torn.push_str("{\"job\":399,\"outco");
    fs::write(&results, torn).expect("written");
    let resumed: Vec<&str> = arguments.iter().copied().chain(["--resume"]).collect();
    let mut run = Run::start(directory.path(), &resumed, &[]);
    assert_eq!(run.ended().await.code(), Some(0), "{}", run.read("err"));
    assert!(
        run.read("err").contains(&format!("{} jobs were recorded before", recorded.len())),
        "{}",
        run.read("err")
    );
    assert!(run.read("out").contains("a torn last line of 17 bytes was cut off"));
    assert_eq!(records(directory.path()).len(), 400);
    let ran = fs::read_to_string(directory.path().join("ran")).expect("text");
    for line in ran.lines().skip(ran_before) {
        let job: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(!recorded.contains(&job["id"].to_string()), "ran again: {line}");
    }
}

/// Runs jobs to their end in a directory: the exit code, and what it said on stderr.
async fn run_jobs(directory: &Path, jobs: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    fs::write(directory.join("jobs"), jobs).expect("written");
    let fixed = ["pipeline", "--jobs", "jobs", "--retry-backoff", "1ms", "--log-file", "off"];
    let mut run = Run::start(directory, &[&fixed[..], arguments].concat(), &[]);
    let code = run.ended().await.code();
    (code, run.read("out"), run.read("err"))
}

fn shell(directory: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("job.sh");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
}

#[tokio::test]
async fn unusable_files_and_commands_are_refused_before_the_first_job() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("folder")).expect("a folder");
    assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().expect("it runs").success());
    let cases: [(&[&str], &str); 8] = [
        (&["--jobs", "folder", "--exec", "touch ran"], "--jobs=folder: is a directory"),
        (&["--jobs", "none", "--exec", "touch ran"], "--jobs=none: No such file or directory"),
        (
            &["--jobs", "jobs", "--exec", "touch ran", "--results", "fifo"],
            "--results=fifo: it is not a regular file",
        ),
        (
            &["--jobs", "jobs", "--exec", "touch ran", "--results", "/dev/full"],
            "--results=/dev/full: it is no",
        ),
        (&["--jobs", "jobs", "--exec", "touch ran", "--results", "folder"], "--results=folder: it is no"),
        (&["--jobs", "jobs", "--exec", "touch {x}", "--lines"], "--exec: \"{x}\" is not allowed"),
        (&["--jobs", "jobs", "--exec", "{} x"], "with placeholders only in its arguments"),
        (
            &["--jobs", "jobs", "--exec", "touch ran", "--results", "-", "--resume"],
            "--results: \"-\" is not allowed",
        ),
    ];
    fs::write(at("jobs"), "1\n").expect("written");
    for (arguments, expected) in cases {
        let mut run = Run::start(directory.path(), &[&["pipeline"], arguments].concat(), &[]);
        assert_eq!(run.ended().await.code(), Some(2), "{arguments:?}: {}", run.read("err"));
        assert!(run.read("err").contains(expected), "{expected}: {}", run.read("err"));
        assert!(!at("ran").exists() && !at("logs").exists(), "{arguments:?}");
    }
}

#[tokio::test]
async fn an_error_while_reading_jobs_is_reported_and_is_a_failure() {
    let directory = tempfile::tempdir().expect("a directory");
    // Reading the memory of a process from address 0 fails in the middle: nothing is mapped there.
    let arguments = ["pipeline", "--jobs", "/proc/self/mem", "--exec", "true", "--log-file", "off"];
    let mut run = Run::start(directory.path(), &arguments, &[]);
    assert_eq!(run.ended().await.code(), Some(1));
    let err = run.read("err");
    assert!(err.contains("--jobs=/proc/self/mem: the rest could not be read: "), "{err}");
}

#[tokio::test]
async fn different_jobs_are_kept_apart_and_results_have_their_times() {
    let directory = tempfile::tempdir().expect("a directory");
    let ids = ["18446744073709551617", "18446744073709551618", "1.10", "1.1"];
    let jobs: String = ids.iter().map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let (code, _, err) = run_jobs(directory.path(), &jobs, &["--exec", "echo {id}"]).await;
    assert_eq!(code, Some(0), "{err}");
    let text = fs::read_to_string(directory.path().join("results.jsonl")).expect("results");
    for id in ids {
        assert_eq!(text.matches(&format!("{{\"job\":{id},")).count(), 1, "{id}: {text}");
        assert_eq!(text.matches(&format!("\"stdout\":\"{id}\\n\"")).count(), 1, "{id}: {text}");
    }
    let record: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert!(record["started_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{record}");
    assert!(record["run_ms"].as_f64() <= record["sojourn_ms"].as_f64(), "{record}");
    // A result of an earlier version, and what its job is resumed by.
    let old = r#"{"job":7,"line":1,"outcome":"succeeded","attempts":1,"exit_code":0,"sojourn_ms":1.5,"stdout":"","stdout_bytes":0,"stderr":"","stderr_bytes":0}"#;
    fs::write(directory.path().join("results.jsonl"), format!("{old}\n")).expect("written");
    let (code, _, err) = run_jobs(directory.path(), "{\"id\":7}\n", &["--exec", "false", "--resume"]).await;
    assert!(code == Some(0) && err.contains("; 1 job was recorded before"), "{err}");
}

#[tokio::test]
async fn a_command_that_cannot_be_started_stops_the_run_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let jobs: String = (0..1_000).map(|number| format!("{number}\n")).collect();
    fs::write(directory.path().join("old.json"), "an old result").expect("written");
    for program in ["./missing", "./jobs", "no-such-program"] {
        let exec = format!("{program} {{}}");
        let arguments = ["--exec", &exec, "--json=old.json"];
        let (code, _, err) = run_jobs(directory.path(), &jobs, &arguments).await;
        let old = fs::read_to_string(directory.path().join("old.json")).expect("text");
        assert_eq!(old, "an old result", "a run that did nothing has no result");
        assert!(
            code == Some(1) && err.contains(&format!("lab: stopped: {program} cannot be started: ")),
            "{err}"
        );
        assert!(!directory.path().join("results.jsonl").exists(), "nothing ran");
    }
    // What this job alone cannot be given is this job's failure.
    let (code, _, err) =
        run_jobs(directory.path(), "\"a\\u0000b\"\n\"fine\"\n", &["--exec", "echo {}"]).await;
    assert!(code == Some(1) && err.contains("1 succeeded, 1 failed for good"), "{err}");
}

#[tokio::test]
async fn a_placeholder_is_filled_with_a_text_a_field_or_a_line_and_the_environment_names_the_job() {
    let directory = tempfile::tempdir().expect("a directory");
    shell(
        directory.path(),
        "printf '%s|' \"$@\" \"$LAB_JOB_ID\" \"$LAB_JOB_ATTEMPT\"; test \"$LAB_JOB_WORKER\" -gt 0",
    );
    let jobs = "\"a 'b'\"\n{\"id\":\"x\",\"to\":\"c d\"}\n";
    let (code, _, err) = run_jobs(directory.path(), jobs, &["--exec", "./job.sh {} {{}}"]).await;
    assert_eq!(code, Some(0), "{err}");
    let printed = |key: &str| {
        let records = records(directory.path());
        let found = records.iter().find(|(job, _)| job.starts_with(key)).expect("recorded").1.clone();
        found["stdout"].as_str().expect("text").to_owned()
    };
    assert!(printed("\"line 1 ").starts_with("a 'b'|{}|line 1 "), "{}", printed("\"line 1 "));
    assert_eq!(printed("\"x\""), "{\"id\":\"x\",\"to\":\"c d\"}|{}|x|1|");

    let arguments = ["--exec", "./job.sh {to}-{id}", "--results", "fields", "--max-retries", "0"];
    let (code, _, err) = run_jobs(directory.path(), jobs, &arguments).await;
    assert!(code == Some(1) && err.contains("1 succeeded, 1 failed for good"), "{err}");
    let fields = fs::read_to_string(directory.path().join("fields")).expect("results");
    assert!(
        fields.contains("\"stdout\":\"c d-x|x|1|\"") && fields.contains("has no field \\\"to\\\""),
        "{fields}"
    );

    let arguments = ["--lines", "--exec", "./job.sh {}", "--results", "-"];
    let (code, out, err) = run_jobs(directory.path(), "not json\n\"quoted\"\n", &arguments).await;
    assert_eq!(code, Some(0), "{err}");
    let results: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("a result and nothing else")).collect();
    let mut texts: Vec<&str> =
        results.iter().map(|result| result["stdout"].as_str().expect("text")).collect();
    texts.sort_unstable();
    assert!(
        texts[0].starts_with("\"quoted\"|line 2 ") && texts[1].starts_with("not json|line 1 "),
        "{texts:?}"
    );
}

#[tokio::test]
async fn a_shell_gets_the_line_as_an_argument_that_it_does_not_execute() {
    let directory = tempfile::tempdir().expect("a directory");
    // As docs/pipeline.md writes it, after a shell has read it.
    let exec = r#"sh -c 'printf %s "$1"' - {}"#;
    let (code, _, err) =
        run_jobs(directory.path(), "x; touch ran $(touch ran)\n", &["--lines", "--exec", exec]).await;
    assert_eq!(code, Some(0), "{err}");
    let results = fs::read_to_string(directory.path().join("results.jsonl")).expect("results");
    assert!(results.contains("\"stdout\":\"x; touch ran $(touch ran)\""), "{results}");
    assert!(!directory.path().join("ran").exists());
}

#[tokio::test]
async fn failed_jobs_are_tried_again_on_request_and_the_first_can_be_the_last() {
    let directory = tempfile::tempdir().expect("a directory");
    let jobs: String = (0..200).map(|number| format!("{number}\n")).collect();
    shell(directory.path(), "echo \"$1\" >> ran; test \"$1\" != 5 || test -e mended");
    let exec = ["--exec", "./job.sh {}", "--max-retries", "0", "--max-workers", "2"];
    let stopping = [&exec[..], &["--stop-on-failure"]].concat();
    let (code, _, err) = run_jobs(directory.path(), &jobs, &stopping).await;
    assert!(code == Some(1) && err.contains("failed for good (--stop-on-failure)"), "{err}");
    let left = number(&err, "failed for good (--stop-on-failure); ");
    assert_eq!(left, number(&err, "jobs: ") - records(directory.path()).len(), "{err}");
    let ran = || fs::read_to_string(directory.path().join("ran")).expect("text").lines().count();
    assert!((6..20).contains(&ran()), "those in progress were the last: {}", ran());

    let (code, _, err) = run_jobs(directory.path(), &jobs, &[&exec[..], &["--resume"]].concat()).await;
    assert!(code == Some(1) && err.contains("1 of those recorded had failed"), "{err}");
    assert_eq!(ran(), 200, "a failed job is not tried again unasked");
    fs::write(directory.path().join("mended"), "").expect("written");
    let again = [&exec[..], &["--resume", "--retry-failed"]].concat();
    for tried_again in [true, false] {
        let (code, _, err) = run_jobs(directory.path(), &jobs, &again).await;
        assert_eq!(
            (code, err.contains("; 1 job had failed before and was tried again")),
            (Some(0), tried_again),
            "{err}"
        );
        assert_eq!(ran(), 201);
    }
}

/// The number that stands after `before`.
fn number(text: &str, before: &str) -> usize {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("{before}: {text}")).1;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("{before}: {text}"))
}

#[tokio::test]
async fn a_run_stopped_before_the_end_of_its_jobs_reports_the_rest_and_fails() {
    let jobs: String = (0..1_000).map(|number| format!("{number}\n")).collect();
    for duration in [None, Some("--duration=300ms")] {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("jobs"), &jobs).expect("written");
        let fixed =
            ["pipeline", "--jobs", "jobs", "--exec", "sleep 0.05", "--log-file", "off", "--json=report.json"];
        let arguments: Vec<&str> = fixed.into_iter().chain(duration).collect();
        let mut run = Run::start(directory.path(), &arguments, &[]);
        if duration.is_none() {
            run.until("it is in the middle", |run| run.read("results.jsonl").lines().count() > 4).await;
            run.signal(Signal::TERM);
        }
        assert_eq!(run.ended().await.code(), Some(1), "{}", run.read("err"));
        let err = run.read("err");
        let left = number(&err, "lab: stopped before the end of --jobs: ");
        assert!(
            err.contains(" jobs that were read were not done, and the rest was not read; --resume goes on")
        );
        let recorded = records(directory.path()).len();
        assert_eq!(number(&err, "jobs: "), recorded + left, "{err}");
        let report: serde_json::Value = serde_json::from_str(&run.read("report.json")).expect("JSON");
        let of = &report["jobs"];
        assert_eq!((&of["interrupted"], &of["not_done"]), (&true.into(), &left.into()), "{report}");
    }
}

#[tokio::test]
async fn a_line_with_the_id_of_an_earlier_line_is_reported_and_not_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut jobs = "{\"id\":1,\"x\":1}\n{\"id\":1,\"x\":2}\n".to_owned();
    let (code, _, err) =
        run_jobs(directory.path(), &jobs, &["--exec", "echo {x}", "--json=report.json"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("; 1 line had the id of an earlier line and was not run"), "{err}");
    let report = fs::read_to_string(directory.path().join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((&report["jobs"]["interrupted"], &report["jobs"]["duplicates"]), (&false.into(), &1.into()));
    jobs.push_str("{\"id\":1}\n");
    let (_, _, err) = run_jobs(directory.path(), &jobs, &["--exec", "echo", "--results", "others"]).await;
    assert!(err.contains("; 2 lines had the id of an earlier line and were not run"), "{err}");
}

#[tokio::test]
async fn on_a_full_disk_no_more_jobs_are_started() {
    let directory = tempfile::tempdir().expect("a directory");
    let jobs: String = (0..2_000).map(|number| format!("{number}\n")).collect();
    fs::write(directory.path().join("jobs"), jobs).expect("written");
    shell(directory.path(), "echo x >> ran; head -c 4000 /dev/zero | tr '\\0' x");
    // A limit on the size of files stands for a full disk: a write beyond it fails, and its signal does not kill.
    let lab = env!("CARGO_BIN_EXE_lab");
    let output = std::process::Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("ulimit -f 64; exec {lab} pipeline --jobs jobs --exec './job.sh {{}}' --log-file off --addr 127.0.0.1:0"))
        .current_dir(directory.path())
        .output()
        .expect("it runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && err.contains("lab: stopped: results cannot be kept: "),
        "{err}"
    );
    let ran = fs::read_to_string(directory.path().join("ran")).expect("text").lines().count();
    let recorded = records(directory.path()).len();
    assert!(ran < 200 && recorded > 0, "{ran} ran, {recorded} recorded");
    let lost = ran - recorded;
    assert!(err.contains(&format!("; {lost} result")), "{lost}: {err}");
    let jobs_read = number(&err, "jobs: ");
    let left = number(&err, "File too large (os error 27); ");
    assert_eq!(left, jobs_read - ran, "what was read and did not run: {err}");
    assert!(err.contains("not done, and the rest was not read; --resume goes on"), "{err}");
}

#[tokio::test]
async fn when_its_results_are_deleted_the_run_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let jobs: String = (0..2_000).map(|number| format!("{number}\n")).collect();
    shell(directory.path(), "echo x >> ran; rm -f results.jsonl");
    let (code, _, err) =
        run_jobs(directory.path(), &jobs, &["--exec", "./job.sh {}", "--results", "results.jsonl"]).await;
    assert!(
        code == Some(1) && err.contains("lab: stopped: results cannot be kept: the file was deleted; "),
        "{err}"
    );
    let ran = fs::read_to_string(directory.path().join("ran")).expect("text").lines().count();
    assert!(ran < 200, "{ran} ran");
}

#[test]
fn closing_the_results_pipe_stops_the_run_with_a_message() {
    let directory = tempfile::tempdir().expect("a directory");
    let jobs: String = (0..2_000).map(|number| format!("{number}\n")).collect();
    fs::write(directory.path().join("jobs"), jobs).expect("written");
    let lab = env!("CARGO_BIN_EXE_lab");
    let command = format!(
        "{lab} pipeline --jobs jobs --exec 'echo {{}}' --results - --log-file off --addr 127.0.0.1:0"
    );
    let output = Command::new("/bin/bash")
        .args(["-c", &format!("set -o pipefail; {command} | head -1")])
        .current_dir(directory.path())
        .output()
        .expect("it runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), output.stdout.split(|byte| *byte == b'\n').count()),
        (Some(1), 2),
        "{err}"
    );
    assert!(err.contains("lab: stopped: the reader of standard output has gone; "), "{err}");
    assert!(err.contains(" not done, and the rest was not read\n") && !err.contains("Broken pipe"), "{err}");
}

#[tokio::test]
async fn inside_lab_it_is_idle_until_started_and_its_balance_is_audited() {
    let mut environment = FAST.to_vec();
    environment.push(("LAB_UNREADY_MS", "0"));
    let server = Server::start(&[], &environment);
    let addr = server.addr;
    assert_eq!(get(addr, "/pipeline").await.json()["state"], "idle");
    assert_eq!(send(addr, "POST /pipeline/stop", "").await.status, 409);
    let started = send(addr, "POST /pipeline/start", "").await;
    assert_eq!((started.status, &started.json()["state"]), (200, &"running".into()));
    assert_eq!(send(addr, "POST /pipeline/start", "").await.status, 409);
    let patch = "PATCH /pipeline\ncontent-type: application/json";
    let changed = send(addr, patch, r#"{"rate":"5ms","policy":"little"}"#).await.json();
    assert_eq!((&changed["rate"], &changed["policy"]), (&"5ms".into(), &"little".into()));
    for bad in [r#"{"rate":"fast"}"#, r#"{"policy":"best"}"#, r#"{"speed":1}"#] {
        assert_eq!(send(addr, patch, bad).await.status, 400, "{bad}");
    }
    let foreign = format!("{patch}\norigin: http://elsewhere");
    assert_eq!(send(addr, &foreign, "{}").await.status, 403);
    until(addr, "/pipeline", |answer| (answer.json()["succeeded"].as_u64() > Some(30)).then_some(())).await;

    let page = send(addr, "GET /pipeline\naccept: text/html", "").await;
    assert!(
        page.body.contains("<svg class=\"strip\"") && page.body.contains("Stop and drain"),
        "{}",
        page.body
    );
    assert!(page.headers["content-security-policy"].contains("script-src 'self'"));
    let mut viewer = tokio::net::TcpStream::connect(addr).await.expect("connected");
    let ask = "GET /pipeline HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    viewer.write_all(ask.as_bytes()).await.expect("sent");
    let mut seen = String::new();
    let watching = async {
        let mut chunk = [0; 8192];
        while !["event: status", "event: page"].iter().all(|event| seen.contains(event)) {
            let read = viewer.read(&mut chunk).await.expect("more");
            seen.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
    };
    tokio::time::timeout(PATIENCE, watching).await.expect("a picture");

    assert_eq!(send(addr, "POST /pipeline/stop", "").await.status, 200);
    until(addr, "/pipeline", |answer| (answer.json()["state"] == "idle").then_some(())).await;
    let url = server.url("");
    let audit = move || run(&["audit", "pipeline", "--json", "--url", &url], &[]);
    let (code, printed, err) = tokio::task::spawn_blocking(audit).await.expect("no panic");
    let terms: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let term = |name: &str| terms[name].as_u64().unwrap_or_else(|| panic!("{name}: {printed}"));
    assert_eq!((code, term("backlog")), (0, 0), "{err}");
    assert_eq!(term("created"), term("succeeded") + term("permanently_failed"));
    // Started again its numbers go on, and the process's stop drains it.
    let before = term("created");
    assert_eq!(send(addr, "POST /pipeline/start", "").await.status, 200);
    until(addr, "/pipeline/audit", |answer| (answer.json()["created"].as_u64() > Some(before)).then_some(()))
        .await;
    server.signal(Signal::TERM);
    let (status, rest) = tokio::task::spawn_blocking(|| server.wait()).await.expect("no panic");
    assert_eq!(status.code(), Some(0), "{rest}");

    let http_lab = Server::start(&["serve"], &[]);
    assert_eq!(
        get(http_lab.addr, "/pipeline").await.status,
        404,
        "lab serve is the HTTP lab and the streams"
    );
}

#[test]
fn a_simulation_compares_the_policies_under_the_users_load() {
    let directory = tempfile::tempdir().expect("a directory");
    let counts: String = (0..120).map(|second| format!("{}\n", if second < 20 { 4 } else { 1 })).collect();
    fs::write(directory.path().join("mine.csv"), format!("arrivals\n{counts}")).expect("written");
    let ask = |form: &str| {
        let arguments = ["pipeline", "simulate", "mine.csv", "--repetitions", "2", form];
        let output = program(directory.path(), &arguments, &[]).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let csv = ask("--csv");
    let head = csv.lines().next().expect("names");
    assert_eq!(csv.lines().count(), 6, "{csv}");
    assert!(csv.lines().skip(1).all(|line| line.split(',').nth(2) == Some("360")), "2 x 180 jobs: {csv}");
    assert_eq!(csv, ask("--csv"), "the same seeds, the same figures");
    let json: serde_json::Value = serde_json::from_str(&ask("--json")).expect("JSON");
    assert_eq!(json["traces"][0]["policies"].as_array().map(Vec::len), Some(5));
    for name in head.split(',').filter(|name| !["trace", "dominates_threshold"].contains(name)) {
        let policy = &json["traces"][0]["policies"][0];
        let inner = name.strip_prefix("sojourn_").map(|inner| &policy["sojourn"][inner]);
        assert!(!inner.unwrap_or(&policy[name]).is_null(), "{name} is the JSON's: {policy}");
    }
    let text = ask("--html=report.html");
    assert!(text.contains("p95 sojourn") && text.contains("pid dominates threshold on:"), "{text}");
    let html = fs::read_to_string(directory.path().join("report.html")).expect("a report");
    assert_eq!(html.matches("<svg class=\"chart\"").count(), 3, "load, workers, waiting");
    let (code, _, err) = run(&["pipeline", "simulate", "nowhere"], &[]);
    assert!(code == 1 && err.contains("quiet, steady, steps"), "{err}");
}

#[test]
fn the_recommended_policy_is_better_than_the_default_where_the_docs_say_so() {
    let (code, out, err) =
        run(&["pipeline", "simulate", "steps", "bursts", "--repetitions", "3", "--csv"], &[]);
    assert_eq!(code, 0, "{err}");
    let dominated = |trace: &str| {
        out.lines().any(|line| line.starts_with(&format!("{trace},pid,")) && line.ends_with(",true"))
    };
    assert!(dominated("steps") && dominated("bursts"), "{out}");
}
