//! How a value stands in a document: JSON, an OpenAPI schema.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserializer,
    de::{Error, Visitor},
};
use utoipa::openapi::{
    RefOr, Schema,
    schema::{ObjectBuilder, SchemaType, Type},
};

use super::invalid::{Allowed, Invalid};

/// Reads a value from a document as it is read from a flag: a text, or a number by its digits.
///
/// # Errors
/// What the value's `FromStr` refuses, in its words.
pub fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = Invalid> + Allowed,
{
    deserializer.deserialize_any(Written(PhantomData))
}

struct Written<T>(PhantomData<T>);

impl<T: FromStr<Err = Invalid> + Allowed> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::ALLOWED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        // `{:?}` keeps the point of 2.0, which no whole number has in a flag either.
        self.visit_str(&format!("{number:?}"))
    }
}

/// The schema of a value that is written as `kind` and read from text too; of one of `choices` if there are any.
#[must_use]
pub fn schema(kind: Type, allowed: &str, choices: &[&str]) -> RefOr<Schema> {
    let kind = if kind == Type::String { kind.into() } else { SchemaType::Array(vec![kind, Type::String]) };
    let choices = (!choices.is_empty()).then_some(choices.iter().copied());
    ObjectBuilder::new().schema_type(kind).enum_values(choices).description(Some(allowed)).into()
}

/// Gives a type its form in documents: `Integer` or `Number`, by the method that returns the number, or
/// `String`, its text. All of them are read from a text too.
#[macro_export]
macro_rules! documented {
    ($name:ident as String $(, one of $choices:expr)?) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        $crate::documented!(@read $name, String, $crate::documented!(@choices $($choices)?));
    };
    ($name:ident as $kind:ident by $number:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(&self.$number(), serializer)
            }
        }
        $crate::documented!(@read $name, $kind, &[]);
    };
    (@choices) => { &[] };
    (@choices $choices:expr) => { $choices };
    (@read $name:ident, $kind:ident, $choices:expr) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::deserialize(deserializer)
            }
        }
        $crate::documented!(@schema $name, $kind, $choices);
    };
    (@schema $name:ident, $kind:ident, $choices:expr) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let allowed = <Self as $crate::config::Allowed>::ALLOWED;
                $crate::config::schema(utoipa::openapi::Type::$kind, allowed, $choices)
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}
