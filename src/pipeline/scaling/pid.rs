//! A controller that holds the queue at a length: proportional, integral, derivative.
//!
//! While all workers are busy the jobs inside, b, obey b' = lambda - u / S with u workers and service time S:
//! an integrator. For that plant the gains follow from where the poles are put: both at -w, with
//! w = 4 / settling time, so that a deviation is down to a tenth after one settling time without
//! overshoot: (1 + d) b'' + (Kp / S) b' + (Ki / S) b = 0 gives Kp = 2 w S (1 + d), Ki = w^2 S (1 + d),
//! Kd = d S. S is the measured one, so the gains fit jobs of any length. d is small because it multiplies
//! the noise of single jobs. Source: Astrom and Murray, "Feedback Systems", 2nd ed., ch. 11; velocity form
//! with the output held inside min..max, so that nothing winds up while the pool is at a bound.
//!
//! The set point is the queue's length plus the jobs in progress that the arrivals make (lambda S, as far as
//! there can be workers). It must not hold the workers there are: a new worker takes a job out of the queue
//! at once, and a loop through that would swing from check to check.
//!
//! An empty queue is no integrator: it says only that there are too many workers, not by how many. Then those
//! that were not busy over the last checks are let go.
//!
//! The queue is never meant to be empty: that is what keeps all workers busy and makes it cheap.

use std::time::Duration;

use super::{Decision, Observation, Reading};
use crate::pipeline::config::Settings;

/// The derivative's share, d above.
const DERIVATIVE: f64 = 0.05;
/// How far the output is from the workers there are before that changes.
const HYSTERESIS: f64 = 1.0;
/// 4 time constants of a critically damped loop: 9% of a deviation is left.
const TIME_CONSTANTS: f64 = 4.0;

pub(super) fn decide(settings: &Settings, seen: &Observation<'_>) -> Decision {
    let service_s = seen.service_s();
    let in_progress = (seen.arrivals_per_s() * service_s).min(f64::from(seen.max));
    let inside = |reading: &Reading| (reading.waiting + reading.running) as f64;
    let now = inside(&seen.now);
    let (before, output) = match seen.past.last() {
        Some((reading, decision)) => (inside(reading), decision.output),
        None => (now, f64::from(seen.now.workers)),
    };
    let earlier = seen.past.last_but_one().map_or(before, |(reading, _)| inside(reading));
    let since = seen.past.last().map_or(Duration::ZERO, |(reading, _)| reading.at);
    let step_s = seen.now.at.saturating_sub(since).as_secs_f64();

    let pole = TIME_CONSTANTS / settings.pid_settle.get().as_secs_f64();
    let proportional = 2.0 * pole * service_s * (1.0 + DERIVATIVE);
    let integral = pole * pole * service_s * (1.0 + DERIVATIVE);
    let derivative = DERIVATIVE * service_s;
    let mut change = proportional * (now - before)
        + integral * (now - settings.pid_queue.get() as f64 - in_progress) * step_s;
    if step_s > 0.0 {
        change += derivative * (now - 2.0 * before + earlier) / step_s;
    }
    let current = f64::from(seen.now.workers);
    let mut output = output + change;
    if seen.now.waiting == 0 {
        output = output.min(current * seen.utilisation() + HYSTERESIS);
    }
    let output = output.clamp(f64::from(seen.min), f64::from(seen.max));
    // A worker more or fewer only when the output is a whole one away: it hovers between two most of the time.
    let workers =
        if (output - current).abs() >= HYSTERESIS { output.round() as u32 } else { seen.now.workers };
    Decision { workers, recommended: workers, output }
}
