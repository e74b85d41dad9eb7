//! A setting on a page: its value as the server writes it, and the control that changes it.

use std::borrow::Cow;

/// One setting. With rights to change it, it is shown as an input; without them, as text.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in a body.
    pub name: &'static str,
    /// What it is, in the words of the page.
    pub label: &'static str,
    /// What it is set to, as a body takes it.
    pub value: String,
    /// The control that changes it.
    pub control: Control,
    /// Whether it can be changed while a run is in progress.
    pub while_running: bool,
}

/// The control of a setting.
#[derive(Clone, Debug)]
pub enum Control {
    /// A whole number within a range, with a unit that may be empty.
    Number {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// The unit.
        unit: &'static str,
    },
    /// A choice of these.
    Choice(Vec<&'static str>),
    /// A number and a choice of units.
    Measure(Vec<Unit>),
}

/// A unit that a number is set with.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// What follows the number.
    pub suffix: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// The least and the most; none where the suffix stands alone, without a number.
    pub range: Option<(f64, f64)>,
}

impl Field {
    /// Its value for people.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.control {
            Control::Number { unit: "", .. } | Control::Choice(_) => Cow::Borrowed(&self.value),
            Control::Number { unit, .. } => format!("{} {unit}", self.value).into(),
            Control::Measure(_) => match self.unit() {
                Some(Unit { label, range: None, .. }) => (*label).into(),
                Some(Unit { label, .. }) => format!("{} {label}", self.number()).into(),
                None => Cow::Borrowed(&self.value),
            },
        }
    }

    /// The number of a value with a unit; empty where the unit stands alone.
    pub fn number(&self) -> &str {
        self.unit().and_then(|unit| self.value.strip_suffix(unit.suffix)).unwrap_or_default()
    }

    /// The unit of its value.
    pub fn unit(&self) -> Option<&Unit> {
        let Control::Measure(units) = &self.control else { return None };
        units.iter().find(|unit| self.value.ends_with(unit.suffix))
    }

    /// The least and the most in that unit.
    pub fn range(&self) -> Option<(f64, f64)> {
        self.unit()?.range
    }

    /// Whether its value has this unit.
    pub fn is_in(&self, unit: &Unit) -> bool {
        self.unit().is_some_and(|own| own.suffix == unit.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_with_its_unit() {
        let units = vec![
            Unit { suffix: "/s", label: "jobs a second", range: Some((0.001, 1_000.0)) },
            Unit { suffix: "ms", label: "ms between jobs", range: Some((1.0, 3_600_000.0)) },
            Unit { suffix: "generator", label: "bursts and pauses", range: None },
        ];
        let field = |value: &str, control| Field {
            name: "rate",
            label: "Load",
            value: value.to_owned(),
            control,
            while_running: true,
        };
        for (value, number, text) in [
            ("4/s", "4", "4 jobs a second"),
            ("250ms", "250", "250 ms between jobs"),
            ("generator", "", "bursts and pauses"),
        ] {
            let field = field(value, Control::Measure(units.clone()));
            assert_eq!((field.number(), &*field.text()), (number, text));
        }
        assert_eq!(field("100", Control::Number { min: 1, max: 200, unit: "ms" }).text(), "100 ms");
        assert_eq!(field("fair", Control::Choice(vec!["fair"])).text(), "fair");
    }
}
