//! The reference of a server: the routes, metrics and variables of its systems, generated from the systems
//! themselves. Also the reference of the whole program (`docs/reference.md`), generated from the same tables.

mod tables;
mod whole;

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use axum::{Router, body::Bytes, routing::get};
use utoipa::openapi::{OpenApi, path::Operation};

use self::tables::{metrics, problems, variables};
pub use self::whole::reference;
use super::docs;
use crate::{
    telemetry::Described,
    web::{Kind, System, Variable},
};

/// A part of the reference.
enum Part {
    Text(String),
    /// A table that takes longer to generate than all the others, so it is generated on demand.
    Variables(Vec<fn() -> Vec<Variable>>),
}

/// The parts of the reference.
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
        let text = Arc::new(LazyLock::new(move || Bytes::from(self.markdown())));
        Router::new().route("/docs/reference", get(async move || (docs::TEXT, Bytes::clone(&text))))
    }
}

/// A table of routes.
fn routes(document: &OpenApi) -> String {
    let mut text = String::new();
    let _ = write!(text, "\n## Routes\n\n| route | meaning |\n|---|---|\n");
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
