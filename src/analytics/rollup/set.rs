//! Sets of dimensions by which rollups are kept.

use std::{fmt, str::FromStr, sync::Arc};

use super::{
    super::event::{Event, KEY_LIMIT_BYTES},
    values::{DIMENSIONS_LIMIT, Value, Values},
};
use crate::config::{Allowed, Invalid};

/// What events are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The name of the event: `name`.
    Name,
    /// A prop, by its key, of letters, digits, `.`, `_` and `-`. One called `name` cannot be a dimension.
    Prop(Box<str>),
}

impl Dimension {
    /// As it is written: `name`, or the key of the prop.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Name => "name",
            Self::Prop(key) => key,
        }
    }

    fn value(&self, event: &Event) -> Value {
        match self {
            Self::Name => Value::text(event.name.as_str()),
            Self::Prop(key) => {
                event.props.get(key).map_or(Value::Absent, |value| Value::text(value.as_text()))
            }
        }
    }
}

impl Allowed for Dimension {
    const ALLOWED: &'static str = "name, or the key of a prop: 1 to 64 letters, digits, `.`, `_` or `-`";
}

impl FromStr for Dimension {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match text {
            "name" => Ok(Self::Name),
            _ if (1..=KEY_LIMIT_BYTES).contains(&text.len()) && text.bytes().all(is_plain) => {
                Ok(Self::Prop(text.into()))
            }
            _ => Err(Invalid::new(text, Self::ALLOWED)),
        }
    }
}

/// What a set is called in keys: its dimensions, such as `name,page`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetName(Arc<str>);

impl SetName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One to three dimensions, of which rollups keep each combination of values.
///
/// `name,page` and `page,name` are the same set: the name comes first, then the props by their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupSet {
    name: SetName,
    dimensions: Vec<Dimension>,
}

impl RollupSet {
    /// The sets that are kept unless others are asked for: by name; by name with page, referrer, country, browser, os.
    pub fn defaults() -> Vec<Self> {
        let with = |prop: &str| Self::of(vec![Dimension::Name, Dimension::Prop(prop.into())]);
        let with_props = ["page", "referrer", "country", "browser", "os"].map(with);
        [Self::of(vec![Dimension::Name])].into_iter().chain(with_props).collect()
    }

    fn of(mut dimensions: Vec<Dimension>) -> Self {
        dimensions.sort();
        let names: Vec<&str> = dimensions.iter().map(Dimension::as_str).collect();
        Self { name: SetName(names.join(",").into()), dimensions }
    }

    /// What it is called in keys.
    pub const fn name(&self) -> &SetName {
        &self.name
    }

    /// Its dimensions, in the order of the values of its keys.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// Whether a query by these dimensions can be answered from it.
    pub fn covers<'a>(&self, dimensions: impl IntoIterator<Item = &'a Dimension>) -> bool {
        dimensions.into_iter().all(|dimension| self.dimensions.contains(dimension))
    }

    /// The values of an event.
    pub fn values(&self, event: &Event) -> Values {
        Values::new(self.dimensions.iter().map(|dimension| dimension.value(event)))
    }
}

impl Allowed for RollupSet {
    const ALLOWED: &'static str = "1 to 3 different dimensions with commas between them, such as name,page";
}

impl FromStr for RollupSet {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let dimensions: Vec<Dimension> =
            text.split(',').map(|dimension| dimension.trim().parse()).collect::<Result<_, _>>()?;
        let set = Self::of(dimensions);
        let has_repeats = !set.dimensions.is_sorted_by(|before, after| before < after);
        if has_repeats || set.dimensions.len() > DIMENSIONS_LIMIT {
            return Err(Invalid::new(text, Self::ALLOWED));
        }
        Ok(set)
    }
}

impl fmt::Display for RollupSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_str())
    }
}

crate::documented!(RollupSet as String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_name() {
        for (text, name) in
            [("name", "name"), ("page, name", "name,page"), ("os,name,browser", "name,browser,os")]
        {
            let set: RollupSet = text.parse().unwrap();
            assert_eq!((set.to_string(), set.name().as_str()), (name.to_owned(), name));
            assert_eq!(name.parse(), Ok(set));
        }
        for bad in ["", ",", "name,", "name,name", "a,b,c,d", "a b", "a/b", &"k".repeat(65)] {
            assert!(bad.parse::<RollupSet>().is_err(), "{bad}");
        }
        let names: Vec<String> = RollupSet::defaults().iter().map(RollupSet::to_string).collect();
        assert_eq!(names, ["name", "name,page", "name,referrer", "name,country", "name,browser", "name,os"]);
    }

    #[test]
    fn a_set_covers_its_dimensions() {
        let set: RollupSet = "name,page".parse().unwrap();
        let dimensions = |text: &str| text.parse::<RollupSet>().unwrap().dimensions;
        for (asked, covered) in
            [("name", true), ("page", true), ("page,name", true), ("os", false), ("name,os", false)]
        {
            assert_eq!(set.covers(&dimensions(asked)), covered, "{asked}");
        }
        assert!(set.covers(&[]));
    }
}
