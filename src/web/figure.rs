//! A figure of a page: what it is, its value as it reads, and how far it fills what has an end.

use serde::Serialize;

use super::mood::Mood;
use super::reading::{count, percent};

/// One figure. Its name is how the page's script finds it; the same name may stand in several places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// How the script finds it.
    #[serde(skip)]
    pub name: &'static str,
    /// What it is.
    pub label: String,
    /// What it is now, with its unit.
    pub value: String,
    /// How it should be felt.
    pub mood: Mood,
    /// How full it is, where it has an end.
    pub level: Option<Level>,
    /// Whether it counts what was lost: it has a mark then, and is bad unless it is 0.
    #[serde(skip)]
    pub is_loss: bool,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Level {
    /// How many.
    pub value: u64,
    /// Of how many.
    pub max: u64,
}

impl Figure {
    /// The figure `name`.
    pub fn new(name: &'static str, label: impl Into<String>, value: impl ToString) -> Self {
        let (label, value) = (label.into(), value.to_string());
        Self { name, label, value, mood: Mood::Plain, level: None, is_loss: false }
    }

    /// How many there are.
    pub fn count(name: &'static str, label: impl Into<String>, number: u64) -> Self {
        Self::new(name, label, count(number))
    }

    /// How many were lost.
    pub fn loss(name: &'static str, label: impl Into<String>, number: u64) -> Self {
        let mood = if number > 0 { Mood::Bad } else { Mood::Plain };
        Self { mood, is_loss: true, ..Self::count(name, label, number) }
    }

    /// So many of so many, with a bar; `unit` follows, and may be empty.
    pub fn of(name: &'static str, label: impl Into<String>, value: u64, max: u64, unit: &str) -> Self {
        let text = format!("{} of {} {unit}", count(value), count(max));
        // A bar of nothing is empty.
        Self { level: Some(Level { value, max: max.max(1) }), ..Self::new(name, label, text.trim_end()) }
    }

    /// The same, where it is bad to have none left.
    #[must_use]
    pub fn full_is_bad(self) -> Self {
        let is_full = self.level.is_some_and(|level| level.value >= level.max && level.max > 0);
        Self { mood: if is_full { Mood::Bad } else { self.mood }, ..self }
    }

    /// The share of a whole that was good, `–` of nothing.
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
    fn a_figure_says_how_it_should_be_felt() {
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
