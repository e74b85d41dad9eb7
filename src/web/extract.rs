//! axum's extractors, with problems as rejections that name the invalid field.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use super::Problem;
use crate::config::Invalid;
use crate::output::Document;

/// A JSON body of a request, which must be an object, or of a response, which is a [`Document`]. A request is refused
/// with 415 (its content type is not JSON) or 400 (invalid syntax or an invalid value); `field` names an invalid
/// field.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<T>(pub T);

/// An optional JSON body; without one, the value is the default. It is refused as [`Json`] is.
#[derive(Clone, Copy, Debug, Default)]
pub struct OptionalJson<T>(pub T);

/// A query string. It is refused with 400; `parameter` names an invalid parameter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(Object(value))) => Ok(Self(value)),
            Err(rejection) => {
                // axum distinguishes invalid syntax (400) and invalid values (422); here both are a 400.
                let status = match rejection.status() {
                    StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                    other => other,
                };
                Err(refusal::<serde_json::Error>(status, &rejection, "field"))
            }
        }
    }
}

/// Deserializes a value only from an object: serde's structs would also accept an array, by position.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Json::from_request(request, state).await.map(|Json(value)| Self(value))
    }
}

impl<T: Document + Sync> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0.named()).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                Err(refusal::<serde::de::value::Error>(rejection.status(), &rejection, "parameter"))
            }
        }
    }
}

/// Reads a part of a body as [`Json`] reads the whole, with the same problems.
///
/// # Errors
/// When it is no object, or a value in it is not allowed.
pub fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize(&mut deserializer) {
        Ok(Object(value)) => Ok(value),
        Err(error) => Err(refusal::<serde_json::Error>(StatusCode::BAD_REQUEST, &error, "field")),
    }
}

/// The problem of an invalid field of a body: the member `field` names it, `allowed` says what is valid.
pub fn refused_field(name: &str, invalid: &Invalid) -> Problem {
    Problem::of(StatusCode::BAD_REQUEST)
        .detail(format!("{name}: {invalid}"))
        .with("field", name)
        .with("allowed", invalid.allowed.as_str())
}

/// Turns the error of the deserializer `E` inside `rejection` into a problem; the member `place` names the field.
fn refusal<E: Error + 'static>(
    status: StatusCode,
    rejection: &(dyn Error + 'static),
    place: &str,
) -> Problem {
    let mut causes = std::iter::successors(Some(rejection), |&error| error.source());
    match causes.find_map(|error| error.downcast_ref::<serde_path_to_error::Error<E>>()) {
        Some(located) => {
            let said = in_plain_words(located.inner().to_string());
            let path = located.path().to_string();
            // The path does not include an unknown field.
            let unknown = said.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
            let field = match (path.strip_suffix('?'), unknown) {
                (Some(outer), Some(name)) => format!("{outer}{name}"),
                (None, Some(name)) if path == "." => name.to_owned(),
                _ => path,
            };
            let problem =
                |detail: &str| Problem::of(status).detail(detail.replace("type: sequence", "type: array"));
            match field.as_str() {
                "." | "?" => match of_a_whole_body(&said) {
                    (detail, Some(name)) => problem(&detail).with(place, name),
                    (detail, None) => problem(&detail),
                },
                // The position in the text is redundant if the field is known.
                field => problem(without_position(&said)).with(place, field),
            }
        }
        None => Problem::of(status).detail(rejection.to_string()),
    }
}

/// The message of serde_json, except that the end of the text is said in plain words.
fn in_plain_words(said: String) -> String {
    match said.strip_prefix("EOF while parsing ") {
        Some("a value at line 1 column 0") => "the body is empty: a JSON object is expected".to_owned(),
        Some(_) => "the body ends in the middle of its JSON".to_owned(),
        None => said,
    }
}

/// An error that no path locates, in plain words, and the field that it is about.
fn of_a_whole_body(said: &str) -> (String, Option<&str>) {
    let quoted = |prefix| said.strip_prefix(prefix).and_then(|rest: &str| rest.split('`').next());
    if let Some(name) = quoted("missing field `") {
        return (format!("the field `{name}` is missing"), Some(name));
    }
    if let Some(name) = quoted("duplicate field `") {
        return (format!("the field `{name}` is given twice"), Some(name));
    }
    // The position helps to find an error of syntax.
    let detail = if said.starts_with("invalid ") { without_position(said) } else { said };
    (detail.to_owned(), None)
}

/// The message of serde_json without ` at line 1 column 16`.
fn without_position(said: &str) -> &str {
    let is_position = |text: &str| text.chars().all(|c| c.is_ascii_digit() || " column".contains(c));
    match said.rsplit_once(" at line ") {
        Some((said, position)) if is_position(position) => said,
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Slow,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only deserialization is tested")]
    struct Settings {
        limit: u32,
        mode: Mode,
    }

    fn document(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.to_bytes()).unwrap()
    }

    async fn body(content_type: &str, body: &'static str) -> Problem {
        let request =
            Request::builder().header(header::CONTENT_TYPE, content_type).body(Body::from(body)).unwrap();
        Json::<Settings>::from_request(request, &()).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_bad_body_names_its_field_and_what_is_allowed() {
        let problem = document(&body("application/json", r#"{"limit":1,"mode":"warp"}"#).await);
        assert_eq!(problem["status"], 400);
        assert_eq!(problem["field"], "mode");
        assert_eq!(problem["detail"], "unknown variant `warp`, expected `fast` or `slow`");
        let problem = document(&body("application/json", r#"{"limit":1,"mood":"warp"}"#).await);
        assert_eq!(problem["field"], "mood");
        assert_eq!(problem["detail"], "unknown field `mood`, expected `limit` or `mode`");

        assert_eq!(document(&body("application/json", "{").await)["status"], 400);
        assert_eq!(document(&body("text/plain", "{}").await)["status"], 415);
        let positional = document(&body("application/json", r#"[1,"fast"]"#).await);
        assert!(
            positional["detail"].as_str().unwrap().contains("type: array, expected an object"),
            "{positional}"
        );
        let missing = document(&body("application/json", "{}").await);
        assert_eq!(missing["detail"], "the field `limit` is missing");
        assert_eq!(missing["field"], "limit");
    }

    #[tokio::test]
    async fn a_bad_query_names_its_field() {
        let request = Request::builder().uri("/?limit=-1&mode=fast").body(()).unwrap();
        let mut parts = request.into_parts().0;
        let problem = Query::<Settings>::from_request_parts(&mut parts, &()).await.unwrap_err();
        let problem = document(&problem);
        assert_eq!(problem["status"], json!(400));
        assert_eq!(problem["parameter"], "limit");
    }
}
