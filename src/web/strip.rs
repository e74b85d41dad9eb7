//! Small charts side by side with one time axis: lines over the last minutes, and nothing else.
//!
//! A [`Strip`] fills its picture from edge to edge, so whoever holds its points finds any of them by its place: a reading
//! line needs no more than the width and the number of points. Names, units and the ends of the axes are the page's, in
//! text that a browser can wrap and a reader can select. Its colours are set by the stylesheet, by what a line means.

use std::fmt::Write as _;

use plotters::drawing::{DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::PathElement;
use plotters::prelude::SVGBackend;
use plotters::style::{Color as _, RGBColor, ShapeStyle};

use super::chart::escape;
use crate::choice;

/// The picture's own units; a page stretches it to any size.
const SIZE: (u32, u32) = (600, 120);

choice! {
    /// What a line means. Each has a colour that only a stylesheet sees, which puts another in its place.
    pub enum Role {
        /// What was asked of the system.
        Offered = "offered",
        /// What it did well.
        Good = "good",
        /// A figure that is neither good nor bad.
        Plain = "plain",
        /// A second figure of the same kind.
        Second = "second",
        /// A third one.
        Third = "third",
        /// What was lost.
        Bad = "bad",
        /// What theory says.
        Theory = "theory",
        /// A level to compare with.
        Level = "level",
    }
}

impl Role {
    const fn colour(self) -> RGBColor {
        RGBColor(1, 1, self as u8 + 1)
    }
}

/// One line: a value at each place from the left edge to the right one; where there is none it has a gap.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it means.
    pub role: Role,
    /// From left to right.
    pub values: Vec<Option<f64>>,
}

/// A picture of lines over the same places.
#[derive(Clone, Debug)]
pub struct Strip {
    /// Its accessible name: what it shows, and for which column.
    pub title: String,
    /// The value at the upper edge; the lower one is 0.
    pub top: f64,
    /// In the order in which they are drawn.
    pub lines: Vec<Line>,
}

impl Strip {
    /// The picture as an `<svg>` element, stretched to its place by the page.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut drawn = String::new();
        let result = self.draw(&mut drawn);
        debug_assert!(result.is_ok(), "{result:?}");
        let body = match (result, drawn.split_once(">\n")) {
            (Ok(()), Some((_, body))) => body.to_owned(),
            _ => "</svg>\n".to_owned(),
        };
        let (width, height) = SIZE;
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<svg class=\"strip\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">",
            escape(&self.title)
        );
        svg.push_str(&classed(&body));
        svg
    }

    fn draw(&self, into: &mut String) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let root = SVGBackend::with_string(into, SIZE).into_drawing_area();
        for line in &self.lines {
            let style: ShapeStyle = line.role.colour().stroke_width(2);
            let places: Vec<Option<(i32, i32)>> = self.places(line).collect();
            for run in places.split(Option::is_none).filter(|run| !run.is_empty()) {
                let mut run: Vec<(i32, i32)> = run.iter().flatten().copied().collect();
                if let [(x, y)] = run[..] {
                    // One point alone would not be seen.
                    run = vec![(x - 1, y), (x + 1, y)];
                }
                root.draw(&PathElement::new(run, style))?;
            }
        }
        root.present()
    }

    fn places<'a>(&'a self, line: &'a Line) -> impl Iterator<Item = Option<(i32, i32)>> + 'a {
        let (width, height) = (f64::from(SIZE.0), f64::from(SIZE.1));
        let step = width / line.values.len().saturating_sub(1).max(1) as f64;
        let top = if self.top > 0.0 { self.top } else { 1.0 };
        line.values.iter().enumerate().map(move |(place, value)| {
            let value = value.filter(|value| value.is_finite())?;
            // One unit from either edge, so that a line on it is seen whole.
            let share = (value / top).clamp(0.0, 1.0);
            Some((
                (place as f64 * step).round() as i32,
                (height - 1.0 - share * (height - 2.0)).round() as i32,
            ))
        })
    }
}

/// A round number that is not below the highest of `values`, for the upper edge of strips that stand side by side.
#[must_use]
pub fn round_top(values: impl IntoIterator<Item = f64>) -> f64 {
    let highest = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
    if highest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(highest.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|top| *top >= highest * 0.999_999).unwrap_or(power * 10.0)
}

/// Puts each line's class where its colour stands.
fn classed(body: &str) -> String {
    Role::ALL.into_iter().fold(body.to_owned(), |body, role| {
        let RGBColor(r, g, b) = role.colour();
        body.replace(&format!("stroke=\"#{r:02X}{g:02X}{b:02X}\""), &format!("class=\"line {role}\""))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strip(role: Role, values: Vec<Option<f64>>) -> Strip {
        Strip { title: "p95 of \"a\" & <b>".to_owned(), top: 10.0, lines: vec![Line { role, values }] }
    }

    #[test]
    fn a_line_goes_from_edge_to_edge_has_gaps_and_says_what_it_means() {
        let svg =
            strip(Role::Bad, vec![Some(0.0), Some(10.0), None, Some(5.0), Some(f64::NAN), Some(5.0)]).svg();
        assert_eq!(svg.matches("<polyline").count(), 3, "{svg}");
        assert_eq!(svg.matches("class=\"line bad\"").count(), 3, "{svg}");
        assert!(svg.contains("0,119 120,1"), "{svg}");
        assert!(svg.contains("aria-label=\"p95 of &quot;a&quot; &amp; &lt;b&gt;\""), "{svg}");
        assert!(!svg.contains("#0101") && !svg.contains("style="), "{svg}");
    }

    #[test]
    fn tops_are_numbers_that_read_at_once() {
        for (highest, top) in
            [(0.0, 1.0), (1.0, 1.0), (1.01, 1.5), (29.0, 30.0), (30.0, 30.0), (0.07, 0.08), (950.0, 1000.0)]
        {
            assert!(
                (round_top([highest, f64::NAN]) - top).abs() < 1e-9,
                "{highest}: {}",
                round_top([highest])
            );
        }
    }

    proptest! {
        #[test]
        fn any_values_are_drawn(values in prop::collection::vec(prop::option::of(any::<f64>()), 0..50), top in any::<f64>()) {
            let strip = Strip { top, ..strip(Role::Plain, values.clone()) };
            prop_assert!(strip.svg().ends_with("</svg>\n"));
            let top = round_top(values.iter().flatten().copied());
            prop_assert!(top > 0.0 && values.iter().flatten().all(|value| !value.is_finite() || *value <= top * 1.000_01));
        }
    }
}
