//! Charts as SVG, drawn on the server: no script, readable in light and dark, scaling with the page.
//!
//! A [`Chart`] is data; [`Chart::svg`] draws it. Text and axes take the page's own text colour
//! (`currentColor`); series have fixed colours of a middle brightness, at least 3:1 against white and
//! against near black (WCAG 2.2, 1.4.11), and are named in a legend and in the picture's description.
//! The picture has a `viewBox` and no size of its own, so that it takes the width that it is given.

use std::fmt::Write as _;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::{Cartesian2d, SVGBackend};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, IntoFont as _, RGBAColor, RGBColor, ShapeStyle, TextStyle};

/// The picture's own units; a page scales it, on a phone to about three quarters.
const SIZE: (u32, u32) = (480, 300);
const TEXT_SIZE: i32 = 16;
/// What a letter of that size takes, roughly: there is no font here to ask.
const LETTER_WIDTH: i32 = 7;
/// A line of the legend, and what an entry takes beside its letters: the mark before it, the space after.
const LEGEND_LINE: i32 = 20;
const LEGEND_MARK: i32 = 24;
const LEGEND_GAP: i32 = 14;
/// A colour that no series has, replaced by the page's text colour.
const INK: RGBColor = RGBColor(1, 1, 1);
const INK_TEXT: &str = "#010101";
/// Series take these in turn.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x83, 0xc4),
    RGBColor(0xc9, 0x5a, 0x1b),
    RGBColor(0x2f, 0x92, 0x5c),
    RGBColor(0xa0, 0x62, 0xc2),
    RGBColor(0xb8, 0x7d, 0x00),
    RGBColor(0xd0, 0x4d, 0x80),
];

type Backend<'a> = SVGBackend<'a>;
type Failure = DrawingAreaErrorKind<std::io::Error>;
type Plane<'a, 'b> = ChartContext<'a, Backend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// How the points of a series are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Straight lines from point to point.
    Line,
    /// Each value holds until the next point.
    Step,
    /// Dots, not joined.
    Dot,
}

/// One series of points.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// How points are joined.
    pub mark: Mark,
    /// In the order of x; a point that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
}

/// A level to compare with, drawn as a dashed line across.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Its name in the legend.
    pub name: String,
    /// Where on the y axis.
    pub y: f64,
}

/// A picture of some series over a common plane.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows; the accessible name of the picture.
    pub title: String,
    /// The x axis, with its unit.
    pub x_label: String,
    /// The y axis, with its unit; it starts at 0 unless a value is below.
    pub y_label: String,
    /// How a number on the x axis reads; [`plain`] will do.
    pub x_text: fn(f64) -> String,
    /// What is drawn, in the order of the legend.
    pub series: Vec<Series>,
    /// A level to compare with.
    pub threshold: Option<Threshold>,
}

/// A number without needless digits: `0.25`, `1500`.
#[must_use]
pub fn plain(number: f64) -> String {
    let rounded = (number * 1e6).round() / 1e6;
    // Minus zero is zero.
    format!("{}", rounded + 0.0)
}

