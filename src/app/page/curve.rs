//! How long B takes, as a curve: what a lever's value means, beside the times that it is held against.
//!
//! It is drawn from the distribution itself, not from draws: each step is the share of calls whose time lies in it, the
//! difference of the distribution function at its two ends. So a constant is one spike, and two modes are two hills.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::choice;
use crate::document;
use crate::http_lab::Settings;
use crate::latency::{DurationText, milliseconds};
use crate::sim::{Law, Profile};
use crate::web::strip::round_top;

/// Steps from the left edge to the right one.
const STEPS: usize = 120;
/// The picture's own units; a page stretches it to any size.
const SIZE: (usize, usize) = (600, 120);
/// The share of calls that the axis reaches at least.
const REACHED: f64 = 0.99;
/// A time to compare with is on the axis as far as it does not make the curve narrower than one part of so many.
const NARROWEST: f64 = 3.0;

choice! {
    /// A time that B's are held against.
    pub enum Against {
        /// The objective: an answer of 200 within it is good.
        Slo = "slo",
        /// The deadline of `/async-timeout`.
        Deadline = "deadline",
        /// What the objective leaves to B after the longest wait for the limit of `/async-limited`.
        AfterWait = "after_wait",
    }
}

/// How long B takes.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Curve {
    /// The distribution.
    #[schema(value_type = String)]
    pub service_b_latency: Profile,
    /// Its mean.
    pub mean_ms: f64,
    /// Half of the calls take at most so long.
    pub p50_ms: f64,
    /// 95 of a hundred calls take at most so long.
    pub p95_ms: f64,
    /// The time at the right edge; the left one is 0.
    pub top_ms: f64,
    /// The share of calls in each step between the edges, all of the same length; the first has its left end in it.
    pub shares: Vec<f64>,
    /// The share of calls beyond the right edge.
    pub beyond_share: f64,
    /// The times that B's are held against.
    pub against: Vec<Held>,
    /// The same in words.
    pub title: String,
    /// The picture as SVG.
    pub svg: String,
}

document!(Curve as "lab/curve/1");

/// A time that B's are held against.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = CurveAgainst)]
pub struct Held {
    /// Which.
    pub name: Against,
    /// The time.
    pub ms: f64,
    /// The share of calls that take longer.
    pub longer_share: f64,
    /// The same in words.
    pub text: String,
}

/// What B's times are held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) slo: Duration,
    pub(super) deadline: Duration,
    /// Zero: without a bound.
    pub(super) longest_wait: Duration,
}

/// The curve of the setting, drawn again when a setting has changed: samples may be many.
#[derive(Debug, Default)]
pub(super) struct Curves {
    last: Mutex<Option<(Arc<Settings>, Arc<Curve>)>>,
}

impl Curves {
    /// The curve of what is set.
    pub(super) fn of(&self, settings: &Arc<Settings>, slo: Duration) -> Arc<Curve> {
        let mut last = self.last.lock();
        match &*last {
            Some((of, curve)) if Arc::ptr_eq(of, settings) => curve.clone(),
            _ => {
                let curve = Arc::new(Curve::of(&settings.service_b_latency, Times::of(settings, slo)));
                *last = Some((settings.clone(), curve.clone()));
                curve
            }
        }
    }
}

impl Times {
    pub(super) fn of(settings: &Settings, slo: Duration) -> Self {
        let (deadline, longest_wait) = (settings.async_timeout_ms, settings.async_limit_max_wait_ms);
        Self { slo, deadline: deadline.get(), longest_wait: longest_wait.get() }
    }
}

impl Curve {
    /// The curve of `profile`, held against `times`.
    pub(super) fn of(profile: &Profile, times: Times) -> Self {
        let law = Law::of(profile);
        let against = against(&law, times);
        let reached_ms = law.quantile_ms(REACHED);
        let near = against.iter().map(|held| held.ms).filter(|ms| *ms <= reached_ms * NARROWEST);
        // A spike stands inside, not on the edge.
        let top_ms = round_top(near.chain([reached_ms * 1.05]));
        let edge = |step: usize| top_ms * step as f64 / STEPS as f64;
        let shares = (0..STEPS)
            .map(|step| {
                let before = if step == 0 { 0.0 } else { law.share_within(edge(step)) };
                (law.share_within(edge(step + 1)) - before).max(0.0)
            })
            .collect();
        let figures = [law.mean_ms(), law.quantile_ms(0.5), law.quantile_ms(0.95)];
        let [mean, p50, p95] = figures.map(text);
        let mut curve = Self {
            service_b_latency: profile.clone(),
            mean_ms: thousandths(figures[0]),
            p50_ms: thousandths(figures[1]),
            p95_ms: thousandths(figures[2]),
            top_ms,
            shares,
            beyond_share: 1.0 - law.share_within(top_ms),
            against,
            title: format!("B takes {mean} on average, p50 {p50}, p95 {p95}"),
            svg: String::new(),
        };
        curve.svg = curve.draw();
        curve
    }

