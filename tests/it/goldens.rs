//! What must stay: the names and texts that users, scripts and dashboards rely on, each list in a file of
//! `tests/it/goldens`, a line an item.
//!
//! A change that is meant shows as changed lines there: renew with
//! `INSTA_UPDATE=always cargo test --locked -- goldens load_generator_pushes`, read the difference, commit it.
//! (`listening on http://...`, the first line on stderr, is read by every test that starts a server.)

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::LazyLock,
};

use axum::{body::Body, http::Request, http::StatusCode};
use lab::{
    cli,
    http_lab::service::ServiceServer,
    telemetry::{Instruments, Tracing},
    web::Problem,
};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{
    stack,
    support::{Lab, Server, get, program, run, send},
};

/// Compares lines with the file of that name.
pub(crate) fn check(name: &str, lines: impl IntoIterator<Item = String>) {
    let text = lines.into_iter().collect::<Vec<_>>().join("\n");
    insta::with_settings!({
        snapshot_path => "goldens", prepend_module_to_snapshot => false, omit_expression => true
    }, { insta::assert_snapshot!(name, text) });
}

/// The lines of a file of goldens.
fn lines(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/goldens/{name}.snap"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // Below insta's own head.
    text.splitn(3, "---\n").nth(2).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// A metric as Prometheus shows it.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) labels: BTreeSet<String>,
    /// The commands that show or push it.
    pub(crate) commands: Vec<String>,
}

/// Every metric: the one list that the reference, the dashboards and the rules are held against.
pub(crate) fn metrics() -> &'static [Metric] {
    static METRICS: LazyLock<Vec<Metric>> = LazyLock::new(|| {
        let list = |text: &str| text.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
        let metric = |line: String| {
            let (metric, commands) = line.split_once(": ")?;
            let (name, labels) = metric.split_once(' ')?.0.split_once('{')?;
            let labels = list(labels.trim_end_matches('}')).into_iter().filter(|label| !label.is_empty());
            Some(Metric { name: name.to_owned(), labels: labels.collect(), commands: list(commands) })
        };
        let lines = lines("metrics").into_iter().chain(lines("metrics_of_load"));
        lines.map(|line| metric(line).expect("NAME{LABEL,LABEL} KIND: COMMANDS")).collect()
    });
    &METRICS
}

/// What the servers say of themselves; each is started once, for all tests here.
#[derive(Debug)]
struct Served {
    command: &'static str,
    document: Value,
    /// The methods of each path.
    routes: BTreeMap<String, String>,
    metrics: String,
    reference: String,
    /// `/problems/KIND: STATUS` of every kind in its reference, as its own page says it.
    problems: BTreeSet<String>,
}

static SERVED: LazyLock<(Vec<Served>, BTreeSet<String>)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(ask_servers())
});

