//! The command line: layers of configuration, refusals, exit codes.

use crate::support::{program, run};

#[test]
fn a_bad_value_ends_the_program_with_one_line_that_names_it() {
    for (variable, value, allowed) in [
        ("ASYNC_LIMIT", "0", "a whole number from 1 to 10000"),
        ("ASYNC_TIMEOUT_MS", "soon", "a time from 1ms to 60s"),
        ("SERVICE_B_LATENCY", "uniform:9,3", "uniform:MIN,MAX"),
        ("SERVICE_B_ERROR_RATE", "1.5", "a share from 0 to 1"),
        ("SERVICE_B_CONTENTION", "pool", "pool:SERVERS"),
        ("SERVICE_B_ON_CALLER_GONE", "stop", "abort, dequeue or continue"),
        ("SERVICE_B_URL", "ftp://x", "https:// URL"),
        ("SERVICE_B_REQUEST", "{\"nope\":1}", "a JSON object"),
        ("LAB_ADDR", "nowhere", "IP:PORT or localhost:PORT"),
        ("LAB_ADDR", "example.org:80", "IP:PORT or localhost:PORT"),
        ("LAB_SEED", "x", "a whole number"),
        ("LAB_SHARED_BACKEND", "maybe", "true or false"),
        ("LAB_SLO_MS", "0", "a time from 1ms to 60s"),
        ("LOG_FORMAT", "xml", "text or json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "an http:// or https:// URL"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "11m", "a time from 100ms to 10m"),
        ("LAB_MAX_IN_FLIGHT", "-1", "a whole number from 1"),
        ("LAB_MAX_CONNECTIONS", "many", "a whole number from 1"),
        ("LAB_DRAIN_MS", "2h", "a time from 0s to 1h, such as 250ms; a bare number is milliseconds"),
    ] {
        let (code, out, err) = run(&["serve"], &[(variable, value)]);
        assert_eq!((code, out.as_str()), (2, ""), "{variable}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        for part in [variable, "from the environment", allowed] {
            assert!(err.contains(part), "{part:?} is missing: {err}");
        }
        assert!(err.contains(&value.escape_debug().to_string()), "{err}");
    }
    let (code, _, err) = run(&["serve", "--async-limit", "0"], &[]);
    assert!(code == 2 && err.contains("ASYNC_LIMIT (--async-limit, from the flag): \"0\""), "{err}");
    let (code, _, err) = run(&["serve", "--asink"], &[]);
    assert!(code == 2 && err.lines().count() == 1 && err.contains("--asink"), "{err}");
    let (code, _, err) = run(&["service", "b"], &[("SERVICE_B_LATENCY", "x")]);
    assert!(code == 2 && err.contains("SERVICE_B_LATENCY"), "{err}");
    let (code, _, err) = run(
        &["serve"],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    );
    assert!(code == 2 && err.contains("OTEL_EXPORTER_OTLP_PROTOCOL"), "{err}");
    // A blank token would be easy to guess. The value of a secret is never printed.
    for blank in [" ", "\t", "s3cret ", "s3\tcret"] {
        let (code, out, err) = run(&["serve"], &[("LAB_ADMIN_TOKEN", blank)]);
        assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1), "{blank:?}: {err}");
        let expected = "LAB_ADMIN_TOKEN (--admin-token, from the environment): (hidden) is not allowed: a text that \
                        is not blank";
        assert!(err.contains(expected), "{err}");
    }
    let (code, _, err) = run(&["serve"], &[("RUST_LOG", "lab=[[[")]);
    assert!(
        code == 2 && err.lines().count() == 1 && err.contains("RUST_LOG: \"lab=[[[\" is not allowed"),
        "{err}"
    );
    // The variables of one signal are checked as the common ones are.
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "soon"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let (code, _, err) = run(&["serve"], &[endpoint, (variable, value)]);
        assert!(code == 2 && err.contains(variable) && err.lines().count() == 1, "{err}");
    }
}

