//! How a figure should be felt.

use crate::labelled;

labelled! {
    /// Whether a figure is as it should be.
    pub enum Mood {
        /// Neither.
        Plain = "",
        /// As it should be.
        Good = "good",
        /// Not as it should be.
        Bad = "bad",
    }
}

impl serde::Serialize for Mood {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}