impl Chart {
    /// The picture as an `<svg>` element, to stand in a page or a file. What cannot be drawn (no
    /// finite point) is a picture that says so. Points beyond finite numbers are left out.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut drawn = String::new();
        let result = self.draw(&mut drawn);
        debug_assert!(result.is_ok(), "{result:?}");
        let body = match (result, drawn.split_once(">\n")) {
            (Ok(()), Some((_, body))) => body.replace(INK_TEXT, "currentColor"),
            _ => "</svg>\n".to_owned(),
        };
        let (width, height) = SIZE;
        format!(
            "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             xmlns=\"http://www.w3.org/2000/svg\">\n<title>{}</title>\n<desc>{}</desc>\n{body}",
            escape(&self.title),
            escape(&self.description()),
        )
    }

    fn finite(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let points = self.series.iter().flat_map(|series| series.points.iter().copied());
        points.filter(|(x, y)| x.is_finite() && y.is_finite())
    }

    /// For those who do not see the picture: every series with its range.
    fn description(&self) -> String {
        let mut text = format!("{} over {}.", self.y_label, self.x_label);
        for series in &self.series {
            let values = || series.points.iter().map(|point| point.1).filter(|y| y.is_finite());
            let (min, max) =
                (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
            // Writing to a string does not fail.
            let _ = if min <= max {
                write!(text, " {}: {} to {}.", series.name, plain(min), plain(max))
            } else {
                write!(text, " {}: no values.", series.name)
            };
        }
        if let Some(threshold) = &self.threshold {
            let _ = write!(text, " {}: {}.", threshold.name, plain(threshold.y));
        }
        text
    }

    fn draw(&self, into: &mut String) -> Result<(), Failure> {
        let root = Backend::with_string(into, SIZE).into_drawing_area();
        let (entries, height) = self.legend();
        let (legend, plot) = root.split_vertically(height);
        draw_legend(&legend, &entries)?;
        if self.finite().next().is_none() {
            let style = text().pos(Pos::new(HPos::Center, VPos::Center));
            let middle = (SIZE.0 as i32 / 2, SIZE.1 as i32 / 2);
            root.draw(&Text::new("no values", middle, style))?;
            return root.present();
        }
        let (x, y) = self.ranges();
        let mut plane = ChartBuilder::on(&plot)
            .margin(8)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(60)
            .build_cartesian_2d(x, y)?;
        plane
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .bold_line_style(INK.mix(0.15))
            .axis_style(INK.mix(0.5))
            .label_style(text())
            .axis_desc_style(text())
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| (self.x_text)(*x))
            .y_label_formatter(&|y| plain(*y))
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            draw_series(&mut plane, series, *colour)?;
        }
        if let Some(threshold) = self.threshold.as_ref().filter(|threshold| threshold.y.is_finite()) {
            let (start, end) = (plane.x_range().start, plane.x_range().end);
            let dash = (end - start) / 60.0;
            for n in 0..30 {
                let from = start + f64::from(n) * 2.0 * dash;
                plane.plotting_area().draw(&PathElement::new(
                    [(from, threshold.y), (from + dash, threshold.y)],
                    INK.mix(0.8).stroke_width(1),
                ))?;
            }
        }
        root.present()
    }

    /// What the axes span: x as far as the points, y from 0, the threshold in sight.
    fn ranges(&self) -> (std::ops::Range<f64>, std::ops::Range<f64>) {
        let bounds = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let (left, right) = bounds(&mut self.finite().map(|point| point.0));
        let level = self.threshold.iter().map(|threshold| threshold.y).filter(|y| y.is_finite());
        let (low, high) = bounds(&mut self.finite().map(|point| point.1).chain(level).chain([0.0]));
        let right = if right > left { right } else { left + 1.0 };
        let high = if high > low { high + (high - low) * 0.05 } else { low + 1.0 };
        (left..right, low..high)
    }

    /// Where each name of the legend stands, in as many lines as they need; and their height.
    fn legend(&self) -> (Vec<Entry<'_>>, i32) {
        let named = self.series.iter().zip(COLOURS.iter().cycle());
        let named = named.map(|(series, colour)| (&*series.name, colour.to_rgba(), 3));
        let level = self.threshold.iter().map(|threshold| (&*threshold.name, INK.mix(0.8), 1));
        let (mut x, mut y) = (LEGEND_GAP, LEGEND_LINE / 2 + 2);
        let mut entries = Vec::new();
        for (name, colour, width) in named.chain(level) {
            let letters = i32::try_from(name.chars().count()).unwrap_or(i32::MAX);
            let end = x.saturating_add(LEGEND_MARK).saturating_add(letters.saturating_mul(LETTER_WIDTH));
            if end > SIZE.0 as i32 && x > LEGEND_GAP {
                y += LEGEND_LINE;
                entries.push(Entry { at: (LEGEND_GAP, y), name, style: colour.stroke_width(width) });
                x = LEGEND_GAP + (end - x) + LEGEND_GAP;
            } else {
                entries.push(Entry { at: (x, y), name, style: colour.stroke_width(width) });
                x = end.saturating_add(LEGEND_GAP);
            }
        }
        // However many names there are, the picture stays.
        (entries, (y + LEGEND_LINE / 2 + 2).min(SIZE.1 as i32 / 2))
    }
}

/// A name in the legend.
struct Entry<'a> {
    at: (i32, i32),
    name: &'a str,
    style: ShapeStyle,
}

fn draw_legend(area: &DrawingArea<Backend<'_>, Shift>, entries: &[Entry<'_>]) -> Result<(), Failure> {
    for Entry { at: (x, y), name, style } in entries {
        area.draw(&PathElement::new([(*x, *y), (x + LEGEND_MARK - 6, *y)], *style))?;
        let place = text().pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new((*name).to_owned(), (x + LEGEND_MARK, *y), place))?;
    }
    Ok(())
}

fn draw_series(plane: &mut Plane<'_, '_>, series: &Series, colour: RGBColor) -> Result<(), Failure> {
    let line: ShapeStyle = RGBAColor(colour.0, colour.1, colour.2, 1.0).stroke_width(2);
    // A run of one point would be an invisible line.
    let runs = series.points.split(|(x, y)| !x.is_finite() || !y.is_finite()).filter(|run| !run.is_empty());
    for run in runs {
        let dots = |run: &[(f64, f64)]| {
            run.iter().map(|&point| Circle::new(point, 3, colour.filled())).collect::<Vec<_>>()
        };
        match series.mark {
            Mark::Dot => plane.draw_series(dots(run)).map(drop)?,
            _ if run.len() == 1 => plane.draw_series(dots(run)).map(drop)?,
            Mark::Line => plane.draw_series(LineSeries::new(run.iter().copied(), line)).map(drop)?,
            Mark::Step => {
                let corners = run.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
                let end = run.last().copied();
                plane.draw_series(LineSeries::new(corners.chain(end), line)).map(drop)?;
            }
        }
    }
    Ok(())
}

