//! What programs read: every command's and every route's real output is what `lab schema` says of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{Answer, Server, get, run, send};

/// Members of a schema that describe and do not decide.
const NOTES: [&str; 5] = ["$schema", "$defs", "title", "description", "format"];

/// What is wrong with `value` by `schema`, whose references lead into `defs`. Knows what our schemas use, and
/// nothing else.
fn faults(schema: &Value, defs: &Value, value: &Value, at: &str) -> Vec<String> {
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (properties, members) = (object(&schema["properties"]), object(value));
    let shown: String = value.to_string().chars().take(100).collect();
    let wrong = |what: String| vec![format!("{at}: {shown} {what}")];
    let rules = object(schema).into_iter().filter(|(rule, _)| !NOTES.contains(&rule.as_str()));
    let broken = rules.flat_map(|(rule, of)| match (rule.as_str(), of) {
        ("type", Value::Array(kinds)) if kinds.iter().any(|kind| is(kind, value)) => Vec::new(),
        ("type", kind) if is(&kind, value) => Vec::new(),
        ("type", kind) => wrong(format!("is not {kind}")),
        ("enum", Value::Array(allowed)) if allowed.contains(value) => Vec::new(),
        ("enum", allowed) => wrong(format!("is none of {allowed}")),
        ("minimum", least) => match value.as_f64().is_some_and(|number| Some(number) < least.as_f64()) {
            true => wrong(format!("is below {least}")),
            false => Vec::new(),
        },
        ("required", Value::Array(names)) => {
            let missing =
                names.iter().filter(|name| !name.as_str().is_some_and(|name| members.contains_key(name)));
            missing.flat_map(|name| wrong(format!("has no {name}"))).collect()
        }
        ("$ref", Value::String(path)) => {
            let name = path.strip_prefix("#/$defs/").expect("a reference");
            assert!(defs[name].is_object(), "{name} is not defined");
            faults(&defs[name], defs, value, at)
        }
        ("oneOf", Value::Array(choices)) => {
            let tried: Vec<_> = choices.iter().map(|choice| faults(choice, defs, value, at)).collect();
            if tried.iter().filter(|faults| faults.is_empty()).count() == 1 {
                Vec::new()
            } else {
                tried.concat()
            }
        }
        ("items", items) => {
            value.as_array().into_iter().flatten().flat_map(|item| faults(&items, defs, item, at)).collect()
        }
        ("properties", _) => {
            let known =
                members.iter().filter_map(|(name, member)| Some((name, properties.get(name)?, member)));
            known
                .flat_map(|(name, property, member)| faults(property, defs, member, &format!("{at}/{name}")))
                .collect()
        }
        ("propertyNames", names) => {
            let name = |name: &String| faults(&names, defs, &json!(name), &format!("{at}: the name {name}"));
            members.keys().flat_map(name).collect()
        }
        ("pattern", pattern) => {
            assert_eq!(pattern, "^[0-9]+$", "{at}: a pattern that this test does not know");
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if value.as_str().is_none_or(digits) {
                Vec::new()
            } else {
                wrong(format!("is not like {pattern}"))
            }
        }
        ("additionalProperties", more) => {
            let others = members.iter().filter(|(name, _)| !properties.contains_key(*name));
            let fault = |(name, member): (&String, &Value)| match &more {
                Value::Bool(false) => wrong(format!("has {name:?}, which is not in the schema")),
                more => faults(more, defs, member, &format!("{at}/{name}")),
            };
            others.flat_map(fault).collect()
        }
        (rule, of) => panic!("{at}: a rule that this test does not know: {rule}: {of}"),
    });
    broken.collect()
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("null") => value.is_null(),
        _ => false,
    }
}

/// Every schema by its name, as `lab schema` prints them.
fn schemas() -> BTreeMap<String, Value> {
    let print = |arguments: &[&str]| {
        let (code, out, err) = run(&[&["schema"], arguments].concat(), &[]);
        assert_eq!((code, err.as_str()), (0, ""));
        out
    };
    let schema = |name: &str| (name.to_owned(), serde_json::from_str(&print(&[name])).expect("JSON"));
    print(&[]).lines().map(schema).collect()
}

/// The documents among what was printed and answered, held against their schemas.
struct Checked {
    schemas: BTreeMap<String, Value>,
    seen: BTreeSet<String>,
}

impl Checked {
    fn faults(&self, document: &Value) -> Vec<String> {
        let name = document["schema"].as_str().unwrap_or_default();
        match self.schemas.get(name) {
            Some(schema) => faults(schema, &schema["$defs"], document, name),
            None => vec![format!("of no known schema: {name:?}")],
        }
    }

