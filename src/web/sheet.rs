//! Balance sheets: counts of a system's work, and the equation that they must satisfy.
//!
//! An equation such as `started = completed + cancelled + in_flight` is data. The server sends it with the counts,
//! so a client can check it without knowing the system.

use std::{borrow::Cow, collections::BTreeMap};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{AllOfBuilder, RefOr, Schema},
};

use super::RouteDoc;
use crate::{document, output::Document};

/// One balance sheet of a system.
pub struct Sheet {
    /// Its name in `lab audit NAME` and in `GET /audit`.
    pub name: &'static str,
    equation: &'static str,
    look: Box<dyn Fn() -> BoxFuture<'static, Value> + Send + Sync>,
    /// Adds this sheet's response to its route.
    answer: fn(RouteDoc) -> RouteDoc,
}

/// A balance sheet as a response.
#[derive(Debug, Serialize)]
pub struct Balance<T> {
    #[serde(flatten)]
    terms: T,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Debug, Serialize, ToSchema)]
struct Verdict {
    /// The equation that the terms, and those of each part, must satisfy.
    equation: &'static str,
    /// Whether they satisfy it.
    balances: bool,
}

impl<T: Serialize> Balance<T> {
    /// Terms beside the equation that they must satisfy.
    pub fn of(terms: T, equation: &'static str) -> Self {
        let balances = serde_json::to_value(&terms).is_ok_and(|terms| balances(equation, &terms));
        Self { terms, verdict: Verdict { equation, balances } }
    }
}

impl<T: ToSchema> PartialSchema for Balance<T> {
    fn schema() -> RefOr<Schema> {
        AllOfBuilder::new().item(T::schema()).item(Verdict::schema()).into()
    }
}

impl<T: ToSchema> ToSchema for Balance<T> {
    fn name() -> Cow<'static, str> {
        // Not the name of its terms, because other documents contain those too.
        format!("{}Sheet", T::name()).into()
    }
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

impl<T: Document> Document for Balance<T> {
    const SCHEMA: &'static str = T::SCHEMA;
}

/// The balance sheets of all systems of a server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AllSheets)]
pub struct Audit {
    /// The sheets by name; each is a document.
    sheets: BTreeMap<&'static str, Value>,
}

document!(Audit as "lab/audit/1");

impl Audit {
    /// The current sheets.
    pub async fn of(sheets: &[Sheet]) -> Self {
        let documents = join_all(sheets.iter().map(async |sheet| (sheet.name, sheet.document().await)));
        Self { sheets: documents.await.into_iter().collect() }
    }
}

impl Sheet {
    /// A sheet whose terms are the members of the value that `look` returns. A member that is an object of objects
    /// holds parts, to each of which the equation applies too.
    pub fn new<T: Document + Send + Sync + 'static>(
        name: &'static str,
        equation: &'static str,
        look: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        Self::fetched(name, equation, move || std::future::ready(look()))
    }

    /// The same for terms that take a moment to read.
    pub fn fetched<T: Document + Send + Sync, F: Future<Output = T> + Send + 'static>(
        name: &'static str,
        equation: &'static str,
        look: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        let look = move || {
            let terms = look();
            let document = async move {
                serde_json::to_value(Balance::of(terms.await, equation).named()).unwrap_or_default()
            };
            document.boxed()
        };
        let answer = |route: RouteDoc| route.answer::<Balance<T>>(200, "The current terms");
        Self { name, equation, look: Box::new(look), answer }
    }

    /// The document with the current terms, the equation and whether it holds.
    pub async fn document(&self) -> Value {
        (self.look)().await
    }

    /// Documents the route of this sheet.
    pub fn documented(&self, route: RouteDoc) -> RouteDoc {
        (self.answer)(route)
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

/// Whether `sheet` and each of its parts satisfy `equation`. All terms must be present and whole numbers.
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
    fn a_sheet_balances_if_it_and_all_its_parts_do() {
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
