//! Kinds of problem: clients branch on them, and `GET /problems/{name}` explains them.

use std::borrow::Cow;

use axum::http::StatusCode;

/// A kind of problem. Each system lists the kinds it responds with, and the server documents them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The `type`: a path under `/problems/` that never changes meaning.
    pub path: Cow<'static, str>,
    /// The status of the response.
    pub status: StatusCode,
    /// A short description.
    pub title: Cow<'static, str>,
    /// What it means, and what the client should do.
    pub about: &'static str,
}

impl Kind {
    /// A kind with these fields.
    pub const fn new(
        path: &'static str,
        status: StatusCode,
        title: &'static str,
        about: &'static str,
    ) -> Self {
        Self { path: Cow::Borrowed(path), status, title: Cow::Borrowed(title), about }
    }
}

/// The kinds that every server may respond with, one for each status.
pub static GENERAL: [Kind; 13] = [
    Kind::new(
        "/problems/bad-request",
        StatusCode::BAD_REQUEST,
        "The request is not understood",
        "The request is not valid HTTP, or a value in it is not allowed: `detail` says what was expected, and `field` \
         or `parameter` names the value. Correct it before sending it again.",
    ),
    Kind::new(
        "/problems/unauthorized",
        StatusCode::UNAUTHORIZED,
        "A valid token is needed",
        "The route changes something, and the token is missing or wrong. Send `Authorization: Bearer TOKEN` with the \
         value of LAB_ADMIN_TOKEN, or sign in on a page.",
    ),
    Kind::new(
        "/problems/forbidden",
        StatusCode::FORBIDDEN,
        "Not allowed from here",
        "A page of another origin sent the request; or LAB_ADMIN_TOKEN is not set and the request came from another \
         machine or through a proxy. Send it to localhost from the same machine, or set the token.",
    ),
    Kind::new(
        "/problems/not-found",
        StatusCode::NOT_FOUND,
        "Nothing is here",
        "No route has this path. /openapi.json and /docs/reference list all routes.",
    ),
    Kind::new(
        "/problems/method-not-allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        "The method is not allowed here",
        "The path exists, but not for this method. The header `Allow` lists its methods.",
    ),
    Kind::new(
        "/problems/request-timeout",
        StatusCode::REQUEST_TIMEOUT,
        "The request took too long to arrive",
        "The body was not complete in time. Send it faster, or in smaller parts.",
    ),
    Kind::new(
        "/problems/body-too-large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "The body is too large",
        "The body, or one frame of it, exceeds the limit in this problem. Send it in smaller parts.",
    ),
    Kind::new(
        "/problems/unsupported-media-type",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The media type is not supported",
        "The body has another media type than the route accepts, or is compressed. Send JSON as `Content-Type: \
         application/json`, without `Content-Encoding`.",
    ),
    Kind::new(
        "/problems/misdirected",
        StatusCode::MISDIRECTED_REQUEST,
        "This server does not answer to that name",
        "A server on a loopback address accepts only requests to localhost and to the names in LAB_HOSTS, so that a \
         page of another site cannot reach it under a name of that site. Use localhost, or add the name to LAB_HOSTS.",
    ),
    Kind::new(
        "/problems/invalid-value",
        StatusCode::UNPROCESSABLE_ENTITY,
        "A value is not allowed",
        "A form is complete, but a value in it is missing or not allowed: `detail` says which. Correct it.",
    ),
    Kind::new(
        "/problems/too-many-requests",
        StatusCode::TOO_MANY_REQUESTS,
        "Too many requests",
        "This address sent too many wrong tokens within a second. Wait for the seconds in `Retry-After`.",
    ),
    Kind::new(
        "/problems/internal-error",
        StatusCode::INTERNAL_SERVER_ERROR,
        "Something broke on our side",
        "The fault is in the server, not in the request. The server's log has the details.",
    ),
    Kind::new(
        "/problems/unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "Not available now",
        "The server is stopping or at capacity, or the requested system is not running: `detail` says which. Try again \
         after the seconds in `Retry-After`.",
    ),
];
