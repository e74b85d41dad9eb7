//! The JSON form of bounded values, and its OpenAPI schema.

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

/// Deserializes a value with the parser that flags use: from a string, or from a number's digits.
///
/// # Errors
/// The error of the value's `FromStr`.
pub fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = Invalid> + Allowed,
{
    deserializer.deserialize_any(StringOrNumber(PhantomData))
}

struct StringOrNumber<T>(PhantomData<T>);

impl<T: FromStr<Err = Invalid> + Allowed> Visitor<'_> for StringOrNumber<T> {
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
        // `{:?}` prints 2.0 as "2.0", which a whole number's parser refuses, as it does in a flag.
        self.visit_str(&format!("{number:?}"))
    }
}

/// The schema of a value that is written as `kind` and can also be read from a string. `choices`, if not empty,
/// lists the allowed values.
#[must_use]
pub fn schema(kind: Type, allowed: &str, choices: &[&str]) -> RefOr<Schema> {
    let kind = if kind == Type::String { kind.into() } else { SchemaType::Array(vec![kind, Type::String]) };
    let choices = (!choices.is_empty()).then_some(choices.iter().copied());
    ObjectBuilder::new().schema_type(kind).enum_values(choices).description(Some(allowed)).into()
}

/// Implements serialization and the schema for a type: as an `Integer` or a `Number` that the named method
/// returns, or as a `String`. Either form can be read from a string.
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