    /// The time at the right edge.
    pub(super) fn top(&self) -> DurationText {
        text(self.top_ms)
    }

    fn draw(&self) -> String {
        let (width, height) = SIZE;
        let highest = self.shares.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let step = width as f64 / STEPS as f64;
        let mut svg = format!(
            "<svg class=\"curve\" viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{title}\" xmlns=\"http://www.w3.org/2000/svg\">\n<title>{title}</title>\n\
             <polygon class=\"calls\" points=\"0,{height}",
            title = self.title
        );
        for (place, share) in self.shares.iter().enumerate() {
            // One unit from the upper edge, so that a line on it is seen whole.
            let y = height as f64 - share / highest * (height as f64 - 1.0);
            let (left, right) = (place as f64 * step, (place + 1) as f64 * step);
            // Writing to a string does not fail.
            let _ = write!(svg, " {left},{y:.2} {right},{y:.2}");
        }
        let _ = writeln!(svg, " {width},{height}\"/>");
        for held in self.against.iter().filter(|held| held.ms <= self.top_ms) {
            let x = held.ms / self.top_ms * width as f64;
            let name = held.name;
            let _ = writeln!(
                svg,
                "<line class=\"against {name}\" x1=\"{x:.2}\" y1=\"0\" x2=\"{x:.2}\" y2=\"{height}\"/>"
            );
        }
        svg + "</svg>\n"
    }
}

fn against(law: &Law, Times { slo, deadline, longest_wait }: Times) -> Vec<Held> {
    let held = |name, time: Duration, text: &dyn Fn(String, DurationText) -> String| {
        let longer_share = 1.0 - law.share_within(time.as_secs_f64() * 1e3);
        let text = text(percent(longer_share), DurationText(time));
        Held { name, ms: milliseconds(time), longer_share, text }
    };
    let mut all = vec![
        held(Against::Slo, slo, &|longer, time| {
            format!("objective, {time}: {longer} of B's calls take longer")
        }),
        held(Against::Deadline, deadline, &|longer, time| {
            format!("deadline of /async-timeout, {time}: {longer} take longer")
        }),
    ];
    // Without a bound on the wait nothing is left that can be relied on.
    let left = slo.checked_sub(longest_wait).filter(|left| !left.is_zero() && !longest_wait.is_zero());
    all.extend(left.map(|left| {
        held(Against::AfterWait, left, &|longer, time| {
            let wait = DurationText(longest_wait);
            format!(
                "what a wait of {wait} for the limit leaves of the objective, {time}: {longer} take longer"
            )
        })
    }));
    all
}

fn text(ms: f64) -> DurationText {
    DurationText(Duration::from_secs_f64(ms / 1e3))
}

