//! Whether a figure is good, bad or neither.

use crate::labelled;

labelled! {
    /// Whether a figure is good, bad or neither.
    pub enum Mood {
        /// Neither.
        Plain = "",
        /// Good.
        Good = "good",
        /// Bad.
        Bad = "bad",
    }
}

impl serde::Serialize for Mood {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}
