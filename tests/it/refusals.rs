//! What a route does not take, it refuses, and says which part: of a body the `field`, of a query the `parameter`.

use serde_json::{Value, json};

use crate::support::{Answer, Server, get, send};

/// Questions of a machine's own house: whoever asks them may add what it likes.
const FOR_MACHINES: [&str; 5] = ["/healthz", "/readyz", "/version", "/metrics", "/openapi.json"];

async fn described(server: &Server) -> Value {
    get(server.addr, "/openapi.json").await.json()
}

/// The names of the fields that a body takes.
fn fields(document: &Value, operation: &Value) -> Option<Vec<String>> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let name = schema["$ref"].as_str()?.rsplit('/').next()?;
    let properties = document["components"]["schemas"][name]["properties"].as_object();
    Some(properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect())
}

fn assert_refused(answer: &Answer, place: &str, name: &str, about: &str) {
    let problem = answer.json();
    assert_eq!((answer.status, &problem[place]), (400, &json!(name)), "{about}: {problem}");
    let other = if place == "field" { "parameter" } else { "field" };
    assert!(problem.get(other).is_none(), "{about}: {problem}");
}

#[tokio::test]
async fn every_route_with_a_body_names_the_field_at_fault() {
    let server = Server::start(&[], &[]);
    let document = described(&server).await;
    let mut bodies = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let Some(mut names) = fields(&document, operation) else { continue };
            bodies += 1;
            // A task's payload is whatever its handler takes.
            names.retain(|name| name != "payload");
            names.push("nonsense".to_owned());
            for name in names {
                let head = format!("{} {path}\ncontent-type: application/json", method.to_uppercase());
                // No field of ours is an object.
                let answer = send(server.addr, &head, &json!({&name: {"nonsense": []}}).to_string()).await;
                assert_refused(&answer, "field", &name, &format!("{method} {path} {name}"));
            }
        }
    }
    assert!(bodies >= 14, "{bodies}");
    // Of the right type, and still not allowed.
    for (path, body, field) in [
        ("/load/start", r#"{"strategies": ["/nowhere"]}"#, "strategies"),
        ("/load/start", r#"{"rate": "501/s"}"#, "rate"),
        ("/story/start", r#"{"story": "cinderella"}"#, "story"),
        ("/story/start", "{}", "story"),
        ("/queue/task", r#"{"type": "a b"}"#, "type"),
        ("/queue/tasks", r#"{"tasks": [{"type": "a"}, {}]}"#, "tasks[1].type"),
        ("/queue/dead/replay", r#"{"because": "old age"}"#, "because"),
    ] {
        let head = format!("POST {path}\ncontent-type: application/json");
        assert_refused(&send(server.addr, &head, body).await, "field", field, path);
    }
}

#[tokio::test]
async fn a_body_that_no_field_is_to_blame_for_is_refused_in_plain_words() {
    let server = Server::start(&["serve"], &[]);
    for (body, detail, field) in [
        ("", "the body is empty: a JSON object is expected", None),
        (r#"{"async_limit":"#, "the body ends in the middle of its JSON", Some("async_limit")),
        (r#"{"async_limit":5"#, "the body ends in the middle of its JSON", None),
        ("[1]", "invalid type: array, expected an object", None),
        (
            r#"{"async_limit":5,"async_limit":6}"#,
            "the field `async_limit` is given twice",
            Some("async_limit"),
        ),
        ("{async_limit}", "key must be a string at line 1 column 2", None),
    ] {
        let answer = send(server.addr, "PATCH /settings\ncontent-type: application/json", body).await;
        let problem = answer.json();
        assert_eq!(answer.status, 400, "{body}: {problem}");
        assert_eq!(problem["detail"], detail, "{body}");
        assert_eq!(problem.get("field").and_then(Value::as_str), field, "{body}");
    }
}

#[tokio::test]
async fn what_answers_data_refuses_an_unknown_parameter_and_a_page_ignores_it() {
    for command in [&[][..], &["service", "b"], &["streams"], &["pipeline"]] {
        let server = Server::start(
            command,
            &[("SERVICE_A_LATENCY", "constant:0"), ("SERVICE_B_LATENCY", "constant:0")],
        );
        let document = described(&server).await;
        for (path, _) in
            document["paths"].as_object().expect("paths").iter().filter(|(_, item)| item.get("get").is_some())
        {
            if FOR_MACHINES.contains(&path.as_str())
                || path.starts_with("/docs")
                || path.starts_with("/problems")
            {
                continue;
            }
            let answer = get(server.addr, &format!("{path}?nonsense=1")).await;
            assert_refused(&answer, "parameter", "nonsense", &format!("{command:?} {path}"));
        }
    }
    let server = Server::start(&[], &[]);
    for path in ["/", "/streams", "/pipeline"] {
        let head = format!("GET {path}?utm_source=mail\naccept: text/html");
        let answer = send(server.addr, &head, "").await;
        assert!(answer.status == 200 && answer.body.contains("<h1"), "{path}: {}", answer.status);
    }
    let events = send(server.addr, "GET /?nonsense=1\naccept: text/event-stream", "").await;
    assert_refused(&events, "parameter", "nonsense", "/ as events");
}
