//! `/openapi.json`: the document an app merged from its rooms' parts, and parts made from lists.

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{
    Components, HttpMethod, Object, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr, Required,
    Schema, Type,
};

use super::Problem;
use crate::output::{Document, Named};

/// Serves `document` at `/openapi.json`.
///
/// # Errors
///
/// When the document cannot be written as JSON.
pub fn openapi(document: &OpenApi) -> Result<Router, serde_json::Error> {
    let json = Bytes::from(serde_json::to_vec(document)?);
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok(Router::new().route("/openapi.json", get(async move || (content_type, json.clone()))))
}

/// One route in the document, for routes that are made from a list or for a type.
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

    /// Its name for generated clients.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.operation = self.operation.operation_id(Some(id));
        self
    }

    /// A text in the query that may be left out.
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

    /// A body of JSON.
    #[must_use]
    pub fn body<T: ToSchema>(mut self, required: bool) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schema::<T>())).build();
        let required = if required { Required::True } else { Required::False };
        let body =
            RequestBodyBuilder::new().content("application/json", content).required(Some(required)).build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// An answer of JSON: a document.
    #[must_use]
    pub fn answer<T: Document>(self, status: u16, about: &str) -> Self {
        self.answers::<Named<T>>(status, about, "application/json")
    }

    /// An answer that is a problem.
    #[must_use]
    pub fn problem(self, status: u16, about: &str) -> Self {
        self.answers::<Problem>(status, about, "application/problem+json")
    }

    /// The answers of every route that only an administrator may use.
    #[must_use]
    pub fn guarded(self) -> Self {
        self.problem(401, "The token is missing or wrong")
            .problem(403, "Not from this machine, or by a page of another origin")
    }

    /// An answer of JSON that is none of our documents.
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

    /// A reference to the schema of `T`, which is kept with all that it refers to.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        self.components.schemas.extend(schemas);
        RefOr::Ref(Ref::from_schema_name(T::name()))
    }

    /// A document that holds this route.
    pub fn into_document(self) -> OpenApi {
        let item = PathItem::new(self.method, self.operation);
        let paths = PathsBuilder::new().path(self.path, item).build();
        OpenApiBuilder::new().paths(paths).components(Some(self.components)).build()
    }
}
