//! The lab's part of the OpenAPI document; the strategies' paths are made from their list.

use utoipa::{
    OpenApi as _,
    openapi::{
        HttpMethod, Object, OpenApi, PathItem, Ref, RefOr, Required, Schema, Type,
        content::ContentBuilder,
        path::{OperationBuilder, ParameterBuilder, ParameterIn},
        response::ResponseBuilder,
    },
};

use super::{
    HttpLab,
    answer::{Body, ServiceBody},
    ledger::{Audit, CallLedger, HttpAudit, RequestLedger, ServiceAudit},
    settings::Overrides,
};
use crate::web::{HealthApi, SessionApi};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "lab",
        description = "The same work under different strategies, side by side. Every error is a problem document (RFC 9457)."
    ),
    paths(super::routes::settings, super::routes::change_settings, super::routes::audit),
    components(schemas(Body, ServiceBody, Audit, HttpAudit, ServiceAudit, RequestLedger, CallLedger)),
    tags((name = "strategies"), (name = "lab"), (name = "health"), (name = "session"))
)]
struct LabApi;

impl HttpLab {
    /// The OpenAPI document of a server that serves this lab.
    pub fn openapi(&self) -> OpenApi {
        let mut document =
            LabApi::openapi().merge_from(HealthApi::openapi()).merge_from(SessionApi::openapi());
        for (path, about) in self.strategies() {
            let mut operation = OperationBuilder::new()
                .tag("strategies")
                .summary(Some(about))
                .operation_id(Some(path.trim_start_matches('/')));
            for (name, allowed) in Overrides::ALLOWED {
                operation = operation.parameter(
                    ParameterBuilder::new()
                        .name(name)
                        .parameter_in(ParameterIn::Query)
                        .required(Required::False)
                        .description(Some(allowed))
                        .schema(Some(Schema::Object(Object::with_type(Type::String)))),
                );
            }
            let answers = [
                ("200", "Both services answered", "application/json", "Body"),
                ("400", "A parameter is not allowed", "application/problem+json", "Problem"),
                ("502", "A service failed", "application/problem+json", "Problem"),
                ("503", "Shed; Retry-After says when to come back", "application/problem+json", "Problem"),
                ("504", "The deadline expired", "application/problem+json", "Problem"),
            ];
            for (status, description, media_type, schema) in answers {
                let schema = RefOr::Ref(Ref::from_schema_name(schema));
                operation = operation.response(
                    status,
                    ResponseBuilder::new()
                        .description(description)
                        .content(media_type, ContentBuilder::new().schema(Some(schema)).build()),
                );
            }
            document.paths.paths.insert(path.to_owned(), PathItem::new(HttpMethod::Get, operation));
        }
        document
    }
}
