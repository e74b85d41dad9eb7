//! Query parameters that a route does not know: refused, as whoever sends one means something by it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::{OpenApi, RefOr};

use super::Problem;
use crate::config::Invalid;

/// Lets the routes of `router` take the query parameters that `document` says they have, and no others.
pub fn documented_parameters(router: Router, document: &OpenApi) -> Router {
    router.layer(from_fn_with_state(Arc::new(document.clone()), check))
}

/// The problem of a parameter that is not allowed, with what is.
pub fn refused_parameter(name: &str, invalid: &Invalid) -> Problem {
    Problem::of(StatusCode::BAD_REQUEST)
        .detail(format!("{name}: {invalid}"))
        .with("parameter", name)
        .with("allowed", invalid.allowed.as_str())
}

/// What is wrong with a parameter whose name is none of `names`.
pub fn unknown_parameter(value: &str, names: &[&str]) -> Invalid {
    let allowed =
        if names.is_empty() { "no parameter".to_owned() } else { format!("only {}", names.join(", ")) };
    Invalid::new(value, allowed)
}

async fn check(State(document): State<Arc<OpenApi>>, request: Request, next: Next) -> Response {
    let Some(names) = names(&document, &request) else {
        // Not one of the route's methods, which its router says.
        return next.run(request).await;
    };
    let query = request.uri().query().unwrap_or_default();
    let unknown = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| !names.contains(&&**name));
    match unknown {
        Some((name, value)) => refused_parameter(&name, &unknown_parameter(&value, &names)).into_response(),
        None => next.run(request).await,
    }
}

/// The parameters that the route of `request` has in `document`; none where it has not that method.
fn names<'a>(document: &'a OpenApi, request: &Request) -> Option<Vec<&'a str>> {
    let path = document.paths.paths.get(request.extensions().get::<MatchedPath>()?.as_str())?;
    let operation: &Operation = match *request.method() {
        Method::POST => path.post.as_ref(),
        Method::PATCH => path.patch.as_ref(),
        Method::PUT => path.put.as_ref(),
        Method::DELETE => path.delete.as_ref(),
        Method::GET | Method::HEAD => path.get.as_ref(),
        _ => None,
    }?;
    let parameters = operation.parameters.iter().flatten();
    let name = |parameter: &'a RefOr<Parameter>| match parameter {
        RefOr::T(Parameter { name, parameter_in: ParameterIn::Query, .. }) => Some(name.as_str()),
        RefOr::T(_) | RefOr::Ref(_) => None,
    };
    Some(parameters.filter_map(name).collect())
}