    fn check(&mut self, from: &str, document: &Value) {
        let faults = self.faults(document);
        assert!(faults.is_empty(), "{from}: {faults:#?}");
        assert_eq!(noisy(document, ""), Vec::<String>::new(), "{from}: milliseconds have three decimals");
        assert_eq!(
            document.as_object().and_then(|members| members.keys().next()).map(String::as_str),
            Some("schema")
        );
        self.seen.insert(document["schema"].as_str().unwrap_or_default().to_owned());
        // A document may hold others.
        for (name, held) in document["sheets"].as_object().into_iter().flatten() {
            self.check(&format!("{from}: {name}"), held);
        }
    }

    /// Runs commands that print a document, side by side; what they printed.
    fn commands(&mut self, commands: &[Vec<&str>]) -> Vec<Value> {
        let printed: Vec<Value> = std::thread::scope(|scope| {
            let run = |arguments: &[&str]| {
                let (_, out, err) = run(arguments, &[("PIPELINE_LOG_FILE", "off")]);
                serde_json::from_str(&out)
                    .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}{err}"))
            };
            let runs: Vec<_> = commands.iter().map(|arguments| scope.spawn(move || run(arguments))).collect();
            runs.into_iter().map(|run| run.join().expect("it prints a document")).collect()
        });
        for (arguments, document) in commands.iter().zip(&printed) {
            self.check(&arguments.join(" "), document);
        }
        printed
    }

    fn answer(&mut self, from: &str, answer: &Answer) {
        assert_eq!(answer.status, 200, "{from}: {}", answer.body);
        self.check(from, &answer.json());
    }
}

/// The members that end in `_ms` and have more than three decimals.
fn noisy(value: &Value, at: &str) -> Vec<String> {
    let members = value.as_object().into_iter().flatten();
    let is_noisy = |name: &str, member: &Value| {
        let fits = |ms: f64| (ms * 1e3).round() / 1e3 == ms;
        name.ends_with("_ms") && !member.as_f64().is_none_or(fits)
    };
    let here = members.clone().filter(|(name, member)| is_noisy(name, member));
    let here = here.map(|(name, member)| format!("{at}/{name}: {member}"));
    let items = value.as_array().into_iter().flatten().map(|item| noisy(item, at));
    let below = members.map(|(name, member)| noisy(member, &format!("{at}/{name}")));
    here.chain(items.chain(below).flatten()).collect()
}

/// Bodies that are no documents of ours: those that the strategies' contract fixes, and OpenAPI's.
const FOREIGN: [&str; 5] = ["/sync", "/async", "/async-limited", "/async-timeout", "/openapi.json"];