fn text() -> TextStyle<'static> {
    ("sans-serif", TEXT_SIZE).into_font().color(&INK.mix(0.9))
}

/// A text as it stands in an element or between the quotes of an attribute.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let series = |name: &str, mark| Series { name: name.to_owned(), mark, points: points.clone() };
        Chart {
            title: "p95 <live> & more".to_owned(),
            x_label: "seconds".to_owned(),
            y_label: "latency, ms".to_owned(),
            x_text: plain,
            series: vec![series("a", Mark::Line), series("b", Mark::Step), series("c", Mark::Dot)],
            threshold: Some(Threshold { name: "SLO".to_owned(), y: 1500.0 }),
        }
    }

    /// Every opened element is closed.
    fn is_balanced(svg: &str) -> bool {
        let tags = svg.matches('<').count();
        let (closing, alone) = (svg.matches("</").count(), svg.matches("/>").count());
        tags == 2 * closing + alone
    }

    #[test]
    fn a_chart_scales_is_named_and_takes_the_pages_colours() {
        let svg = chart(vec![(0.0, 100.0), (1.0, 900.0), (2.0, 400.0)]).svg();
        let head = svg.lines().next().unwrap();
        assert!(head.contains("viewBox=\"0 0 480 300\"") && head.contains("role=\"img\""), "{head}");
        assert!(!head.contains("width="), "the page decides: {head}");
        assert!(svg.contains("<title>p95 &lt;live&gt; &amp; more</title>"), "{svg}");
        assert!(svg.contains("a: 100 to 900.") && svg.contains("SLO: 1500."), "{svg}");
        for part in ["<polyline", "<circle", "latency, ms", "seconds", "currentColor"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(!svg.contains(INK_TEXT) && !svg.contains("style=") && !svg.contains("<script"), "{svg}");
        assert!(is_balanced(&svg), "{svg}");
    }

    #[test]
    fn a_series_has_a_gap_where_there_is_no_value() {
        let lines = |points| {
            let mut chart = chart(points);
            chart.series.truncate(1);
            // The axes are lines of their own.
            chart.svg().matches("stroke=\"#1F83C4\" stroke-width=\"2\"").count()
        };
        assert_eq!(lines(vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]), 1);
        assert_eq!(lines(vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 4.0), (4.0, 4.0)]), 2);
    }

    #[test]
    fn a_legend_goes_on_in_the_next_line() {
        let mut chart = chart(vec![(0.0, 1.0)]);
        for (n, series) in chart.series.iter_mut().enumerate() {
            series.name = format!("a name of some length {n}");
        }
        let (entries, height) = chart.legend();
        let lines: Vec<i32> = entries.iter().map(|entry| entry.at.1).collect();
        assert_eq!(lines, [12, 12, 32, 32]);
        assert_eq!(height, 44);
        assert!(chart.svg().contains("a name of some length 2"));
    }

    #[test]
    fn nothing_to_draw_says_so() {
        for points in [vec![], vec![(f64::NAN, 1.0)], vec![(1.0, f64::INFINITY)]] {
            let svg = chart(points).svg();
            assert!(svg.contains("no values") && is_balanced(&svg), "{svg}");
        }
    }

    #[test]
    fn colours_stand_out_on_light_and_on_dark() {
        // Relative luminance and contrast as WCAG 2.2 defines them.
        let linear = |channel: u8| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        let luminance = |RGBColor(r, g, b)| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        let (light, dark) = (luminance(RGBColor(0xfb, 0xfa, 0xf7)), luminance(RGBColor(0x15, 0x17, 0x1b)));
        for colour in COLOURS {
            let own = luminance(colour);
            assert!((light + 0.05) / (own + 0.05) >= 3.0, "{colour:?} on light");
            assert!((own + 0.05) / (dark + 0.05) >= 3.0, "{colour:?} on dark");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_points_make_a_whole_picture(points in prop::collection::vec(
            (prop_oneof![-1e12..1e12_f64, Just(f64::NAN), Just(0.0)],
             prop_oneof![-1e12..1e12_f64, Just(f64::INFINITY), Just(0.0)]), 0..40)) {
            prop_assert!(is_balanced(&chart(points).svg()));
        }
    }
}
