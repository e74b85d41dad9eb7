//! Strips as a page's script reads them: rows and columns of pictures, with the points that they were drawn from.
//!
//! The script draws nothing: it puts the pictures where they belong, and reads the points at one line over all of them.
//! Labels and units are part of the document too, so no page needs a script of its own for its charts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::strip::Role;
use crate::choice;

choice! {
    /// How the values of a line are written.
    pub enum Reads {
        /// A whole number.
        Count = "count",
        /// A rate a second.
        PerSecond = "per_second",
        /// A number that need not be whole.
        Mean = "mean",
        /// Milliseconds, in the unit that fits.
        Time = "time",
    }
}

/// A row of strips, on the same axis.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChartRow {
    /// Its name.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The unit of its axis.
    pub unit: &'static str,
    /// The value at the upper edge; the lower one is 0.
    pub top: f64,
    /// The lines that are read at a place.
    pub lines: Vec<ChartLine>,
}

/// A line of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChartLine {
    /// The name of its points.
    pub name: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// What it means, and so how it is drawn.
    pub role: Role,
    /// How its values are written.
    pub reads: Reads,
}

/// The strips of one column.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChartColumn {
    /// Whose it is: a path of this server.
    pub path: &'static str,
    /// The values of each line, from the left edge to the right one; where there is none it is not known, or there was
    /// nothing.
    pub points: BTreeMap<&'static str, Vec<Option<f64>>>,
    /// The strips as SVG, by row.
    pub strips: BTreeMap<&'static str, String>,
}
