//! Documents: what programs read. JSON whose first member, `schema`, says what it is, and its JSON Schema.
//!
//! Both come from one type, so that they cannot differ. A number that cannot be given is `null`, and the member
//! beside it that ends in `_why` says the reason.

use std::marker::PhantomData;

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{AllOfBuilder, ObjectBuilder, RefOr, Schema, Type},
};

/// The names of a map's members whose keys are whole numbers.
const WHOLE_NUMBER: &str = "^[0-9]+$";

/// What a command prints for programs, or a route answers.
pub trait Document: Serialize + ToSchema {
    /// Its name, with the number of its form: another one when its meaning changes.
    const SCHEMA: &'static str;

    /// As it is written: its name, then its members.
    fn named(&self) -> impl Serialize + Send
    where
        Self: Sync,
    {
        Written { schema: Self::SCHEMA, document: self }
    }

    /// As text that people can read too.
    ///
    /// # Errors
    /// When a part of it cannot be written as JSON.
    fn json(&self) -> serde_json::Result<String>
    where
        Self: Sync,
    {
        serde_json::to_string_pretty(&self.named())
    }
}

/// Makes a type a [`Document`] of that name.
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

/// The schema of `T` as it is written.
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

/// The JSON Schema of a document; its objects have the members that it names and no others.
#[must_use]
pub fn schema<T: Document>() -> Value {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts = parts.into_iter().map(|(name, part)| (name, json!(part))).collect();
    let mut closing = Closing { parts, used: Map::new() };
    let whole = closing.close(json!(Named::<T>::schema()));
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), T::SCHEMA.into());
    schema.extend(whole.as_object().cloned().unwrap_or_default());
    schema.insert("$defs".to_owned(), closing.used.into());
    schema.into()
}

/// From schemas that refer to an OpenAPI document's parts to one that stands alone.
struct Closing {
    parts: Map<String, Value>,
    /// The parts that something refers to.
    used: Map<String, Value>,
}

impl Closing {
    fn close(&mut self, schema: Value) -> Value {
        let mut members = match schema {
            Value::Object(members) => members,
            Value::Array(items) => return items.into_iter().map(|item| self.close(item)).collect(),
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
                // Its place comes first, so that a part may hold itself.
                self.used.insert(name.clone(), Value::Null);
                let part = self.close(self.parts.get(&name).cloned().unwrap_or_default());
                self.used.insert(name, part);
            }
        }
        // A number that is also read from a text is written as a number.
        if let Some(Value::Array(kinds)) = members.get_mut("type")
            && kinds.iter().any(|kind| kind == "integer" || kind == "number")
        {
            kinds.retain(|kind| kind != "string");
        }
        // A member's name is a string, whatever the map's keys are in the program.
        if let Some(names) = members.get_mut("propertyNames")
            && names["type"] == "integer"
        {
            *names = json!({ "type": "string", "pattern": WHOLE_NUMBER });
        }
        if members.contains_key("properties") && !members.contains_key("additionalProperties") {
            members.insert("additionalProperties".to_owned(), false.into());
        }
        members.into_iter().map(|(name, member)| (name, self.close(member))).collect()
    }

    /// Members of several types that are written as one object.
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
                    (Some(Value::Object(there)), Value::Object(more)) => there.extend(more),
                    (Some(Value::Array(there)), Value::Array(more)) => there.extend(more),
                    (Some(_), _) => {}
                    (None, member) => drop(into.insert(name, member)),
                }
            }
        }
    }
}
