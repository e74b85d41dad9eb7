//! A figure of a page: its label, its value as text, and how full it is if it has a capacity.

use serde::Serialize;

use super::mood::Mood;
use super::reading::{count, percent};

/// One figure. The page's script finds it by its name, which may stand in several places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// The name by which the script finds it.
    #[serde(skip)]
    pub name: &'static str,
    /// The label.
    pub label: String,
    /// The value, with its unit.
    pub value: String,
    /// Whether the value is good, bad or neither.
    pub mood: Mood,
    /// How full it is, if it has a capacity.
    pub level: Option<Level>,
    /// Whether it counts losses: then it has a mark, and is bad unless it is 0.
    #[serde(skip)]
    pub is_loss: bool,
}

/// An amount and its capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Level {
    /// The amount.
    pub value: u64,
    /// The capacity.
    pub max: u64,
}

impl Figure {
    /// A figure with a text as its value.
    pub fn new(name: &'static str, label: impl Into<String>, value: impl ToString) -> Self {
        let (label, value) = (label.into(), value.to_string());
        Self { name, label, value, mood: Mood::Plain, level: None, is_loss: false }
    }

    /// A count.
    pub fn count(name: &'static str, label: impl Into<String>, number: u64) -> Self {
        Self::new(name, label, count(number))
    }

    /// A count of losses.
    pub fn loss(name: &'static str, label: impl Into<String>, number: u64) -> Self {
        let mood = if number > 0 { Mood::Bad } else { Mood::Plain };
        Self { mood, is_loss: true, ..Self::count(name, label, number) }
    }

    /// An amount of a capacity, with a bar; `unit` follows, and may be empty.
    pub fn of(name: &'static str, label: impl Into<String>, value: u64, max: u64, unit: &str) -> Self {
        let text = format!("{} of {} {unit}", count(value), count(max));
        // `<meter>` needs a maximum above 0; without a capacity the bar is empty.
        Self { level: Some(Level { value, max: max.max(1) }), ..Self::new(name, label, text.trim_end()) }
    }

    /// Makes the figure bad when its capacity is used up.
    #[must_use]
    pub fn full_is_bad(self) -> Self {
        let is_full = self.level.is_some_and(|level| level.value >= level.max && level.max > 0);
        Self { mood: if is_full { Mood::Bad } else { self.mood }, ..self }
    }

    /// The share that was good; `–` when there is none to show.
    pub fn good(name: &'static str, label: impl Into<String>, share: Option<f64>) -> Self {
        let mood = match share {
            Some(share) if share >= 0.95 => Mood::Good,
            Some(share) if share < 0.5 => Mood::Bad,
            _ => Mood::Plain,
        };
        Self { mood, ..Self::new(name, label, share.map_or_else(|| "–".to_owned(), percent)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_it_is_good_or_bad() {
        assert_eq!(Figure::loss("a", "lost", 0).mood, Mood::Plain);
        assert_eq!(Figure::loss("a", "lost", 1).mood, Mood::Bad);
        assert_eq!(Figure::of("a", "queue", 1_000, 2_000, "jobs").value, "1,000 of 2,000 jobs");
        assert_eq!(Figure::of("a", "queue", 5, 5, "").full_is_bad().mood, Mood::Bad);
        assert_eq!(Figure::of("a", "queue", 0, 0, "").full_is_bad().mood, Mood::Plain);
        for (share, value, mood) in [
            (None, "–", Mood::Plain),
            (Some(0.97), "97.0 %", Mood::Good),
            (Some(0.7), "70.0 %", Mood::Plain),
            (Some(0.1), "10.0 %", Mood::Bad),
        ] {
            let figure = Figure::good("a", "good", share);
            assert_eq!((figure.value.as_str(), figure.mood), (value, mood));
        }
    }
}