#[test]
fn a_value_that_is_not_utf_8_is_named() {
    use std::os::unix::ffi::OsStrExt as _;
    let not_text = std::ffi::OsStr::from_bytes(b"\xff1");
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |command: &mut std::process::Command| {
        let output = command.output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let err = refused(program(folder.path(), &["serve"], &[]).env("ASYNC_LIMIT", not_text));
    assert_eq!(err, "lab: ASYNC_LIMIT (--async-limit, from the environment): it is not UTF-8\n");
    let err = refused(program(folder.path(), &["serve", "--async-limit"], &[]).arg(not_text));
    assert_eq!(err, "lab: the argument \"\u{fffd}1\" is not UTF-8\n");
}

#[test]
fn a_flag_before_the_command_is_refused_with_where_it_belongs() {
    for (arguments, said) in [
        (
            vec!["--addr", "127.0.0.1:0", "serve"],
            "lab: --addr stands before the command: write it after, such as: serve --addr <ADDR>\n",
        ),
        (vec!["--seed", "4", "health"], "lab: health has no --seed: health --help lists its flags\n"),
    ] {
        let (code, out, err) = run(&arguments, &[]);
        assert_eq!((code, out.as_str(), err.as_str()), (2, "", said), "{arguments:?}");
    }
}

#[test]
fn a_port_in_use_is_refused_with_the_commands_own_variable() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    for (arguments, variable) in [
        (vec!["serve"], "LAB_ADDR"),
        (vec![], "LAB_ADDR"),
        (vec!["service", "a"], "SERVICE_ADDR"),
        (vec!["streams"], "STREAMS_ADDR"),
        (vec!["pipeline", "--log-file", "off"], "PIPELINE_ADDR"),
    ] {
        let (code, _, err) = run(&arguments, &[(variable, &addr)]);
        let expected = format!(
            "lab: listening on {addr}: address in use: stop the other process or choose another with --addr ({variable})"
        );
        assert!(code == 1 && err.lines().any(|line| line == expected), "{arguments:?}: {code} {err}");
    }
    let (code, _, err) = run(&["streams", "--addr", "127.0.0.1:0", "--listen", &addr], &[]);
    assert!(code == 1 && err.contains("choose another with --listen (STREAMS_LISTEN)"), "{code} {err}");
}

#[test]
fn each_layer_overrides_the_one_below_and_the_source_of_a_value_is_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = "async_limit = 11\nasync_timeout_ms = 111\nservice_b_error_rate = 0.1\nservice_b_latency = \"constant:1\"\n";
    std::fs::write(directory.path().join("lab.toml"), file).expect("written");
    let dotenv = "ASYNC_TIMEOUT_MS=222\nSERVICE_B_ERROR_RATE=0.2\nSERVICE_B_LATENCY=constant:2\nLAB_ADMIN_TOKEN=hush\n";
    std::fs::write(directory.path().join(".env"), dotenv).expect("written");
    let environment =
        [("SERVICE_B_ERROR_RATE", "0.3"), ("SERVICE_B_LATENCY", "constant:3"), ("SERVICE_B_URL", "")];
    let arguments = ["config", "--json", "--config", "lab.toml", "--service-b-latency", "constant:4"];
    let output = program(directory.path(), &arguments, &environment).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let settings = crate::support::settings(&output.stdout);
    for (name, value, source) in [
        ("ASYNC_LIMIT_MAX_WAIT_MS", Some("1000"), "default"),
        ("ASYNC_LIMIT", Some("11"), "file"),
        ("ASYNC_TIMEOUT_MS", Some("222"), ".env"),
        ("SERVICE_B_ERROR_RATE", Some("0.3"), "environment"),
        ("SERVICE_B_LATENCY", Some("constant:4"), "flag"),
        ("LAB_ADMIN_TOKEN", Some("(hidden)"), ".env"),
        ("SERVICE_B_URL", None, "default"),
    ] {
        let found = settings.iter().find(|setting| setting["name"] == name).expect(name);
        assert_eq!((found["value"].as_str(), found["source"].as_str()), (value, Some(source)), "{name}");
    }

    for (file, complaint) in [
        ("async_limt = 3", "\"async_limt\" is not a setting"),
        ("async_limit = [3]", "only a string, a number or true/false"),
        ("async_limit = 0", "ASYNC_LIMIT (--async-limit, from the file): \"0\" is not allowed"),
        ("= 1", "is not TOML"),
    ] {
        std::fs::write(directory.path().join("lab.toml"), file).expect("written");
        let output =
            program(directory.path(), &["config", "--config=lab.toml"], &[]).output().expect("it runs");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{file}");
        assert!(err.contains(complaint) && err.lines().count() == 1, "{err}");
    }
    let output =
        program(directory.path(), &["config"], &[("LAB_CONFIG", "absent.toml")]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_switch_is_a_plain_flag_and_its_variable_takes_true_or_false() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = "streams_enabled = true\notel_sdk_disabled = true\n";
    std::fs::write(directory.path().join("lab.toml"), file).expect("written");
    let settings = |arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["config", "--json", "--config", "lab.toml"], arguments].concat();
        let output = program(directory.path(), &arguments, environment).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        crate::support::settings(&output.stdout)
    };
    for (flag, variable, in_file) in [
        ("--shared-backend", "LAB_SHARED_BACKEND", false),
        ("--streams-enabled", "STREAMS_ENABLED", true),
        ("--unbounded-ranges", "STREAMS_UNBOUNDED_RANGES", false),
        ("--telemetry-disabled", "OTEL_SDK_DISABLED", true),
    ] {
        let below = if in_file { ("true", "file") } else { ("false", "default") };
        for (arguments, environment, expected) in [
            (&[][..], &[][..], below),
            (&[], &[(variable, "true")], ("true", "environment")),
            (&[], &[(variable, "false")], ("false", "environment")),
            (&[flag], &[(variable, "false")], ("true", "flag")),
            (&[flag], &[], ("true", "flag")),
        ] {
            let settings = settings(arguments, environment);
            let found = settings.iter().find(|setting| setting["name"] == variable).expect(variable);
            let found = (found["value"].as_str(), found["source"].as_str());
            assert_eq!(
                found,
                (Some(expected.0), Some(expected.1)),
                "{variable} {arguments:?} {environment:?}"
            );
        }
        for value in ["true", "false"] {
            let (code, _, err) = run(&["serve", &format!("{flag}={value}")], &[]);
            assert!(code == 2 && err.lines().count() == 1, "{err}");
            for part in [flag, "takes no value: write only ", &format!("{variable} takes true or false")] {
                assert!(err.contains(part), "{part}: {err}");
            }
        }
        let (_, help, _) = run(&["serve", "--help"], &[]);
        let line = help.lines().find(|line| line.trim_start().starts_with(flag)).expect(flag);
        assert!(!line.contains('<'), "{line}");
    }
}

