//! The landing page: what runs here, with a link to all of it.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Uri},
    routing::get,
};

use crate::web::{Admin, Frame, Link, NavItem, Page, peer};

#[derive(Debug, Clone)]
struct Landing {
    links: Arc<[Link]>,
    nav: Arc<[NavItem]>,
    admin: Admin,
}

/// How the visitor stands to the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visitor {
    Administrator,
    SignedOut,
    Elsewhere,
}

#[derive(Template)]
#[template(path = "landing.html")]
struct LandingPage {
    frame: Frame,
    groups: Vec<(&'static str, Vec<Link>)>,
    visitor: Visitor,
    host: String,
}

/// `GET /`.
pub(super) fn routes(links: Vec<Link>, nav: Arc<[NavItem]>, admin: Admin) -> Router {
    let landing = Landing { links: links.into(), nav, admin };
    Router::new().route("/", get(show)).with_state(landing)
}

async fn show(State(landing): State<Landing>, headers: HeaderMap, uri: Uri) -> Page<LandingPage> {
    let may_change = peer().is_some_and(|peer| landing.admin.allows(peer, &headers, &uri));
    let visitor = match (may_change, landing.admin.token_required()) {
        (true, _) => Visitor::Administrator,
        (false, true) => Visitor::SignedOut,
        (false, false) => Visitor::Elsewhere,
    };
    let mut groups: Vec<(&'static str, Vec<Link>)> = Vec::new();
    for link in landing.links.iter() {
        match groups.iter_mut().find(|(group, _)| *group == link.group) {
            Some((_, links)) => links.push(*link),
            None => groups.push((link.group, vec![*link])),
        }
    }
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:8080");
    Page(LandingPage {
        frame: Frame::new("Concurrency lab", landing.nav.clone(), "/"),
        groups,
        visitor,
        host: host.to_owned(),
    })
}
