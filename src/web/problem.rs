//! Errors as RFC 9457 problem documents.
//!
//! A [`Problem`] has a stable `type`, which clients branch on, and a `detail` for people. 429 and 503
//! always carry `Retry-After`, 401 `WWW-Authenticate`.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::kind::{GENERAL, Kind};

/// The media type of every error.
pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The default of `Retry-After`.
const RETRY_AFTER_DEFAULT_S: u32 = 1;

/// An error response.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[must_use]
pub struct Problem {
    /// Stable name of the kind, such as `/problems/not-found`: a path of this server that explains it.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: Cow<'static, str>,
    /// A short description of the kind.
    #[schema(value_type = String)]
    title: Cow<'static, str>,
    /// The HTTP status, repeated.
    #[serde(serialize_with = "status_as_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// Details of this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Further members, by name. Boxed, so that a `Result` with a problem stays small.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    members: Box<Map<String, Value>>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
}

fn status_as_number<S: Serializer>(status: &StatusCode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem of `kind`.
    pub fn new(kind: &Kind) -> Self {
        Self::titled(kind.path.clone(), kind.status, kind.title.clone())
    }

    /// The general kind for a status. If there is none, the type is `about:blank` (RFC 9457, 4.2.1).
    pub fn of(status: StatusCode) -> Self {
        match GENERAL.iter().find(|kind| kind.status == status) {
            Some(kind) => Self::new(kind),
            None => {
                let title = status.canonical_reason().unwrap_or("Error");
                Self::titled("about:blank".into(), status, title.into())
            }
        }
    }

    fn titled(kind: Cow<'static, str>, status: StatusCode, title: Cow<'static, str>) -> Self {
        Self { kind, title, status, detail: None, members: Box::default(), retry_after_s: None }
    }

    /// Sets the details of this occurrence. They must not contain a secret or a path of this machine.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a member, such as `field`.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Sets `Retry-After`.
    pub fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The same problem of item `index` of the list `list`: its member `field` says so.
    pub fn of_item(mut self, list: &str, index: usize) -> Self {
        let item = format!("{list}[{index}]");
        let field = match self.members.get("field").and_then(Value::as_str) {
            Some(field) => format!("{item}.{field}"),
            None => item,
        };
        self.detail = self.detail.map(|detail| format!("{field}: {detail}"));
        self.with("field", field)
    }

    /// The name of its kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The details, or the title if there are none.
    pub fn text(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.title)
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn retry_after(&self) -> Option<HeaderValue> {
        let must = matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let seconds = self.retry_after_s.or(must.then_some(RETRY_AFTER_DEFAULT_S))?;
        Some(HeaderValue::from(seconds))
    }

    /// The JSON document. All members are strings, numbers and JSON values, so serialization cannot fail.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, CONTENT_TYPE)];
        let mut response = (self.status, content_type, self.to_bytes()).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_flat_json_with_its_members() {
        let problem =
            Problem::of(StatusCode::UNPROCESSABLE_ENTITY).detail("limit: at least 1").with("field", "limit");
        insta::assert_snapshot!(
            String::from_utf8(problem.to_bytes()).unwrap(),
            @r#"{"type":"/problems/invalid-value","title":"A value is not allowed","status":422,"detail":"limit: at least 1","field":"limit"}"#
        );
    }

    #[test]
    fn only_429_and_503_always_have_a_retry_after() {
        let seconds = |status| {
            let response = Problem::of(status).into_response();
            response.headers().get(header::RETRY_AFTER).cloned()
        };
        assert_eq!(seconds(StatusCode::TOO_MANY_REQUESTS).unwrap(), "1");
        assert_eq!(seconds(StatusCode::SERVICE_UNAVAILABLE).unwrap(), "1");
        assert_eq!(seconds(StatusCode::NOT_FOUND), None);
        let chosen = Problem::of(StatusCode::SERVICE_UNAVAILABLE).retry_after_s(7);
        assert_eq!(chosen.retry_after().unwrap(), "7");
    }
}
