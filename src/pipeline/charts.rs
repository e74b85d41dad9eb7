//! The charts of a run: the backlog with what its policy looks at, and the workers within their limits.

use super::{config::Settings, scaling::PolicyName, status::Moment};
use crate::web::{
    charts::{ChartLine, Reads},
    strip::Role,
    timeline::{Panel, RunCharts, Series, Timeline},
};

/// From this share of it on, the capacity of the queue is in sight.
const NEAR_CAPACITY: f64 = 0.5;

pub(super) fn of(settings: &Settings, timeline: &Timeline<Moment>) -> RunCharts {
    RunCharts::of("/pipeline", timeline, vec![backlog(settings, timeline), workers(settings, timeline)])
}

fn series(name: &'static str, label: &'static str, role: Role, values: Vec<Option<f64>>) -> Series {
    Series { line: ChartLine { name, label, role, reads: Reads::Count }, values }
}

fn backlog(settings: &Settings, timeline: &Timeline<Moment>) -> Panel {
    let backlog = timeline.values(|moment| Some(moment.backlog as f64));
    let capacity = f64::from(settings.queue_capacity.get());
    let is_near = backlog.iter().flatten().any(|backlog| *backlog >= capacity * NEAR_CAPACITY);
    // A level stands where its policy was in force.
    let level = |name, label, policy: PolicyName, jobs: u64| {
        let values = timeline.values(|moment| (moment.policy == policy).then_some(jobs as f64));
        series(name, label, Role::Level, values)
    };
    let mut lines = vec![
        series("backlog", "jobs", Role::Plain, backlog),
        level("grow", "one worker more from", PolicyName::Threshold, settings.grow_threshold.get()),
        level("shrink", "one fewer to", PolicyName::Threshold, settings.shrink_threshold.get()),
        level("to_wait", "to wait", PolicyName::Pid, settings.pid_queue.get()),
    ];
    if is_near {
        lines.push(series("capacity", "queue full at", Role::Level, timeline.values(|_| Some(capacity))));
    }
    Panel { name: "backlog", title: "Backlog", unit: "jobs", series: lines }
}

fn workers(settings: &Settings, timeline: &Timeline<Moment>) -> Panel {
    let line = |value: fn(&Moment) -> u64| timeline.values(|moment| Some(value(moment) as f64));
    let level = |workers: u32| timeline.values(|_| Some(f64::from(workers)));
    Panel {
        name: "workers",
        title: "Workers",
        unit: "workers",
        series: vec![
            series("workers", "running", Role::Plain, line(|moment| u64::from(moment.workers))),
            series("busy", "busy", Role::Second, line(|moment| moment.busy)),
            series("min_workers", "at least", Role::Level, level(settings.min_workers.get())),
            series("max_workers", "at most", Role::Level, level(settings.max_workers.get())),
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{pipeline::config::Config, web::Point};

    #[test]
    fn levels_stand_where_their_policy_was_in_force() {
        let settings = Config::embedded().settings().expect("good settings");
        let moment = |second, policy, backlog| Point {
            at: Duration::from_secs(second),
            seen: Moment { backlog, workers: 2, busy: 1, policy },
        };
        let points = [moment(0, PolicyName::Threshold, 5), moment(1, PolicyName::Pid, 20)];
        let charts = of(&settings, &Timeline::of(&points, true));
        let points = &charts.columns[0].points;
        assert_eq!(points["grow"], [Some(50.0), None]);
        assert_eq!(points["to_wait"], [None, Some(16.0)]);
        assert!(!points.contains_key("capacity"), "it is far away");
        assert_eq!(charts.rows[0].top, 50.0);
        assert_eq!(charts.rows[1].top, 8.0, "the limits are in sight");
    }
}
