//! The Markdown tables of a reference. Each begins with an empty line; a table without rows is the empty string.

use std::fmt::Write as _;

use crate::{
    telemetry::Described,
    web::{Kind, Variable},
};

/// A table with these column names.
pub(super) fn table<R: AsRef<[String]>>(columns: &[&str], rows: impl IntoIterator<Item = R>) -> String {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return String::new();
    }
    let mut text = format!("\n| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for row in rows {
        // A bar would end the cell. Writing to a String cannot fail.
        let cells: Vec<String> = row.as_ref().iter().map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// Text as code.
pub(super) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// A variable's default.
pub(super) fn default(variable: &Variable) -> String {
    code(variable.default.as_deref().unwrap_or("(unset)"))
}

/// A table of variables.
pub(super) fn variables(variables: impl Iterator<Item = Variable>) -> String {
    let rows = variables.map(|variable| [code(&variable.name), default(&variable), variable.about]);
    table(&["variable", "default", "meaning"], rows)
}

/// A table of metrics.
pub(super) fn metrics(described: &[Described]) -> String {
    let rows = described.iter().map(|Described { name, kind, labels, about }| {
        [code(name), kind.label().to_owned(), labels.join(", "), (*about).to_owned()]
    });
    table(&["metric", "kind", "labels", "meaning"], rows)
}

/// A table of the kinds of problem.
pub(super) fn problems(kinds: &[Kind]) -> String {
    let rows = kinds.iter().map(|Kind { path, status, title, about }| {
        [code(path), status.as_u16().to_string(), title.to_string(), (*about).to_owned()]
    });
    table(&["type", "status", "title", "meaning"], rows)
}