#[test]
fn help_completions_and_the_small_commands_work() {
    let (code, help, _) = run(&["--help"], &[]);
    assert_eq!(code, 0);
    for command in ["serve", "service", "config", "audit", "health", "load", "bench", "completions"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
    }
    assert!(!help.contains('\u{1b}'), "no colour when not on a terminal");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, script, _) = run(&["completions", shell], &[]);
        assert!(code == 0 && script.contains("async-limited") | script.contains("async-limit"), "{shell}");
    }
    let (code, out, _) = run(&["--version"], &[]);
    assert!(code == 0 && out.starts_with("lab "), "{out}");
}

#[test]
fn the_example_environment_lists_the_defaults() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).expect("a file");
    let (_, printed, _) = run(&["config", "--json"], &[]);
    let settings = crate::support::settings(printed.as_bytes());
    let mut documented: Vec<&str> = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.trim_start_matches('#').trim().split_once('=') else {
            continue;
        };
        if !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_') {
            continue;
        }
        documented.push(name);
        let setting = settings.iter().find(|setting| setting["name"] == name);
        let default = setting.unwrap_or_else(|| panic!("{name} is no setting"))["value"].as_str();
        if let Some(default) = default {
            assert_eq!(value, default, "{name}");
        }
    }
    for setting in &settings {
        let name = setting["name"].as_str().expect("a name");
        assert!(documented.contains(&name) || name == "LAB_CONFIG", "{name} is not in .env.example");
    }
}

#[test]
fn the_first_help_fits_one_screen_and_the_servers_flags_are_listed_with_serve() {
    let (code, first, _) = run(&["--help"], &[]);
    assert!(code == 0 && first.lines().count() <= 40, "{first}");
    let commands = first.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in commands.take_while(|line| !line.is_empty()) {
        assert!(
            line.len() <= 80 && line.starts_with("  ") && !line.starts_with("   "),
            "a line each: {line:?}"
        );
    }
    let (_, serve, _) = run(&["serve", "--help"], &[]);
    for flag in ["--async-limit <N>", "--service-b-error-rate <SHARE>", "--drain-ms <TIME>", "--addr <ADDR>"]
    {
        assert!(serve.contains(flag), "{flag}: {serve}");
    }
    assert!(!first.contains("--async-limit"), "{first}");
}

#[test]
fn an_invalid_settings_file_is_refused_with_the_line_number_and_a_large_one_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let ask = |arguments: &[&str]| {
        let output = program(directory.path(), arguments, &[]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    for (text, expected) in [
        ("sync_pool = 1\n\nasync_limit 5\n", "bad.toml: line 3 is not TOML: "),
        ("log_format = \n", "bad.toml: line 1 is not TOML: "),
        ("lab_seed = 1\nlab_seed = 2\n", "bad.toml: line 2 is not TOML: "),
    ] {
        std::fs::write(directory.path().join("bad.toml"), text).expect("written");
        let err = ask(&["config", "--config", "bad.toml"]);
        assert!(err.contains(expected) && err.lines().count() == 1, "{expected}: {err}");
    }
    for endless in
        [&["config", "--config", "/dev/zero"][..], &["config", "--pipeline-work", "empirical:/dev/zero"]]
    {
        let err = ask(endless);
        assert!(err.contains(" MiB are allowed"), "{endless:?}: {err}");
    }
    for (text, line) in [("A=1\n# B\nsecret word\n", 3), ("A='x\ny'\n\nB C=1\n", 4), ("A='x\n", 1)] {
        std::fs::write(directory.path().join(".env"), text).expect("written");
        assert!(ask(&["config"]).ends_with(&format!(".env: line {line} is not NAME=VALUE\n")), "{text:?}");
    }
}
