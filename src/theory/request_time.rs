//! The time of a request without waiting, from the times of A and B and from how a strategy combines them.
//!
//! The figures are exact for independent A and B without errors. Those without a closed form are computed
//! numerically: shares in sequence to within 0.00025, means of smooth distributions to within a millionth.

use super::{figure::Figure, service_time::ServiceTime};

/// How a strategy combines the times of the two calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flow {
    /// A, then B: their sum.
    Sequence,
    /// Both at once: the longer.
    Parallel,
    /// Both at once, and both given up at a deadline.
    Deadline {
        /// Milliseconds from the arrival; a call that ends exactly then is in time.
        ms: f64,
    },
}

/// The distribution of a request's time without load. The time of a request that times out counts as infinite.
#[derive(Debug, Clone)]
pub struct RequestTime {
    flow: Flow,
    a: ServiceTime,
    b: ServiceTime,
    /// For a sequence: equally likely times of the call that varies less.
    steps_ms: Vec<f64>,
}

/// How many equally likely values replace a distribution. The error of a share is half a step.
const STEPS: u32 = 2_000;
/// Into how many cells the quantiles of each call divide an integral.
const CELLS: u32 = 1_000;
/// Further cells in each tail, one for each halving of the remaining share.
const TAIL_CELLS: i32 = 40;
/// Nodes and weights of Gauss and Legendre for five points from -1 to 1 (Abramowitz and Stegun, 25.4.30).
const GAUSS: [(f64, f64); 5] = [
    (-0.906_179_845_938_664, 0.236_926_885_056_189_1),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.906_179_845_938_664, 0.236_926_885_056_189_1),
];
/// The relative rounding error of a sum: a time that is longer by this much still counts as within.
const ROUNDING: f64 = 1e-12;
/// Bisection steps: they narrow twenty minutes to a millionth of a millisecond.
const HALVINGS: usize = 50;

/// The time of a request to A and B, combined by `flow`, when nothing waits.
pub fn unloaded(flow: Flow, a: &ServiceTime, b: &ServiceTime) -> RequestTime {
    let spread = |time: &ServiceTime| time.mean_ms() * time.squared_variation().sqrt();
    let (a, b) = if spread(a) <= spread(b) { (a, b) } else { (b, a) };
    let steps_ms = match flow {
        Flow::Sequence => {
            (0..STEPS).map(|step| a.quantile_ms((f64::from(step) + 0.5) / f64::from(STEPS))).collect()
        }
        Flow::Parallel | Flow::Deadline { .. } => Vec::new(),
    };
    RequestTime { flow, a: a.clone(), b: b.clone(), steps_ms }
}

impl RequestTime {
    /// The share of requests that are answered within `ms`.
    pub fn share_within(&self, ms: f64) -> Figure {
        self.exact(self.within(ms))
    }

    /// The share of requests that end at the deadline; 0 without one.
    pub fn timeout_share(&self) -> Figure {
        let value = match self.flow {
            Flow::Deadline { ms } => 1.0 - self.within(ms),
            Flow::Sequence | Flow::Parallel => 0.0,
        };
        self.exact(value)
    }

    /// The smallest time within which `share` of all requests are answered, in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> Figure {
        let least = |time: &ServiceTime| time.quantile_ms(0.0);
        let most = |time: &ServiceTime| time.quantile_ms(1.0);
        let (mut low, mut high) = match self.flow {
            Flow::Sequence => (least(&self.a) + least(&self.b), most(&self.a) + most(&self.b)),
            Flow::Parallel | Flow::Deadline { .. } => {
                (least(&self.a).max(least(&self.b)), most(&self.a).max(most(&self.b)))
            }
        };
        if let Flow::Deadline { ms } = self.flow {
            high = high.min(ms);
            if self.within(ms) < share {
                return Figure::NotReached;
            }
        }
        if self.within(low) >= share {
            return self.exact(low);
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                break;
            }
            if self.within(middle) >= share {
                high = middle;
            } else {
                low = middle;
            }
        }
        self.exact(high)
    }

    /// The mean time that a request is in flight, in milliseconds; one that times out is in flight until its
    /// deadline. It is the W of [`in_flight`].
    pub fn mean_ms(&self) -> Figure {
        let value = match self.flow {
            Flow::Sequence => self.a.mean_ms() + self.b.mean_ms(),
            // max(A, B) = A + B - min(A, B).
            Flow::Parallel => {
                let shorter_ms = self.integral(f64::INFINITY, |ms| {
                    (1.0 - self.a.share_within(ms)) * (1.0 - self.b.share_within(ms))
                });
                self.a.mean_ms() + self.b.mean_ms() - shorter_ms
            }
            Flow::Deadline { ms } => {
                self.integral(ms, |ms| 1.0 - self.a.share_within(ms) * self.b.share_within(ms))
            }
        };
        self.exact(value)
    }

    fn within(&self, ms: f64) -> f64 {
        let longer = |ms| self.a.share_within(ms) * self.b.share_within(ms);
        match self.flow {
            Flow::Sequence => {
                let ms = ms * (1.0 + ROUNDING);
                let shares = self.steps_ms.iter().map(|step_ms| self.b.share_within(ms - step_ms));
                shares.sum::<f64>() / f64::from(STEPS)
            }
            Flow::Parallel => longer(ms),
            Flow::Deadline { ms: deadline_ms } => longer(ms.min(deadline_ms)),
        }
    }

    /// The integral of a curve from 0 to `until_ms`, or to the longest time. The quantiles of both calls divide it
    /// into cells, so that jumps of their distributions fall on cell edges, where no node lies.
    fn integral(&self, until_ms: f64, curve: impl Fn(f64) -> f64) -> f64 {
        let even = (0..=CELLS).map(|cell| f64::from(cell) / f64::from(CELLS));
        let tails = (1..=TAIL_CELLS).flat_map(|halvings| {
            let left = 0.5_f64.powi(halvings);
            [left, 1.0 - left]
        });
        let shares: Vec<f64> = even.chain(tails).collect();
        let quantiles =
            shares.iter().flat_map(|share| [self.a.quantile_ms(*share), self.b.quantile_ms(*share)]);
        let mut edges_ms: Vec<f64> =
            quantiles.chain([0.0, until_ms]).filter(|ms| ms.is_finite() && *ms <= until_ms).collect();
        edges_ms.sort_by(f64::total_cmp);
        let cells = edges_ms.windows(2).map(|edges| {
            let (middle, half) = (f64::midpoint(edges[0], edges[1]), (edges[1] - edges[0]) / 2.0);
            half * GAUSS.iter().map(|(node, weight)| weight * curve(middle + half * node)).sum::<f64>()
        });
        cells.sum()
    }

    fn exact(&self, value: f64) -> Figure {
        let source = match self.flow {
            Flow::Sequence => "A + B: the convolution of the two distributions",
            Flow::Parallel => "max(A, B): the product of the two distribution functions",
            Flow::Deadline { .. } => {
                "max(A, B) up to the deadline: the product of the two distribution functions"
            }
        };
        Figure::Exact { value, source }
    }
}

/// The mean number of requests in flight, L = λW, from the mean time that a request is in flight.
///
/// Exact for every system in a steady state: Little, "A proof for the queuing formula: L = λW", Operations Research 9
/// (1961).
pub fn in_flight(rate_per_second: f64, mean_ms: f64) -> f64 {
    rate_per_second * mean_ms / 1e3
}
