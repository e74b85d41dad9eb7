//! The reference of a server: what its systems answer, measure and read, made from the systems themselves.

use std::fmt::Write as _;

use axum::{Router, body::Bytes, http::header, routing::get};
use utoipa::openapi::{OpenApi, path::Operation};

use crate::{telemetry::Described, web::System};

/// The reference as Markdown; `process` is what the server measures of itself.
pub(super) fn markdown(systems: &[System], process: &[Described], document: &OpenApi) -> String {
    let mut text = String::from("# Reference\n");
    // Writing to a String cannot fail.
    for system in systems {
        let _ = write!(text, "\n## {}\n\n{}.\n", system.title, capitalised(system.about));
        if !system.variables.is_empty() {
            let _ = write!(text, "\n| variable | default | meaning |\n|---|---|---|\n");
            for variable in &system.variables {
                let default = variable.default.as_deref().unwrap_or("(unset)");
                let _ = writeln!(text, "| `{}` | `{default}` | {} |", variable.name, variable.about);
            }
        }
        text.push_str(&metrics(&system.metrics));
    }
    let _ = write!(text, "\n## The server itself\n{}", metrics(process));
    let _ = write!(text, "\n## Routes\n\n| route | answer |\n|---|---|\n");
    for (path, item) in &document.paths.paths {
        let operations: [(&str, &Option<Operation>); 5] = [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                let summary = operation.summary.as_deref().unwrap_or_default();
                let _ =
                    writeln!(text, "| `{method} {path}` | {} |", summary.lines().next().unwrap_or_default());
            }
        }
    }
    text
}

/// A table of metrics, if there are any.
fn metrics(described: &[Described]) -> String {
    if described.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for Described { name, kind, labels, about } in described {
        let _ = writeln!(text, "| `{name}` | {} | {} | {about} |", kind.label(), labels.join(", "));
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// `GET /docs/reference`.
pub(super) fn routes(text: String) -> Router {
    let text = Bytes::from(text);
    let content_type = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    Router::new().route("/docs/reference", get(async move || (content_type, text.clone())))
}
