//! The frame all pages share, and the headers that keep a page to itself.
//!
//! A page is a struct with an askama template that extends `base.html` and a field `frame`. Answered
//! as a [`Page`], it may load nothing but this server's own files, runs no inline script or style, and
//! cannot be framed. Templates stand in `src/web/templates/`.

use std::borrow::Cow;
use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};

use super::peer::peer;
use super::{Admin, FAVICON, LAB_CSS, Problem, asset::NOSNIFF};

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
     script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// One entry of the navigation.
#[derive(Clone, Debug)]
pub struct NavItem {
    /// What it says.
    pub label: Cow<'static, str>,
    /// Where it leads.
    pub href: Cow<'static, str>,
}

/// A link of the foot of every page.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Its heading.
    pub group: &'static str,
    /// Where it leads.
    pub path: &'static str,
    /// What is there.
    pub about: &'static str,
}

/// Whether the reader of a page may change settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// May use them.
    Administrator,
    /// May use them after signing in.
    SignedOut,
    /// May not: only the machine that runs the server may.
    Elsewhere,
}

/// What a page gives to `base.html`.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The page's heading, and its name in the browser.
    pub title: String,
    /// The navigation, shared by all pages.
    pub nav: Arc<[NavItem]>,
    /// What the server has besides, for the foot of the page.
    pub links: Arc<[Link]>,
    /// Who looks at it.
    pub visitor: Visitor,
    current: Cow<'static, str>,
    admin: Option<Admin>,
}

impl Frame {
    /// The frame of the page titled `title`; the entry of `nav` whose address is `current` is marked.
    pub fn new(title: impl Into<String>, nav: Arc<[NavItem]>, current: impl Into<Cow<'static, str>>) -> Self {
        let current = current.into();
        Self {
            title: title.into(),
            nav,
            links: Arc::default(),
            visitor: Visitor::Administrator,
            current,
            admin: None,
        }
    }

    /// The same with the links of its foot, and the rule that says who may use its levers.
    #[must_use]
    pub fn of_server(self, links: Arc<[Link]>, admin: Admin) -> Self {
        Self { links, admin: Some(admin), ..self }
    }

    /// The same for whoever makes this request.
    #[must_use]
    pub fn for_request(self, headers: &HeaderMap, uri: &Uri) -> Self {
        let visitor = match &self.admin {
            Some(admin) if !peer().is_some_and(|peer| admin.allows(peer, headers, uri)) => {
                match admin.token_required() {
                    true => Visitor::SignedOut,
                    false => Visitor::Elsewhere,
                }
            }
            _ => Visitor::Administrator,
        };
        Self { visitor, ..self }
    }

    /// Whether the visitor may use levers.
    pub fn may_change(&self) -> bool {
        self.visitor == Visitor::Administrator
    }

    /// Whether the visitor may use levers after signing in.
    pub fn is_signed_out(&self) -> bool {
        self.visitor == Visitor::SignedOut
    }

    /// The links of the foot, by their headings.
    pub fn link_groups(&self) -> Vec<(&'static str, Vec<Link>)> {
        let mut groups: Vec<(&'static str, Vec<Link>)> = Vec::new();
        for link in self.links.iter() {
            match groups.iter_mut().find(|(group, _)| *group == link.group) {
                Some((_, links)) => links.push(*link),
                None => groups.push((link.group, vec![*link])),
            }
        }
        groups
    }

    /// The page's own address, as the navigation has it.
    pub fn path(&self) -> &str {
        &self.current
    }

    /// Where the shared styles are.
    pub fn stylesheet(&self) -> String {
        LAB_CSS.href()
    }

    /// Where the mark is.
    pub fn icon(&self) -> String {
        FAVICON.href()
    }

    /// Whether `item` leads to this page.
    pub fn is_current(&self, item: &NavItem) -> bool {
        item.href == self.current
    }
}

/// A template as an answer.
#[derive(Clone, Copy, Debug)]
pub struct Page<T>(pub T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let html = match self.0.render() {
            Ok(html) => html,
            Err(error) => {
                tracing::error!(%error, "a page cannot be rendered");
                return Problem::of(StatusCode::INTERNAL_SERVER_ERROR).into_response();
            }
        };
        let headers = [
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
            (header::REFERRER_POLICY, "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (headers, [NOSNIFF], Html(html)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(
        source = r#"{% extends "base.html" %}{% block body %}<p>{{ text }}</p>{% endblock %}"#,
        ext = "html"
    )]
    struct Sample {
        frame: Frame,
        text: &'static str,
    }

    fn sample() -> Sample {
        let item =
            |label: &'static str, href: &'static str| NavItem { label: label.into(), href: href.into() };
        let nav = [item("Overview", "/"), item("Streams", "/streams")];
        Sample { frame: Frame::new("Streams <live>", nav.into(), "/streams"), text: "a < b" }
    }

    #[test]
    fn a_page_stands_in_the_frame_and_is_escaped() {
        let html = sample().render().unwrap();
        assert!(html.contains(r#"<a href="/streams" aria-current="page">Streams</a>"#), "{html}");
        assert!(html.contains(r#"<a href="/">Overview</a>"#), "{html}");
        assert!(html.contains(&LAB_CSS.href()), "{html}");
        assert!(html.contains("<title>Streams &#60;live&#62; · lab</title>"), "{html}");
        assert!(html.contains("<p>a &#60; b</p>"), "{html}");
        assert!(!html.contains("<script") && !html.contains("style="), "{html}");
    }

    #[test]
    fn a_page_keeps_to_itself() {
        let response = Page(sample()).into_response();
        let headers = response.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
        assert!(policy.ends_with("base-uri 'none'; frame-ancestors 'none'"), "{policy}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "same-origin");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin");
    }
}
