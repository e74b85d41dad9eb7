//! Types that are written to JSON as another type, their form.

/// Gives a type the JSON and the schema of its form.
macro_rules! shown_as {
    ($name:ident as $form:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $form::try_from(self).map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
        }
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $form::schema()
            }
        }
        impl utoipa::ToSchema for $name {
            fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
                $form::schemas(schemas);
            }
        }
    };
}
pub(super) use shown_as;