async fn check_routes(checked: &mut Checked) {
    let lab = Server::start(&[], &[]);
    let post = "content-type: application/json";
    let received = send(lab.addr, "POST /streams/start", "").await;
    checked.answer("start", &received);
    for (head, body) in [
        ("POST /streams/in/mine", "one\ntwo\n"),
        ("PATCH /streams", r#"{"workers_count": 20}"#),
        ("POST /streams/stop?wait_ms=60000", ""),
        ("POST /pipeline/start", ""),
        ("PATCH /pipeline", r#"{"rate": "100ms"}"#),
        ("POST /pipeline/stop", ""),
        ("PATCH /settings", r#"{"async_limit": 7}"#),
    ] {
        let answer = send(lab.addr, &format!("{head}\n{post}"), body).await;
        checked.answer(head, &answer);
    }
    check_queue(checked, &lab).await;
    let service = Server::start(&["service", "b"], &[]);
    let remote = Server::start(&["serve"], &[("SERVICE_B_URL", &service.url("/"))]);
    for server in [&lab, &service, &remote] {
        let described = get(server.addr, "/openapi.json").await.json();
        // A part of other documents does not bring the name of one.
        for terms in ["streams.Ledger", "PipelineLedger"] {
            let terms = &described["components"]["schemas"][terms];
            assert!(terms.is_null() || terms["type"] == "object", "{terms}");
        }
        for (path, methods) in described["paths"].as_object().expect("paths") {
            let answers = &methods["get"]["responses"]["200"]["content"];
            let is_ours = !FOREIGN.contains(&path.as_str()) && !path.contains('{');
            if answers["application/json"].is_object() && is_ours {
                checked.answer(path, &get(server.addr, path).await);
            }
        }
    }
}

async fn check_queue(checked: &mut Checked, lab: &Server) {
    let post = "content-type: application/json";
    for (head, body) in [
        ("PATCH /queue/rules", r#"{"type": "email", "paused": true}"#),
        ("PATCH /queue/rules", r#"{"group": "acme", "rate": "10/s", "in_flight_limit": 3}"#),
        ("POST /queue/tasks", r#"{"tasks": [{"type": "email"}, {"type": "a b"}], "batch": "each"}"#),
        ("POST /queue/dead/replay", "{}"),
    ] {
        let answer = send(lab.addr, &format!("{head}\n{post}"), body).await;
        checked.check(head, &answer.json());
    }
    let body = r#"{"type": "email", "group": "acme", "delay_ms": 3600000}"#;
    let queued = send(lab.addr, &format!("POST /queue/task\n{post}"), body).await;
    checked.check("POST /queue/task", &queued.json());
    let task = format!("/queue/task/{}", queued.json()["task_id"].as_str().expect("an id"));
    checked.answer(&task, &get(lab.addr, &task).await);
    checked.answer("DELETE", &send(lab.addr, &format!("DELETE {task}\n{post}"), "").await);
    checked.answer(&task, &get(lab.addr, &task).await);
}

/// Every command that prints a document, as short as it can be.
fn check_commands(checked: &mut Checked) {
    let service = Server::start(&["service", "b", "--service-b-latency=constant:0"], &[]);
    let lab = Server::start(&["serve"], &[]);
    let whole = Server::start(&[], &[]);
    let (url, lab_url, whole_url) = (service.url("/"), lab.url(""), whole.url(""));
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (one, jobs, results) = (path("one.json"), path("jobs"), path("results"));
    std::fs::write(&jobs, "1\n2\n").expect("written");
    let at_50 = ["--rate", "50", "--for", "1s"];
    let find = ["--find-max", "p50<9s", "--max-rate", "50", "--precision", "100%"];
    let virtually = ["--virtual", "--duration", "30s"];
    let exec = ["--addr", "127.0.0.1:0", "--exec", "true", "--jobs", &jobs, "--results", &results];
    let commands: [&[&[&str]]; 16] = [
        &[&["load", &url, "--check", "ok>1%"], &at_50],
        &[&["load", &url], &find, &at_50],
        &[&["load", "compare", &url, &url, "--pairs", "2"], &at_50],
        &[&["streams", "--noisy-factor", "2"], &virtually],
        &[&["pipeline"], &virtually],
        &[&["pipeline"], &exec],
        &[&["pipeline", "simulate", "quiet", "--repetitions", "1"]],
        &[&["config"]],
        &[&["audit", "http", "--url", &lab_url]],
        &[&["audit", "streams", "--url", &lab_url]],
        &[&["bench", "start", "--starts", "1"]],
        &[&["queue", "load", "--url", &whole_url, "-n", "2"]],
        &[&["bench", "load", "--rounds", "1", "--for", "1s"]],
        &[&["bench", "streams", "--rounds", "1", "--for", "1s", "--crowd", "1000"]],
        &[&["bench", "http", "--rounds", "1", "--for", "1s"]],
        &[&["load", "http://127.0.0.1:1/"], &at_50],
    ];
    let printed = checked.commands(&commands.map(|parts| [&parts.concat(), &["--json"][..]].concat()));
    std::fs::write(&one, printed[0].to_string()).expect("written");
    let other = format!("{one}.other");
    std::fs::copy(&one, &other).expect("copied");
    // Not beside the others: they keep the machine busy.
    let tasks = ["queue", "bench", "--rounds", "1", "--tasks", "100", "--for", "1s", "--hold", "1s"];
    checked.commands(&[[&tasks[..], &["--backlog", "1000", "--json"]].concat()]);
    let this = env!("CARGO_BIN_EXE_lab");
    let builds = ["bench", "builds", this, "--rounds", "1", "--for", "1s", "--viewers", "3", "--json"];
    checked.commands(&[vec!["load", "merge", &one, &other, "--json"], builds.to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_conform_to_their_schemas() {
    let mut checked = Checked { schemas: schemas(), seen: BTreeSet::new() };
    check_routes(&mut checked).await;
    tokio::task::block_in_place(|| check_commands(&mut checked));
    let listed: BTreeSet<String> = checked.schemas.keys().cloned().collect();
    assert_eq!(listed, checked.seen, "listed, and met in this test");
}

/// The names that the code gives to documents.
fn named_in_code() -> BTreeSet<String> {
    let sources =
        crate::house::files().iter().filter(|path| path.starts_with("src/") && path.ends_with(".rs"));
    let texts = sources.map(crate::house::read);
    let named = |text: &str| -> Vec<String> {
        let declared = text.split("document!(").skip(1).filter_map(|rest| rest.split(");").next());
        declared.filter_map(|of| Some(of.split_once(" as \"")?.1.trim_end_matches('"').to_owned())).collect()
    };
    texts.flat_map(|text| named(&text)).collect()
}

#[test]
fn every_document_is_in_the_list() {
    assert_eq!(schemas().into_keys().collect::<BTreeSet<_>>(), named_in_code());
}

#[test]
fn a_document_that_differs_from_its_schema_is_found() {
    let checked = Checked { schemas: schemas(), seen: BTreeSet::new() };
    let counts = json!({ "type": "object", "propertyNames": { "type": "string", "pattern": "^[0-9]+$" } });
    for (names, are_fine) in [(json!({ "200": 1 }), true), (json!({ "often": 1 }), false)] {
        assert_eq!(faults(&counts, &json!({}), &names, "counts").is_empty(), are_fine, "{names}");
    }
    let numbered = json!({ "propertyNames": { "type": "integer" } });
    assert!(
        !faults(&numbered, &json!({}), &json!({ "200": 1 }), "numbered").is_empty(),
        "a name is a string"
    );
    let (_, out, _) = run(&["streams", "--virtual", "--duration", "30s", "--json"], &[]);
    let good: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(checked.faults(&good), Vec::<String>::new());
    for (path, value, fault) in [
        ("/schema", json!("lab/streams/0"), "of no known schema"),
        ("/elapsed_ms", json!("long"), "is not"),
        ("/processed", json!(-1), "is below 0"),
        ("/processed", json!(0.5), "is not"),
        ("/latency/offered/p50_ms", json!("too few"), "is not"),
        ("/latency/offered/p50_why", json!("too few"), "is none of"),
        ("/latency/offered", json!({}), "has no \"n\""),
        ("/queue_wait/more", json!(1), "not in the schema"),
        ("/more", json!(1), "not in the schema"),
    ] {
        let mut bad = good.clone();
        let (parent, name) = path.rsplit_once('/').expect("a path");
        bad.pointer_mut(parent).expect("it is there")[name] = value;
        let faults = checked.faults(&bad);
        assert!(faults.iter().any(|found| found.contains(fault)), "{path}: {faults:?}");
    }
}

/// Every object of a schema: its path and its properties.
fn objects(schema: &Value, at: &str, found: &mut Vec<(String, BTreeMap<String, Value>)>) {
    if let Some(properties) = schema["properties"].as_object() {
        found.push((at.to_owned(), properties.clone().into_iter().collect()));
    }
    for (name, part) in schema.as_object().into_iter().flatten() {
        objects(part, &format!("{at}/{name}"), found);
    }
}

#[test]
fn a_nullable_member_that_is_no_number_documents_when_it_is_null() {
    for (name, schema) in schemas() {
        let mut found = Vec::new();
        objects(&schema, &name, &mut found);
        for (at, properties) in found {
            let required = schema.pointer(&at[name.len()..]).map(|object| &object["required"]);
            let required = required.and_then(Value::as_array).cloned().unwrap_or_default();
            for (key, property) in &properties {
                let kinds = [&property["type"], &property["oneOf"]].map(|of| of.as_array().cloned());
                let kinds: Vec<Value> = kinds.into_iter().flatten().flatten().collect();
                let is_null = |kind: &Value| *kind == "null" || kind["type"] == "null";
                let is_number = |kind: &Value| *kind == "number" || *kind == "integer";
                let must_say = required.contains(&json!(key))
                    && kinds.iter().any(is_null)
                    && !kinds.iter().any(is_number);
                let told =
                    |of: &Value| of["description"].as_str().is_some_and(|text| text.contains("`null`"));
                let says = told(property) || kinds.iter().any(told);
                assert!(!must_say || says, "{at}/{key}: when is it null?");
            }
        }
    }
}

#[test]
fn nullable_numbers_have_a_reason_and_times_are_in_milliseconds() {
    for (name, schema) in schemas() {
        let mut found = Vec::new();
        objects(&schema, &name, &mut found);
        for (at, properties) in found {
            for (key, property) in &properties {
                let kinds = property["type"].as_array().cloned().unwrap_or_default();
                let is_number = kinds.iter().any(|kind| kind == "number" || kind == "integer");
                let why = format!("{}_why", key.trim_end_matches("_ms").trim_end_matches("_per_second"));
                let is_told =
                    properties.contains_key(&why) || properties.contains_key(&why.replace("_rate", ""));
                assert!(!is_number || !kinds.contains(&json!("null")) || is_told, "{at}: {key} has no {why}");
                assert!(!is_number || !kinds.contains(&json!("string")), "{at}: {key} is a number or a word");
                let other_units = ["_s", "_us", "_secs", "_seconds", "_fraction"];
                let other_unit =
                    other_units.iter().any(|unit| key.ends_with(unit)) && key != "worker_seconds";
                assert!(!other_unit && key != "phase", "{at}: {key}");
            }
        }
    }
}
