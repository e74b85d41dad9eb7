//! Refuses unknown query parameters, because ignoring one would hide a client's mistake. Only a page ignores them: links
//! are passed on with parameters that others have added.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::{OpenApi, RefOr};

use super::Problem;
use crate::config::Invalid;

/// Makes the routes of `router` refuse query parameters that `document` does not list.
pub fn documented_parameters(router: Router, document: &OpenApi) -> Router {
    router.layer(from_fn_with_state(Arc::new(names(document)), check))
}

/// The problem for an invalid parameter.
pub fn refused_parameter(name: &str, invalid: &Invalid) -> Problem {
    Problem::of(StatusCode::BAD_REQUEST)
        .detail(format!("{name}: {invalid}"))
        .with("parameter", name)
        .with("allowed", invalid.allowed.as_str())
}

/// The error for a parameter that is not in `names`.
pub fn unknown_parameter(value: &str, names: &[&str]) -> Invalid {
    let allowed =
        if names.is_empty() { "no parameter".to_owned() } else { format!("only {}", names.join(", ")) };
    Invalid::new(value, allowed)
}

/// The names of parameters by path and method.
type Names = HashMap<(String, Method), Vec<String>>;

async fn check(State(names): State<Arc<Names>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let names = path.and_then(|path| names.get(&(path, request.method().clone())));
    let Some(names) = names else {
        // The route does not have this method: the router responds with 405.
        return next.run(request).await;
    };
    let query = request.uri().query().unwrap_or_default();
    let unknown =
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| !names.iter().any(|known| known == name));
    let Some((name, value)) = unknown else {
        return next.run(request).await;
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let refused = refused_parameter(&name, &unknown_parameter(&value, &names));
    // Nothing is changed by looking whether the answer is a page.
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let answer = next.run(request).await;
        if is_page(&answer) {
            return answer;
        }
    }
    refused.into_response()
}

/// Whether it is one, or leads to one.
fn is_page(answer: &Response) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    answer.status().is_redirection() || kind.is_some_and(|kind| kind.starts_with("text/html"))
}

/// The query parameters of each route of `document`.
fn names(document: &OpenApi) -> Names {
    let of = |operation: &Operation| {
        let parameters = operation.parameters.iter().flatten();
        let name = |parameter: &RefOr<Parameter>| match parameter {
            RefOr::T(Parameter { name, parameter_in: ParameterIn::Query, .. }) => Some(name.clone()),
            RefOr::T(_) | RefOr::Ref(_) => None,
        };
        parameters.filter_map(name).collect()
    };
    let routes = document.paths.paths.iter().flat_map(|(path, item)| {
        let operations = [
            (Method::GET, &item.get),
            (Method::HEAD, &item.get),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::PATCH, &item.patch),
            (Method::DELETE, &item.delete),
        ];
        operations
            .into_iter()
            .filter_map(move |(method, operation)| Some(((path.clone(), method), of(operation.as_ref()?))))
    });
    routes.collect()
}
