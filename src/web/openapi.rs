//! `/openapi.json`: serves and completes the document that an app merges from its systems' parts, and builds parts
//! for routes.

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Components, HttpMethod, Object, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr, Required,
    Schema, Type,
};
use utoipa::{PartialSchema as _, ToSchema};

use super::Problem;
use crate::output::{Document, Named};

/// Serves `document` at `/openapi.json`.
///
/// # Errors
///
/// When the document cannot be serialized.
pub fn openapi(document: &OpenApi) -> Result<Router, serde_json::Error> {
    let json = Bytes::from(serde_json::to_vec(document)?);
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok(Router::new().route("/openapi.json", get(async move || (content_type, json.clone()))))
}

/// Adds the responses that every route of a server may give. If the server has a `token`, it also adds the ways to
/// authenticate.
pub fn complete(document: &mut OpenApi, token: bool) {
    const MISUNDERSTOOD: (u16, &str) = (400, "The request is not understood");
    const FOREIGN: (u16, &str) = (403, "Sent by a page of another origin");
    const MISDIRECTED: (u16, &str) = (421, "The host is none of this server's names");
    const BODY: [(u16, &str); 3] = [
        (408, "The body took too long to arrive"),
        (413, "The body is too large"),
        (415, "The body's media type or encoding is not supported"),
    ];
    const GUESSED: (u16, &str) = (429, "Too many wrong tokens from this address");
    for item in document.paths.paths.values_mut() {
        let reads = [&mut item.get, &mut item.head].map(|operation| (false, operation));
        let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for (writes, operation) in reads.into_iter().chain(writes.map(|operation| (true, operation))) {
            let Some(operation) = operation else { continue };
            let mut answers = vec![MISUNDERSTOOD, MISDIRECTED];
            answers.extend(writes.then_some(FOREIGN));
            if operation.request_body.is_some() {
                answers.extend(BODY);
            }
            if operation.responses.responses.contains_key("401") {
                answers.push(GUESSED);
                if token && operation.security.is_none() {
                    let either = [BEARER, SESSION].map(|name| SecurityRequirement::new(name, NO_SCOPES));
                    operation.security = Some(either.to_vec());
                }
            }
            for (status, about) in answers {
                let answer = || RefOr::T(problem(about));
                operation.responses.responses.entry(status.to_string()).or_insert_with(answer);
            }
            for (status, answer) in &mut operation.responses.responses {
                // Every error response is a problem, even if its route does not declare it.
                if let RefOr::T(answer) = answer
                    && status.starts_with(['4', '5'])
                    && answer.content.is_empty()
                {
                    *answer = problem(&answer.description);
                }
            }
        }
    }
    let components = document.components.get_or_insert_default();
    components.schemas.entry(Problem::name().into_owned()).or_insert_with(Problem::schema);
    if !token {
        return;
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("LAB_ADMIN_TOKEN"));
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    let cookie =
        ApiKeyValue::with_description("lab_session_PORT", "Set by POST /session; PORT is the server's");
    components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
}

/// The names of the two ways to authenticate.
const BEARER: &str = "bearer";
const SESSION: &str = "session";
const NO_SCOPES: [&str; 0] = [];

fn problem(about: &str) -> utoipa::openapi::Response {
    let schema = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(about).content("application/problem+json", content).build()
}

/// Describes one route of the document, for routes that are created from a list or for a generic type.
pub struct RouteDoc {
    method: HttpMethod,
    path: String,
    operation: OperationBuilder,
    components: Components,
}

impl RouteDoc {
    /// A route under the heading `tag`.
    pub fn new(method: HttpMethod, path: impl Into<String>, tag: &str, about: &str) -> Self {
        let operation = OperationBuilder::new().tag(tag).summary(Some(about));
        Self { method, path: path.into(), operation, components: Components::default() }
    }

    /// Sets the operation ID, which generated clients use as a name.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.operation = self.operation.operation_id(Some(id));
        self
    }

    /// Adds an optional query parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, allowed: &str) -> Self {
        self.operation = self.operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(allowed))
                .schema(Some(Schema::Object(Object::with_type(Type::String)))),
        );
        self
    }

    /// Adds a JSON body.
    #[must_use]
    pub fn body<T: ToSchema>(mut self, required: bool) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>())).build();
        let required = if required { Required::True } else { Required::False };
        let body =
            RequestBodyBuilder::new().content("application/json", content).required(Some(required)).build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// Adds a JSON response that is a [`Document`].
    #[must_use]
    pub fn answer<T: Document>(self, status: u16, about: &str) -> Self {
        self.answers::<Named<T>>(status, about, "application/json")
    }

    /// Adds a 200 response of this media type.
    #[must_use]
    pub fn media(mut self, about: &str, media_type: &str) -> Self {
        let content = ContentBuilder::new().build();
        let answer = ResponseBuilder::new().description(about).content(media_type, content);
        self.operation = self.operation.response("200", answer);
        self
    }

    /// Adds a problem response.
    #[must_use]
    pub fn problem(self, status: u16, about: &str) -> Self {
        self.answers::<Problem>(status, about, "application/problem+json")
    }

    /// Adds the responses of a route that only an administrator may use.
    #[must_use]
    pub fn guarded(self) -> Self {
        self.problem(401, "The token is missing or wrong")
            .problem(403, "Not from this machine, or by a page of another origin")
    }

    /// Adds a JSON response that is not a [`Document`].
    #[must_use]
    pub fn foreign<T: ToSchema>(self, status: u16, about: &str) -> Self {
        self.answers::<T>(status, about, "application/json")
    }

    fn answers<T: ToSchema>(mut self, status: u16, about: &str, media_type: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>())).build();
        let answer = ResponseBuilder::new().description(about).content(media_type, content);
        self.operation = self.operation.response(status.to_string(), answer);
        self
    }

    /// Adds the schema of `T` and those that it refers to, and returns a reference to it.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        self.components.schemas.extend(schemas);
        RefOr::Ref(Ref::from_schema_name(T::name()))
    }

    /// An OpenAPI document with only this route.
    pub fn into_document(self) -> OpenApi {
        let item = PathItem::new(self.method, self.operation);
        let paths = PathsBuilder::new().path(self.path, item).build();
        OpenApiBuilder::new().paths(paths).components(Some(self.components)).build()
    }
}
