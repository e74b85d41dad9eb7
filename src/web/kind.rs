//! Kinds of problem: what clients branch on, and what `GET /problems/{name}` explains.

use std::borrow::Cow;

use axum::http::StatusCode;

/// A kind of problem. A system lists those that it answers with, so that they explain themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The `type`: a path under `/problems/` that never changes meaning.
    pub path: Cow<'static, str>,
    /// What it is answered with.
    pub status: StatusCode,
    /// It in words.
    pub title: Cow<'static, str>,
    /// What it means, and what to do.
    pub about: &'static str,
}

impl Kind {
    /// A kind of one's own.
    pub const fn new(
        path: &'static str,
        status: StatusCode,
        title: &'static str,
        about: &'static str,
    ) -> Self {
        Self { path: Cow::Borrowed(path), status, title: Cow::Borrowed(title), about }
    }
}

/// What every server may answer with, a kind for each status.
pub static GENERAL: [Kind; 13] = [
    Kind::new(
        "/problems/bad-request",
        StatusCode::BAD_REQUEST,
        "The request is not understood",
        "The request is not valid HTTP, or a value in it is not allowed: `detail` says what was expected, `field` or \
         `parameter` where. Correct it; the same request is refused again.",
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
        "The request was sent by a page of another origin, or without LAB_ADMIN_TOKEN from another machine or through \
         a proxy. Ask from the same machine as localhost, or set the token.",
    ),
    Kind::new(
        "/problems/not-found",
        StatusCode::NOT_FOUND,
        "Nothing is here",
        "No route has this path. /openapi.json and /docs/reference list those that there are.",
    ),
    Kind::new(
        "/problems/method-not-allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        "The method is not allowed here",
        "The path has a route, but not for this method. The header `Allow` lists the methods that it has.",
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
        "The body, or a frame of it, is above the limit that is named beside this. Send it in smaller parts.",
    ),
    Kind::new(
        "/problems/unsupported-media-type",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The media type is not supported",
        "The body is not of the type that the route reads, or is compressed. Send JSON as `Content-Type: \
         application/json`, without `Content-Encoding`.",
    ),
    Kind::new(
        "/problems/misdirected",
        StatusCode::MISDIRECTED_REQUEST,
        "This server does not answer to that name",
        "A server on a loopback address answers only as localhost and to the names in LAB_HOSTS, so that no page of \
         another site can reach it under a name of its own. Ask for localhost, or add the name to LAB_HOSTS.",
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
        "More wrong tokens came from this address than may in a second. Wait for the seconds in `Retry-After`.",
    ),
    Kind::new(
        "/problems/internal-error",
        StatusCode::INTERNAL_SERVER_ERROR,
        "Something broke on our side",
        "A fault of the server, not of the request. The server's log says more.",
    ),
    Kind::new(
        "/problems/unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "Not available now",
        "The server is stopping, has no room, or does not run what was asked for: `detail` says which. Ask again after \
         the seconds in `Retry-After`.",
    ),
];
