//! Where a result goes: `--json`, `--csv`, `--html`, on stdout or in a file, of every command that has one.

use std::{fs, net::TcpListener};

use crate::support::program;

/// What a run came to: exit code, stdout, stderr, and the files it left.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
    files: Vec<(String, String)>,
}

/// Runs `lab` in a directory of its own, in which `file` holds `content`.
fn run(arguments: &[&str], (file, content): (&str, &str)) -> Ran {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join(file), content).expect("written");
    let output = program(directory.path(), arguments, &[]).output().expect("it runs");
    let files = fs::read_dir(directory.path()).expect("a directory").map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap_or_default())
    });
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        files: files.collect(),
    }
}

/// Every command whose result has forms, as a run that would take long.
const COMMANDS: [&[&str]; 12] = [
    &["load", "http://127.0.0.1:1/"],
    &["load", "http://127.0.0.1:1/", "--find-max", "p95<1s"],
    &["load", "compare", "http://127.0.0.1:1/", "http://127.0.0.1:1/"],
    &["load", "merge", "input"],
    &["streams", "--addr", "127.0.0.1:0"],
    &["streams", "--virtual", "--duration", "1h"],
    &["pipeline", "--addr", "127.0.0.1:0"],
    &["pipeline", "--virtual", "--duration", "1h"],
    &["pipeline", "simulate", "steps"],
    &["audit", "http", "--addr", "127.0.0.1:1"],
    &["bench", "start"],
    &["config"],
];

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_work_starts() {
    for command in COMMANDS {
        let Ran { code, out, err, files } =
            run(&[command, &["--json=no/such/place"]].concat(), ("input", "not yet read"));
        assert_eq!((code, out.as_str(), files.len()), (Some(2), "", 1), "{command:?}: {err}");
        let expected = "lab: --json=no/such/place: the file cannot be written: No such file or directory";
        assert!(err.starts_with(expected) && err.lines().count() == 1, "{command:?}: {err}");
    }
}

#[test]
fn a_run_that_never_started_leaves_no_file_and_keeps_the_old_result() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let (url, jobs) = ("http://127.0.0.1:1/", ["pipeline", "--addr", "127.0.0.1:0", "--exec", "true"]);
    let cases: [(&[&str], i32); 8] = [
        (&["load", url, "--schedule", "file:missing"], 2),
        (&["load", url, "--find-max", "p95<1s", "-d", "@missing"], 2),
        (&["load", "merge", "missing"], 1),
        (&["streams", "--addr", &taken], 1),
        (&["pipeline", "--addr", &taken], 1),
        (&[jobs.as_slice(), &["--jobs", "missing"]].concat(), 2),
        (&["pipeline", "simulate", "missing.csv"], 1),
        (&["audit", "http", "--addr", "127.0.0.1:1"], 3),
    ];
    for (command, expected) in cases {
        for (file, form) in [("old", "--json=old"), ("input", "--json=new")] {
            let Ran { code, err, files, .. } = run(&[command, &[form]].concat(), (file, "as it was"));
            assert_eq!(code, Some(expected), "{command:?}: {err}");
            assert_eq!(files, [(file.to_owned(), "as it was".to_owned())], "{command:?} {form}: {err}");
        }
    }
}

#[test]
fn json_csv_and_html_replace_the_text_or_go_to_files() {
    let streams = ["streams", "--virtual", "--duration", "2s", "--quiet"];
    let pipeline = ["pipeline", "--virtual", "--duration", "30s"];
    let simulate = ["pipeline", "simulate", "steps", "--repetitions", "1"];
    let commands: [(&[&str], &str); 4] = [
        (&streams, "Application exited."),
        (&pipeline, "graceful exit complete"),
        (&simulate, "threshold"),
        (&["config"], "LAB_ADDR"),
    ];
    for (command, text) in commands {
        let instead = run(&[command, &["--json"]].concat(), ("input", ""));
        let beside = run(
            &[command, &["--json=result"]].concat(),
            ("result", "an older and longer result".repeat(4000).as_str()),
        );
        assert_eq!((instead.code, beside.code), (Some(0), Some(0)), "{command:?}: {}", beside.err);
        serde_json::from_str::<serde_json::Value>(&instead.out).expect("JSON and nothing else");
        assert!(beside.out.contains(text), "{command:?}: {}", beside.out);
        assert_eq!(beside.files, [("result".to_owned(), instead.out)], "{command:?}");
    }
    let both = run(&[&simulate, ["--csv=a.csv", "--html=b.html"].as_slice()].concat(), ("input", ""));
    assert!(both.out.contains("threshold"), "the table is printed beside files: {}", both.err);
    let [(_, csv), (_, html), _] = {
        let mut files = both.files;
        files.sort();
        <[_; 3]>::try_from(files).expect("two files and the input")
    };
    assert!(csv.starts_with("trace,") && html.starts_with("<!doctype html>"), "{csv:.100} {html:.100}");
    for pair in [["--json", "--csv"], ["--json=same", "--html=same"]] {
        let Ran { code, err, files, .. } = run(&[&simulate, pair.as_slice()].concat(), ("input", ""));
        assert!(code == Some(2) && err.contains("another format goes to") && files.len() == 1, "{err}");
    }
}
