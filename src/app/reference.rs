//! The reference of a server: what its systems answer, measure and read, made from the systems themselves.

use std::fmt::Write as _;

use axum::{Router, body::Bytes, http::header, routing::get};
use utoipa::openapi::{OpenApi, path::Operation};

use crate::web::System;

/// The reference as Markdown.
pub(super) fn markdown(systems: &[System], document: &OpenApi) -> String {
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
    }
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
