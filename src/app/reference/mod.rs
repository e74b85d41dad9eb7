//! The reference of a server: what its systems answer, measure and read, made from the systems themselves. Beside it
//! the reference of the whole program, the page `docs/reference.md`, made from the same tables.

mod tables;
mod whole;

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use axum::{Router, body::Bytes, http::header, routing::get};
use utoipa::openapi::{OpenApi, path::Operation};

use self::tables::{metrics, problems, variables};
pub use self::whole::reference;
use crate::{
    telemetry::Described,
    web::{Kind, System, Variable},
};

/// A part of the reference.
enum Part {
    Text(String),
    /// A table that takes longer to make than the rest together, and that few ask for.
    Variables(Vec<fn() -> Vec<Variable>>),
}

/// The reference in parts; `process` is what the server measures of itself.
pub(super) struct Reference(Vec<Part>);

impl Reference {
    pub(super) fn new(systems: &[System], process: &[Described], kinds: &[Kind], document: &OpenApi) -> Self {
        let mut parts = vec![Part::Text("# Reference\n".to_owned())];
        for system in systems {
            let title = format!("\n## {}\n\n{}.\n", system.title, capitalised(system.about));
            parts.push(Part::Text(title));
            parts.push(Part::Variables(system.variables.clone()));
            parts.push(Part::Text(metrics(&system.metrics)));
        }
        let server = format!("\n## The server itself\n{}", metrics(process));
        parts.push(Part::Text(server + &routes(document) + "\n## Problems\n" + &problems(kinds)));
        Self(parts)
    }

    /// The reference as Markdown.
    fn markdown(&self) -> String {
        let texts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Variables(made) => variables(made.iter().flat_map(|make| make())),
        });
        texts.collect()
    }

    /// `GET /docs/reference`.
    pub(super) fn route(self) -> Router {
        let content_type = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        let text = Arc::new(LazyLock::new(move || Bytes::from(self.markdown())));
        Router::new().route("/docs/reference", get(async move || (content_type, Bytes::clone(&text))))
    }
}

/// A table of routes.
fn routes(document: &OpenApi) -> String {
    let mut text = String::new();
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
