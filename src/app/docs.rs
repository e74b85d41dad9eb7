//! Serves the pages of `docs/` in the source.

use std::fmt::Write as _;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    routing::get,
};
use utoipa::openapi::HttpMethod;

use crate::web::{self, RouteDoc};

/// The headers of a page: browsers display `text/plain` and wrap its lines, but download `text/markdown`.
pub(super) const TEXT: [(HeaderName, HeaderValue); 2] =
    [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")), web::NOSNIFF];

/// The name, the description and the text of each page, without the reference: each server generates its own.
const PAGES: [(&str, &str, &str); 9] = [
    ("http-lab", "the endpoints, their settings and their counts", include_str!("../../docs/http-lab.md")),
    ("load", "measuring any HTTP server under load", include_str!("../../docs/load.md")),
    ("stack", "collector, Prometheus, Grafana, k6; telemetry", include_str!("../../docs/stack.md")),
    ("streams", "many streams, one bounded buffer", include_str!("../../docs/streams.md")),
    ("pipeline", "workers scaled with the load; your own jobs", include_str!("../../docs/pipeline.md")),
    ("queue", "tasks that survive the death of every process", include_str!("../../docs/queue.md")),
    ("performance", "the overhead of the lab itself", include_str!("../../docs/performance.md")),
    ("glossary", "the terms of these pages", include_str!("../../docs/glossary.md")),
    (
        "architecture",
        "the files that a request, a chunk, a job and a load run pass through",
        include_str!("../../docs/architecture.md"),
    ),
];

/// The routes of the pages, for the OpenAPI document.
pub(super) fn documents() -> impl Iterator<Item = RouteDoc> {
    let page = |path: String, id: String, about: &str| {
        RouteDoc::new(HttpMethod::Get, path, "docs", about).id(&id).media("The page", "text/plain")
    };
    let list = page("/docs".to_owned(), "docs".to_owned(), "A list of the pages");
    let pages = PAGES
        .iter()
        .map(move |(name, about, _)| page(format!("/docs/{name}"), format!("docs-{name}"), about));
    std::iter::once(list).chain(pages)
}

/// `GET /docs` for a list, and `GET /docs/NAME` for a page.
pub(super) fn routes() -> Router {
    let mut list = "# Pages\n\n".to_owned();
    let own = ("reference", "routes, metrics and variables of this server");
    for (name, about) in PAGES.iter().map(|(name, about, _)| (*name, *about)).chain([own]) {
        // Writing to a String cannot fail.
        let _ = writeln!(list, "- /docs/{name}: {about}");
    }
    let list = Router::new().route("/docs", get(async move || (TEXT, list.clone())));
    PAGES.iter().fold(list, |router, (name, _, page)| {
        router.route(&format!("/docs/{name}"), get(async move || (TEXT, *page)))
    })
}