fn thousandths(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const DRAWS: usize = 20_000;

    fn curve(profile: &str) -> Curve {
        let times = [1500, 1000, 350].map(Duration::from_millis);
        let [slo, deadline, longest_wait] = times;
        Curve::of(&profile.parse().expect(profile), Times { slo, deadline, longest_wait })
    }

    /// The heights of the steps as they are drawn, in shares of the highest.
    fn drawn(curve: &Curve) -> Vec<f64> {
        let (_, points) = curve.svg.split_once("points=\"").expect("a polygon");
        let (points, _) = points.split_once('"').expect("its end");
        let corners: Vec<f64> = points
            .split(' ')
            .map(|point| point.split_once(',').expect("a point").1.parse().expect("a number"))
            .collect();
        // From the lower left corner to the lower right one, two corners a step.
        corners[1..corners.len() - 1].chunks(2).map(|step| (120.0 - step[0]) / 119.0).collect()
    }

    #[test]
    fn what_is_drawn_is_the_distribution_function_and_the_draws() {
        for text in [
            "uniform:300,1200",
            "constant:750",
            "exponential:750",
            "lognormal:650,0.5",
            "bimodal:300,3000,0.1",
            "bimodal:300,3000,0.1,0",
            "constant:0",
            "uniform:5,5",
            "lognormal:10,4",
        ] {
            let curve = curve(text);
            let profile: Profile = text.parse().expect(text);
            let law = Law::of(&profile);
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let mut draws: Vec<f64> = (0..DRAWS).map(|_| profile.sample(&mut rng)).collect();
            draws.sort_by(f64::total_cmp);
            let heights = drawn(&curve);
            assert_eq!(heights.len(), STEPS, "{text}");
            // The area under the picture up to an edge is the share of calls up to there.
            let whole = (1.0 - curve.beyond_share) / heights.iter().sum::<f64>();
            let mut area = 0.0;
            for (step, height) in heights.iter().enumerate() {
                area += height * whole;
                let edge = curve.top_ms * (step + 1) as f64 / STEPS as f64;
                assert!((area - law.share_within(edge)).abs() < 0.005, "{text}: {area} up to {edge} ms");
                // Four standard errors, and a draw that is rounded across the edge of a spike.
                let counted =
                    draws.partition_point(|draw| *draw <= edge * (1.0 + 1e-9)) as f64 / DRAWS as f64;
                assert!(
                    (area - counted).abs() < 0.005 + 2.0 / (DRAWS as f64).sqrt(),
                    "{text}: {area}, {counted}"
                );
            }
            assert!(curve.beyond_share <= 1.0 - REACHED + 1e-9, "{text}: {}", curve.beyond_share);
        }
    }

    #[test]
    fn a_constant_is_a_spike_and_two_modes_are_two_hills() {
        let spikes = |text: &str| drawn(&curve(text)).iter().filter(|height| **height > 0.001).count();
        assert_eq!((spikes("constant:750"), spikes("bimodal:300,3000,0.1,0")), (1, 2));
        let heights = drawn(&curve("bimodal:300,3000,0.3"));
        let hills = heights.windows(2).filter(|pair| pair[0] < 0.02 && pair[1] >= 0.02).count();
        assert_eq!(hills, 2, "{heights:?}");
        // B of the lab: the same height everywhere from 300 to 1200 ms.
        let heights = drawn(&curve("uniform:300,1200"));
        let flat = heights.iter().filter(|height| **height > 0.99).count() as f64;
        assert!((flat / STEPS as f64 - 900.0 / 1500.0).abs() < 0.02, "{heights:?}");
    }

    #[test]
    fn the_times_it_is_held_against_stand_where_they_belong_with_what_lies_beyond() {
        let lab = curve("uniform:300,1200");
        assert_eq!(lab.title, "B takes 750 ms on average, p50 750 ms, p95 1.16 s");
        assert_eq!((lab.mean_ms, lab.p50_ms, lab.p95_ms, lab.top_ms), (750.0, 750.0, 1155.0, 1500.0));
        let against: Vec<(Against, f64, f64)> = lab
            .against
            .iter()
            .map(|held| (held.name, held.ms, (held.longer_share * 1e4).round() / 1e4))
            .collect();
        assert_eq!(
            against,
            [
                (Against::Slo, 1500.0, 0.0),
                (Against::Deadline, 1000.0, 0.2222),
                (Against::AfterWait, 1150.0, 0.0556)
            ]
        );
        assert!(lab.svg.contains("class=\"against deadline\" x1=\"400.00\""), "{}", lab.svg);
        // Far beyond the curve they are listed, but not drawn.
        let short = curve("constant:10");
        assert_eq!((short.against.len(), short.svg.matches("<line").count()), (3, 0));
        let unbounded = Times {
            slo: Duration::from_millis(1500),
            deadline: Duration::from_secs(1),
            longest_wait: Duration::ZERO,
        };
        assert_eq!(Curve::of(&"constant:750".parse().expect("a profile"), unbounded).against.len(), 2);
    }

    proptest! {
        #[test]
        fn every_call_is_somewhere(median in 0.0..600_000.0_f64, sigma in 0.0..=4.0_f64, slow in 0.0..600_000.0_f64, share in 0.0..=1.0_f64) {
            let profile = Profile::Bimodal { fast: median, slow, share, sigma };
            let second = Duration::from_secs(1);
            let curve = Curve::of(&profile, Times { slo: second, deadline: second, longest_wait: second / 2 });
            let sum: f64 = curve.shares.iter().sum();
            prop_assert!((sum + curve.beyond_share - 1.0).abs() < 1e-9, "{curve:?}");
            prop_assert!(drawn(&curve).iter().all(|height| (0.0..=1.0).contains(height)), "{curve:?}");
        }
    }
}
