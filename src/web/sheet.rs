//! Balance sheets: the terms of a system's work, and the equation that they satisfy.
//!
//! An equation such as `started = completed + cancelled + in_flight` is data. The server shows it beside the
//! terms, so whoever reads a sheet can check it without knowing the system.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One balance sheet of a system.
pub struct Sheet {
    /// Its name, as `lab audit NAME` and the keys of `GET /audit` have it.
    pub name: &'static str,
    equation: &'static str,
    look: Box<dyn Fn() -> Value + Send + Sync>,
    /// Adds the schema of its terms to the OpenAPI document.
    pub(super) schema: fn(&mut Vec<Schema>),
}

type Schema = (String, utoipa::openapi::RefOr<utoipa::openapi::Schema>);

impl Sheet {
    /// A sheet whose terms are the members of what `look` returns. Members that are objects of objects are parts,
    /// to which the equation applies too.
    pub fn new<T: Serialize + ToSchema>(
        name: &'static str,
        equation: &'static str,
        look: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        let schema = |schemas: &mut Vec<Schema>| {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        };
        let look = move || serde_json::to_value(look()).unwrap_or_default();
        Self { name, equation, look: Box::new(look), schema }
    }

    /// The terms now, with the equation and whether it holds.
    pub fn document(&self) -> Value {
        let mut document = (self.look)();
        let balances = balances(self.equation, &document);
        if let Some(members) = document.as_object_mut() {
            members.insert("equation".to_owned(), self.equation.into());
            members.insert("balances".to_owned(), balances.into());
        }
        document
    }
}

impl std::fmt::Debug for Sheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sheet")
            .field("name", &self.name)
            .field("equation", &self.equation)
            .finish_non_exhaustive()
    }
}

/// Whether `sheet` and each of its parts satisfy `equation`. A term that is missing or no whole number does not.
pub fn balances(equation: &str, sheet: &Value) -> bool {
    let whole = holds(equation, sheet) == Some(true);
    whole && parts(sheet).all(|(_, part)| holds(equation, part) == Some(true))
}

/// The parts of a sheet, by name.
pub fn parts(sheet: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let is_parts = |members: &&Map<String, Value>| members.values().all(Value::is_object);
    sheet
        .as_object()
        .into_iter()
        .flat_map(Map::values)
        .filter_map(Value::as_object)
        .filter(is_parts)
        .flatten()
}

fn holds(equation: &str, terms: &Value) -> Option<bool> {
    let (left, right) = equation.split_once('=')?;
    let term = |name: &str| terms.get(name.trim())?.as_u64();
    let sum = right.split('+').map(term).try_fold(0_u64, |sum, term| sum.checked_add(term?))?;
    Some(term(left)? == sum)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EQUATION: &str = "started = completed + failed + in_flight";

    #[test]
    fn a_sheet_balances_when_it_and_all_its_parts_do() {
        let good = json!({"started": 5, "completed": 3, "failed": 1, "in_flight": 1});
        let bad = json!({"started": 5, "completed": 3, "failed": 1, "in_flight": 0});
        let with = |parts: Value| {
            let mut sheet = good.clone();
            sheet["by_endpoint"] = parts;
            sheet
        };
        for (sheet, expected) in [
            (good.clone(), true),
            (bad.clone(), false),
            (with(json!({"/a": good})), true),
            (with(json!({"/a": good, "/b": bad})), false),
            (with(json!({"reason": 3})), true),
            (json!({"started": 5}), false),
            (json!({"started": 5, "completed": "3", "failed": 1, "in_flight": 1}), false),
            (json!({"started": 0, "completed": u64::MAX, "failed": 1, "in_flight": 0}), false),
            (json!(null), false),
        ] {
            assert_eq!(balances(EQUATION, &sheet), expected, "{sheet}");
        }
    }
}
