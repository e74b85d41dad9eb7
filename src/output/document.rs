//! Documents for programs: JSON whose first member, `schema`, names its format, and the JSON Schema of each format.
//!
//! Both are derived from one type, so they cannot differ. An unknown number is `null`, and the member of the same
//! name with `_why` appended holds the reason.

use std::marker::PhantomData;

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{AllOfBuilder, ObjectBuilder, RefOr, Schema, Type},
};

/// The pattern of map keys that are whole numbers.
const WHOLE_NUMBER: &str = "^[0-9]+$";

/// A JSON document that a command prints or a route returns.
pub trait Document: Serialize + ToSchema {
    /// The name of the format and its version number, which changes when the meaning does.
    const SCHEMA: &'static str;

    /// The document with `schema` as its first member.
    fn named(&self) -> impl Serialize + Send
    where
        Self: Sync,
    {
        Written { schema: Self::SCHEMA, document: self }
    }

    /// The document as indented JSON text.
    ///
    /// # Errors
    /// When a part of it cannot be serialized.
    fn json(&self) -> serde_json::Result<String>
    where
        Self: Sync,
    {
        serde_json::to_string_pretty(&self.named())
    }
}

/// Implements [`Document`] for a type, with the name of its format.
#[macro_export]
macro_rules! document {
    ($type:ty as $schema:literal) => {
        impl $crate::output::Document for $type {
            const SCHEMA: &'static str = $schema;
        }
    };
}

#[derive(Serialize)]
struct Written<'a, T: ?Sized> {
    schema: &'static str,
    #[serde(flatten)]
    document: &'a T,
}

/// The schema of `T` with its `schema` member.
#[derive(Debug)]
pub struct Named<T>(PhantomData<T>);

impl<T: Document> PartialSchema for Named<T> {
    fn schema() -> RefOr<Schema> {
        let name = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([T::SCHEMA]));
        let name = ObjectBuilder::new().property("schema", name).required("schema");
        AllOfBuilder::new().item(name).item(T::schema()).into()
    }
}

impl<T: Document> ToSchema for Named<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        T::name()
    }
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

/// The JSON Schema of a document. It allows no members that it does not list.
#[must_use]
pub fn schema<T: Document>() -> Value {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts = parts.into_iter().map(|(name, part)| (name, json!(part))).collect();
    let mut conversion = Conversion { parts, used: Map::new() };
    let whole = conversion.convert(json!(Named::<T>::schema()));
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), T::SCHEMA.into());
    schema.extend(whole.as_object().cloned().unwrap_or_default());
    schema.insert("$defs".to_owned(), conversion.used.into());
    schema.into()
}

/// Converts a schema that refers to components of an OpenAPI document into a self-contained JSON Schema.
struct Conversion {
    parts: Map<String, Value>,
    /// The converted components that the schema refers to.
    used: Map<String, Value>,
}

impl Conversion {
    fn convert(&mut self, schema: Value) -> Value {
        let mut members = match schema {
            Value::Object(members) => members,
            Value::Array(items) => return items.into_iter().map(|item| self.convert(item)).collect(),
            other => return other,
        };
        if let Some(Value::Array(parts)) = members.remove("allOf") {
            self.join(&mut members, parts);
        }
        if let Some(name) =
            members.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next())
        {
            let name = name.to_owned();
            members.insert("$ref".to_owned(), format!("#/$defs/{name}").into());
            if !self.used.contains_key(&name) {
                // Insert a placeholder first, because a component may refer to itself.
                self.used.insert(name.clone(), Value::Null);
                let part = self.convert(self.parts.get(&name).cloned().unwrap_or_default());
                self.used.insert(name, part);
            }
        }
        // Numbers that can also be read from a string are always written as numbers.
        if let Some(Value::Array(kinds)) = members.get_mut("type")
            && kinds.iter().any(|kind| kind == "integer" || kind == "number")
        {
            kinds.retain(|kind| kind != "string");
        }
        // JSON member names are strings, even if the map's keys are integers in Rust.
        if let Some(names) = members.get_mut("propertyNames")
            && names["type"] == "integer"
        {
            *names = json!({ "type": "string", "pattern": WHOLE_NUMBER });
        }
        if members.contains_key("properties") && !members.contains_key("additionalProperties") {
            members.insert("additionalProperties".to_owned(), false.into());
        }
        members.into_iter().map(|(name, member)| (name, self.convert(member))).collect()
    }

    /// Merges the members of the `parts` of an `allOf` into one object schema.
    fn join(&mut self, into: &mut Map<String, Value>, parts: Vec<Value>) {
        for part in parts {
            let name = part["$ref"].as_str().and_then(|path| path.rsplit('/').next());
            let mut part = name.and_then(|name| self.parts.get(name).cloned()).unwrap_or(part);
            if let Some(Value::Array(parts)) = part.as_object_mut().and_then(|part| part.remove("allOf")) {
                let mut joined = part.as_object().cloned().unwrap_or_default();
                self.join(&mut joined, parts);
                part = joined.into();
            }
            for (name, member) in part.as_object().cloned().unwrap_or_default() {
                match (into.get_mut(&name), member) {
                    (Some(Value::Object(present)), Value::Object(more)) => present.extend(more),
                    (Some(Value::Array(present)), Value::Array(more)) => present.extend(more),
                    (Some(_), _) => {}
                    (None, member) => drop(into.insert(name, member)),
                }
            }
        }
    }
}
