//! The HTML report that commands write with `--html`.
//!
//! It is one self-contained file, with inline styles, charts as SVG and no script. It can be opened from disk, mailed
//! and printed, and it makes no network requests.

use askama::Template;

use super::LAB_CSS;
use super::chart::Chart;
pub use super::mood::Mood;

/// A report: key figures, then sections.
#[derive(Clone, Debug, Template)]
#[template(path = "report.html")]
pub struct HtmlReport {
    /// The title.
    pub title: String,
    /// The result in a sentence or two.
    pub lead: String,
    /// The most important figures.
    pub cards: Vec<Card>,
    /// The details.
    pub sections: Vec<Section>,
    css: &'static str,
}

/// One key figure.
#[derive(Clone, Debug)]
pub struct Card {
    /// Its label.
    pub label: String,
    /// The figure, with its unit.
    pub value: String,
    /// Whether it is good or bad.
    pub mood: Mood,
}

/// A heading and its content.
#[derive(Clone, Debug)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// The content, in order.
    pub blocks: Vec<Block>,
}

/// One part of a section.
#[derive(Clone, Debug)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Preformatted lines, such as a command.
    Code(String),
    /// A chart.
    Chart(Chart),
    /// A table.
    Table(Table),
}

/// A table. The first column holds the rows' names, the others hold figures.
#[derive(Clone, Debug)]
pub struct Table {
    /// The caption.
    pub caption: String,
    /// The names of the columns.
    pub head: Vec<String>,
    /// The cells, row by row.
    pub rows: Vec<Vec<String>>,
}

impl HtmlReport {
    /// A report without figures and sections.
    pub fn new(title: impl Into<String>, lead: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            lead: lead.into(),
            cards: Vec::new(),
            sections: Vec::new(),
            css: LAB_CSS.body(),
        }
    }

    /// The file's content.
    ///
    /// # Errors
    /// When the template cannot be rendered.
    pub fn html(&self) -> Result<String, askama::Error> {
        self.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::chart::{Mark, Series, plain};

    #[test]
    fn a_report_is_one_self_contained_file() {
        let mut report = HtmlReport::new("Load <x>", "It held & more.");
        report.cards.push(Card { label: "good".to_owned(), value: "99 %".to_owned(), mood: Mood::Good });
        let chart = Chart {
            title: "p95 over time".to_owned(),
            x_label: "s".to_owned(),
            y_label: "ms".to_owned(),
            x_text: plain,
            series: vec![Series {
                name: "p95".to_owned(),
                mark: Mark::Line,
                points: vec![(0.0, 1.0), (1.0, 2.0)],
            }],
            threshold: None,
        };
        let cells = |row: &[&str]| row.iter().map(ToString::to_string).collect::<Vec<_>>();
        let table = Table {
            caption: "Latency".to_owned(),
            head: cells(&["", "p50"]),
            rows: vec![cells(&["all <offered>", "3 ms"])],
        };
        let blocks = vec![
            Block::Text("words".to_owned()),
            Block::Code("lab load".to_owned()),
            Block::Chart(chart),
            Block::Table(table),
        ];
        report.sections.push(Section { title: "Latency".to_owned(), blocks });
        let html = report.html().unwrap();
        for part in [
            "<title>Load &#60;x&#62; · lab</title>",
            "It held &#38; more.",
            "<svg class=\"chart\"",
            "<th scope=\"row\">all &#60;offered&#62;</th>",
            "prefers-color-scheme: dark",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        for foreign in ["<script", "src=", "<link", "@import", "url("] {
            assert!(!html.contains(foreign), "{foreign}: {html}");
        }
        assert_eq!(html.matches("http").count(), 1, "the SVG's namespace alone: {html}");
    }
}