/// Starts every command that serves, uses it lightly, and asks it; beside that, the problems met.
async fn ask_servers() -> (Vec<Served>, BTreeSet<String>) {
    let environment = [
        ("SERVICE_A_LATENCY", "constant:0"),
        ("SERVICE_B_LATENCY", "constant:0"),
        ("SERVICE_B_ERROR_RATE", "0"),
        ("QUEUE_SIMULATE_ERROR_RATE", "0"),
        // So that what is counted of pushes is there; this port answers nothing.
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        // For `lab serve` alone; a start there fails.
        ("STREAMS_SINK", "file:no/such/place"),
        ("STREAMS_FRAMING", "length"),
    ];
    let (simulated, broken) = (&environment[..5], &environment[..]);
    let started = [
        ("lab", Server::start(&[], simulated)),
        ("lab pipeline", Server::start(&["pipeline"], simulated)),
        ("lab queue api", Server::start(&["queue", "api"], simulated)),
        ("lab serve", Server::start(&["serve"], broken)),
        ("lab service b", Server::start(&["service", "b"], simulated)),
        ("lab streams", Server::start(&["streams"], simulated)),
    ];
    let mut served = Vec::new();
    let mut paths: BTreeSet<String> = ["/", "/metrics", "/openapi.json"].map(str::to_owned).into();
    for (command, server) in &started {
        let described = get(server.addr, "/openapi.json").await;
        let document = if described.status == 200 { described.json() } else { Value::Null };
        paths.extend(document["paths"].as_object().into_iter().flat_map(|paths| paths.keys().cloned()));
        // What the document leaves out is linked from a page.
        for page in ["/", "/streams", "/pipeline", "/queue"] {
            let page = send(server.addr, &format!("GET {page}\naccept: text/html"), "").await.body;
            let links = page.split(['"']).filter(|text| text.starts_with('/') && !text.contains(' '));
            let links = links.filter(|link| !link.starts_with("/problems/"));
            paths.extend(links.filter_map(|link| Some(link.split(['?', '#']).next()?.to_owned())));
        }
        let reference = get(server.addr, "/docs/reference").await.body;
        let mut problems = BTreeSet::new();
        for kind in reference.split("| `/problems/").skip(1).filter_map(|rest| rest.split('`').next()) {
            let explained = get(server.addr, &format!("/problems/{kind}")).await;
            let mut words = explained.body.split_whitespace();
            let (kind, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            problems.insert(format!("{kind}: {status}"));
        }
        let (routes, metrics) = (BTreeMap::new(), String::new());
        served.push(Served { command, document, routes, metrics, reference, problems });
    }
    for (served, (_, server)) in served.iter_mut().zip(&started) {
        for path in &paths {
            // No method of ours: the refusal lists those that are.
            let answer = send(server.addr, &format!("TRACE {}", path.replace("{name}", "a")), "").await;
            let methods = match answer.status {
                404 => continue,
                405 => answer.headers["allow"].replace(",HEAD", ""),
                _ => "any".to_owned(),
            };
            served.routes.insert(path.clone(), methods);
        }
        if served.routes.contains_key("/sync") {
            for path in ["/sync", "/async", "/async-limited", "/async-timeout"] {
                get(server.addr, path).await;
            }
        }
        for prefix in ["", "/queue"] {
            if served.routes.contains_key(&format!("{prefix}/task")) {
                handle_a_task(server, prefix).await;
            }
        }
        served.metrics = get(server.addr, "/metrics").await.body;
    }
    (served, conflicts(&started[0].1, &started[3].1).await)
}

/// Enqueues a task and waits until it has ended.
pub(crate) async fn handle_a_task(server: &Server, prefix: &str) {
    let head = format!("POST {prefix}/task\ncontent-type: application/json");
    let queued = send(server.addr, &head, r#"{"type": "email"}"#).await.json();
    let path = format!("{prefix}/task/{}", queued["task_id"].as_str().expect("an id"));
    crate::support::until(server.addr, &path, |answer| (answer.json()["state"] == "succeeded").then_some(()))
        .await;
}

/// The problems of asking two servers for what cannot be done now; the second one's sink cannot be opened.
async fn conflicts(server: &Server, sinkless: &Server) -> BTreeSet<String> {
    let start = r#"{"overload":"fair","buffer_size":100,"streams_count":100}"#;
    let mut problems = BTreeSet::new();
    for (server, head, body) in [
        (server, "POST /pipeline/stop", ""),
        (server, "POST /streams/stop", ""),
        (server, "POST /streams/start", start),
        (server, "POST /streams/start", ""),
        (server, "PATCH /streams", r#"{"streams_count":101}"#),
        (sinkless, "POST /streams/start", ""),
    ] {
        let answer = send(server.addr, &format!("{head}\ncontent-type: application/json"), body).await;
        problems.extend(problem(answer.status, &answer.json()));
    }
    problems
}

/// `/problems/KIND: STATUS`, where a body is one.
fn problem(status: u16, body: &Value) -> Option<String> {
    let kind = body["type"].as_str()?;
    assert_eq!(body["status"], status, "{body}");
    Some(format!("{kind}: {status}"))
}

/// Each item of a command with the commands that have it, a line an item.
fn by_item(items: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut commands = BTreeMap::<String, BTreeSet<String>>::new();
    for (item, command) in items {
        commands.entry(item).or_default().insert(command);
    }
    let line = |(item, commands): (String, BTreeSet<String>)| {
        format!("{item}: {}", commands.into_iter().collect::<Vec<_>>().join(", "))
    };
    commands.into_iter().map(line).collect()
}

#[test]
fn routes_stay() {
    let routes = SERVED.0.iter().flat_map(|served| {
        served.routes.iter().flat_map(move |(path, methods)| {
            methods.split(',').map(move |method| (format!("{path} {method}"), served.command.to_owned()))
        })
    });
    check("routes", by_item(routes));
    for served in &SERVED.0 {
        for (path, item) in served.document["paths"].as_object().into_iter().flatten() {
            for method in item.as_object().into_iter().flat_map(|item| item.keys()) {
                let there = served.routes[path].split(',').any(|known| known == method.to_uppercase());
                assert!(there, "{} describes {method} {path} and has none", served.command);
            }
        }
    }
}

impl Served {
    /// `NAME{LABEL,LABEL} KIND` of every metric that it shows.
    fn shown_metrics(&self) -> BTreeSet<String> {
        let series = crate::telemetry::scraped(&self.metrics);
        let labels = crate::telemetry::names(&series);
        let kinds = self.metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let shown = kinds.filter(|(name, _)| *name != "target_info").map(|(name, kind)| {
            let labels = labels.get(name).unwrap_or_else(|| panic!("{name} has no series"));
            format!("{name}{{{}}} {kind}", labels.iter().cloned().collect::<Vec<_>>().join(","))
        });
        shown.collect()
    }

    /// The same of every metric in the tables of its reference.
    fn described_metrics(&self) -> BTreeSet<String> {
        let tables = self.reference.split("| metric |").skip(1);
        let rows = tables.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|')));
        let described = rows.map(|row| {
            let [_, name, kind, labels, about, _] = row.split('|').collect::<Vec<_>>()[..] else {
                panic!("{row}");
            };
            assert!(!about.trim().is_empty(), "{row}");
            let labels: BTreeSet<&str> = labels.trim().split(", ").collect();
            let labels = labels.into_iter().collect::<Vec<_>>().join(",");
            format!("{}{{{labels}}} {}", name.trim().trim_matches('`'), kind.trim())
        });
        described.collect()
    }
}

#[test]
fn metric_names_labels_and_kinds_do_not_change() {
    let shown = SERVED.0.iter().flat_map(|served| {
        served.shown_metrics().into_iter().map(move |metric| (metric, served.command.to_owned()))
    });
    check("metrics", by_item(shown));
}

#[test]
fn the_reference_lists_the_metrics_that_are_shown() {
    for served in &SERVED.0 {
        assert_eq!(served.described_metrics(), served.shown_metrics(), "{}", served.command);
    }
}

/// The problems of strategies and of a simulated service, met in virtual time.
async fn failures() -> BTreeSet<String> {
    let quick = ["--service-a-latency=constant:1", "--service-b-latency=constant:100"];
    let lab = |flags: &[&str]| Lab::start(&[&quick, flags].concat());
    let broken = lab(&["--service-b-error-rate=1"]);
    let small = lab(&["--service-b-error-rate=0", "--async-limit=1", "--max-in-flight=2"]);
    let mut answers = vec![broken.json("/sync").await, small.json("/async-timeout?deadline_ms=10").await];
    let waiting = small.json("/async-limited?limit_wait_ms=10");
    let (_, shed, stopped) = tokio::join!(small.json("/async-limited"), waiting, small.json("/sync"));
    answers.extend([shed, stopped]);
    for (flags, calls) in [
        (["--service-b-error-rate=1", "--service-b-contention=off"], 1),
        (["--service-b-error-rate=0", "--service-b-contention=pool:1,1"], 3),
    ] {
        let arguments = ["lab", "service", "b"].iter().chain(&flags).map(Into::into);
        let Some(cli::Task::Service(args)) = cli::parse(arguments).expect("good flags").cli.command else {
            panic!("another command");
        };
        let (seed, instruments) = (args.seed.get(), Instruments::silent());
        let service = ServiceServer::start(&args.which, seed, &instruments, Tracing::default());
        let service = service.system().endpoints;
        let call = async || {
            let request = Request::get("/").body(Body::empty()).expect("a request");
            let response = service.clone().oneshot(request).await.expect("infallible");
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
            (status, serde_json::from_slice(&body).expect("JSON"))
        };
        answers.extend(futures_util::future::join_all((0..calls).map(|_| call())).await);
    }
    answers.iter().filter_map(|(status, body)| problem(*status, body)).collect()
}

/// The kinds of problem that the code names, those in `tests` folders left out.
fn named_problems() -> BTreeSet<String> {
    let sources = crate::house::files().iter().filter(|path| path.starts_with("src/"));
    let sources = sources.filter(|path| path.ends_with(".rs") && !path.contains("/tests/"));
    let mut named = BTreeSet::new();
    for path in sources {
        for rest in crate::house::read(path).split("\"/problems/").skip(1) {
            let kind = rest.split('"').next().unwrap_or_default();
            // Made from a system's name, or a route.
            if !kind.contains('{') {
                named.insert(format!("/problems/{kind}"));
            }
        }
    }
    named
}

#[tokio::test(start_paused = true)]
async fn problem_types_stay() {
    let mut met = failures().await;
    let (served, asked) = tokio::task::spawn_blocking(|| &*SERVED).await.expect("no panic");
    met.extend(asked.iter().cloned());
    for status in (400..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
        let body = serde_json::to_value(Problem::of(status)).expect("JSON");
        let general = problem(status.as_u16(), &body).expect("a problem");
        if !general.starts_with("about:blank") {
            assert!(served.iter().all(|served| served.problems.contains(&general)), "{general}");
        }
    }
    let explained = by_item(
        served
            .iter()
            .flat_map(|served| served.problems.iter().map(|kind| (kind.clone(), served.command.to_owned()))),
    );
    for kind in met.into_iter().chain(named_problems()) {
        let known = explained.iter().any(|known| known.starts_with(&format!("{kind}: ")));
        assert!(known, "no server lists {kind} (System::problems)");
    }
    check("problems", explained);
}

/// The variables of a command and of those below it, each with its default and the command's name.
fn variables(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    for argument in command.get_arguments() {
        let Some(name) = argument.get_env() else { continue };
        let default = argument.get_default_values().first();
        let default = default.map_or("(unset)".into(), |default| default.to_string_lossy());
        found.push((format!("{} = {default}", name.to_string_lossy()), path.to_owned()));
    }
    for below in command.get_subcommands() {
        variables(below, &format!("{path} {}", below.get_name()), found);
    }
}

fn all_variables() -> Vec<(String, String)> {
    let mut found = Vec::new();
    variables(&cli::command(), "lab", &mut found);
    found
}

/// The variables that `command`, such as `lab queue api`, reads.
pub(crate) fn variables_of(command: &str) -> BTreeSet<String> {
    let own = all_variables().into_iter().filter(|(_, path)| path == command);
    own.filter_map(|(variable, _)| Some(variable.split_once(" = ")?.0.to_owned())).collect()
}

#[test]
fn variables_stay() {
    check("variables", by_item(all_variables()));
}

#[test]
fn the_keys_of_files_do_not_change() {
    let directory = tempfile::tempdir().expect("a directory");
    let defaults: BTreeMap<String, String> = all_variables()
        .into_iter()
        .filter_map(|(variable, _)| {
            Some(variable.split_once(" = ")?).map(|(n, v)| (n.to_owned(), v.to_owned()))
        })
        .collect();
    let value = |name: &str, default: &str| match (name, default) {
        ("REDIS_URL", _) => "redis://127.0.0.1:9".to_owned(),
        ("QUEUE_HTTP", _) => "a=http://example.com".to_owned(),
        ("QUEUE_EXEC", _) => "b=true".to_owned(),
        (name, "(unset)") if name.ends_with("_URL") || name.ends_with("_ENDPOINT") => {
            "http://127.0.0.1:9".to_owned()
        }
        ("STREAMS_LISTEN", "(unset)") => "127.0.0.1:0".to_owned(),
        (_, "(unset)") => "100".to_owned(),
        (_, default) => default.to_owned(),
    };
    let mut toml = String::new();
    let mut yaml = "pipeline:\n  seed: 1\n".to_owned();
    // A file does not name another file.
    for (name, default) in defaults.iter().filter(|(name, _)| *name != "LAB_CONFIG") {
        let (key, value) = (name.to_lowercase(), value(name, default));
        if let Some(key) = key.strip_prefix("pipeline_") {
            yaml += &format!("  {key}: {value}\n");
        }
        toml += &format!("{key} = {value:?}\n");
    }
    let mut keys = Vec::new();
    for (file, text) in [("lab.toml", toml), ("lab.yml", yaml)] {
        fs::write(directory.path().join(file), text).expect("written");
        let arguments = ["config", "--json", "--config", file];
        let output = program(directory.path(), &arguments, &[]).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let settings = crate::support::settings(&output.stdout);
        let read = settings.iter().filter(|setting| setting["source"] == "file");
        let names = read.filter_map(|setting| Some(setting["name"].as_str()?.to_lowercase()));
        keys.extend(names.map(|name| (name, file.split_once('.').map_or("", |(_, form)| form).to_owned())));
    }
    check("file_keys", by_item(keys));
}

/// The lines of a text, of those that differ in their numbers only the first.
fn forms(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let form = |line: &&str| {
        let (mut masked, mut word) = (String::new(), false);
        for character in line.chars() {
            // The digits of a name, such as P95, belong to it.
            if word || !character.is_ascii_digit() {
                masked.push(character);
            }
            word = character.is_ascii_alphabetic() || word && character.is_ascii_digit();
        }
        line.is_empty() || seen.insert(masked)
    };
    text.lines().filter(form).map(str::to_owned).collect()
}

#[test]
fn printed_texts_stay() {
    let (code, out, err) = run(
        &["streams", "--virtual", "--duration", "60s", "--streams-count", "10", "--workers-count", "10"],
        &[],
    );
    assert_eq!((code, err.as_str()), (0, ""));
    check("streams_output", forms(&out));
    let (code, out, err) = run(&["pipeline", "--virtual", "--duration", "300s", "--failure-rate", "2"], &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    check("pipeline_output", forms(&out));
}

/// The queries under an object, each with the title of the panel that it stands in.
fn queries(value: &Value, title: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let title = members.get("title").and_then(Value::as_str).unwrap_or(title);
            for (key, member) in members {
                match member {
                    Value::String(text) if ["expr", "definition"].contains(&key.as_str()) => {
                        found.push(format!("{title}: {text}"));
                    }
                    _ => queries(member, title, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, title, found)),
        _ => {}
    }
}

#[test]
fn queries_stay() {
    let mut lines = Vec::new();
    let mut dashboards = stack::dashboards();
    dashboards.sort_by(|(name, _), (other, _)| name.cmp(other));
    for (name, dashboard) in dashboards {
        let mut found = Vec::new();
        queries(&dashboard, "", &mut found);
        assert!(found.len() > 5, "{name}");
        lines.extend(found.into_iter().map(|query| format!("{name}: {query}")));
    }
    for name in ["recording.yml", "alerts.yml"] {
        let rules = stack::rules(&format!("prometheus/rules/{name}"));
        lines.extend(rules.into_iter().map(|(rule, query)| format!("{name}: {rule}: {query}")));
    }
    check("queries", lines);
}

/// What a k6 script expects of the lab: endpoints with the statuses by design, and what it reads of answers.
fn expected_by(script: &str) -> BTreeSet<String> {
    let mut expected = BTreeSet::new();
    let (mut endpoint, mut inside) = (String::new(), false);
    for line in script.lines() {
        let code =
            line.split("//").next().filter(|_| !line.trim_start().starts_with("//")).unwrap_or_default();
        if code.starts_with("const DESIGN") || code.starts_with("const BY_DESIGN") {
            inside = true;
        } else if code.starts_with("};") {
            inside = false;
        }
        if inside {
            if let Some(named) = code.split('\'').nth(1).filter(|named| named.starts_with('/')) {
                named.clone_into(&mut endpoint);
                expected.insert(format!("{endpoint} 200"));
            }
            let numbers = code.split(|c: char| !c.is_ascii_digit());
            let statuses = numbers.filter(|number| matches!(number.parse(), Ok(200..600)));
            expected.extend(statuses.map(|status| format!("{endpoint} {status}")));
        }
        for (before, after, what) in [
            ("{BASE_URL}/", "`", "path"),
            ("headers['", "'", "header"),
            ("said.", " ", "member"),
            ("sum('", "'", "metric"),
        ] {
            let found = code.split(before).skip(1).filter_map(|rest| rest.split(after).next());
            expected.extend(found.map(|found| format!("{what} {found}")));
        }
    }
    expected
}

#[test]
fn the_load_scripts_expectations_do_not_change_and_are_met() {
    let scripts =
        crate::house::files().iter().filter(|path| path.starts_with("k6/") && path.ends_with(".js"));
    let expected = scripts.flat_map(|script| {
        let expected = expected_by(&crate::house::read(script));
        assert!(expected.len() > 8, "{script}: {expected:?}");
        expected.into_iter().map(move |item| (item, script.trim_start_matches("k6/").to_owned()))
    });
    let expected: Vec<(String, String)> = expected.collect();
    check("load_scripts", by_item(expected.clone()));
    let served = SERVED.0.iter().find(|served| served.command == "lab serve").expect("it is served");
    for (item, script) in &expected {
        let there = match item.split_once(' ').expect("two words") {
            ("path", path) => served.routes.contains_key(&format!("/{path}")),
            ("metric", name) => metrics().iter().any(|metric| metric.name == name),
            // Tests of the strategies read both.
            ("member", name) => name == "strategy",
            ("header", name) => name == "Retry-After",
            (endpoint, status) => !served.document["paths"][endpoint]["get"]["responses"][status].is_null(),
        };
        assert!(there, "{script} expects {item}");
    }
}
