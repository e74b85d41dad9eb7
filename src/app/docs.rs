//! The pages of `docs/` in the source, as every server shows them.

use std::fmt::Write as _;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    routing::get,
};
use utoipa::openapi::HttpMethod;

use crate::web::RouteDoc;

/// As browsers show it; Markdown is readable as it is.
const TEXT: [(HeaderName, HeaderValue); 1] =
    [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];

/// Name, what it is about, and the page. The reference is not among them: a server makes its own.
const PAGES: [(&str, &str, &str); 8] = [
    (
        "http-lab",
        "the endpoints, their settings, what became of everything",
        include_str!("../../docs/http-lab.md"),
    ),
    ("load", "honest load on any HTTP server", include_str!("../../docs/load.md")),
    ("stack", "collector, Prometheus, Grafana, k6; telemetry", include_str!("../../docs/stack.md")),
    ("streams", "many streams, one bounded buffer", include_str!("../../docs/streams.md")),
    (
        "pipeline",
        "workers that come and go with the load; jobs of your own",
        include_str!("../../docs/pipeline.md"),
    ),
    ("performance", "what the lab itself costs", include_str!("../../docs/performance.md")),
    ("glossary", "the words of these pages", include_str!("../../docs/glossary.md")),
    (
        "architecture",
        "which files a request, a chunk, a job and a load run pass",
        include_str!("../../docs/architecture.md"),
    ),
];

/// The pages' part of the OpenAPI document.
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

/// `GET /docs`, a list, and `GET /docs/NAME`.
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
