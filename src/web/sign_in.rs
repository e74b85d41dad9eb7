//! `POST /session` exchanges the admin token for a session cookie; `DELETE /session` ends the session.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use axum::{Form, Router};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::{OpenApi, ToSchema};

use super::peer::peer;
use super::session::{SESSION_S, cookie};
use super::{Admin, Frame, Page, Problem};

impl Admin {
    /// `POST /session` and `DELETE /session`.
    pub fn session_routes(&self) -> Router {
        Router::new().route("/session", post(sign_in).delete(sign_out)).with_state(self.clone())
    }
}

/// The OpenAPI description of the session routes.
#[derive(OpenApi)]
#[openapi(paths(sign_in, sign_out), components(schemas(Problem)))]
pub struct SessionApi;

#[derive(Deserialize, ToSchema)]
struct SignIn {
    token: String,
    /// The path of this server to which a browser is redirected.
    #[serde(default)]
    next: Option<String>,
}

/// The sign-in form with an error message.
#[derive(Template)]
#[template(path = "sign-in.html")]
struct RefusedPage {
    frame: Frame,
    why: String,
    next: String,
}

/// Exchanges the admin token for a session cookie.
#[utoipa::path(post, path = "/session", tag = "session", security(()),
    request_body(content = SignIn, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 204, description = "Signed in; the cookie is set"),
        (status = 303, description = "Signed in, for a browser"),
        (status = 401, description = "Wrong token", body = Problem,
         content_type = "application/problem+json"),
        (status = 403, description = "Sent by a page of another origin", body = Problem,
         content_type = "application/problem+json"),
        (status = 404, description = "No token is set, so none is needed", body = Problem,
         content_type = "application/problem+json"),
        (status = 422, description = "No token in the form", body = Problem,
         content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong tokens", body = Problem,
         content_type = "application/problem+json")))]
async fn sign_in(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Result<Response, Problem> {
    let next = form.next.as_deref().filter(|next| is_own_path(next)).unwrap_or("/");
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let id = match admin.sign_in(peer(), &form.token, Instant::now()) {
        Ok(id) => id,
        // A browser gets the form again to correct the token.
        Err(problem) if wants_page => {
            let frame = Frame::new("Sign in", [].into(), "/session");
            let page = RefusedPage { frame, why: problem.text().to_owned(), next: next.to_owned() };
            return Ok((problem.status(), Page(page)).into_response());
        }
        Err(problem) => return Err(problem),
    };
    let signed_in = cookie(&headers, &id, SESSION_S);
    if wants_page {
        Ok((signed_in, Redirect::to(next)).into_response())
    } else {
        Ok((StatusCode::NO_CONTENT, signed_in).into_response())
    }
}

/// Ends the session.
#[utoipa::path(delete, path = "/session", tag = "session", responses(
    (status = 204, description = "Signed out"),
    (status = 403, description = "Sent by a page of another origin", body = Problem,
         content_type = "application/problem+json")))]
async fn sign_out(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    admin.sign_out(&headers);
    (StatusCode::NO_CONTENT, cookie(&headers, "", 0)).into_response()
}

/// Whether a redirect to `path` stays on this server: `//host` and `/\host` lead to other hosts, and browsers remove
/// tabs and newlines before they parse a URL.
fn is_own_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}
