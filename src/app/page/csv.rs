//! What the page shows, as CSV: a line for each strategy and window.

use std::fmt::Write as _;

use super::view::View;

const HEAD: &str = "strategy,window_s,seconds,source,offered,offered_per_second,good,good_rate,p50_ms,p50_why,p95_ms,\
     p95_why,shed,deadline,service_error,unanswered,unfinished,lambda_w,in_flight,waiting,orphaned\n";

/// The view as a table.
pub(super) fn table(view: &View) -> String {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let whole = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let mut text = HEAD.to_owned();
    for column in &view.columns {
        for (window, figures) in &column.windows {
            let why = |why: Option<super::figures::Why>| why.map_or("", super::figures::Why::label);
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{},{window},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
                column.path,
                figures.seconds,
                figures.source,
                figures.offered,
                figures.offered_per_second,
                figures.good.good,
                number(figures.good.good_rate),
                number(figures.p50_ms),
                why(figures.p50_why),
                number(figures.p95_ms),
                why(figures.p95_why),
                figures.shed,
                figures.deadline,
                figures.service_error,
                figures.unanswered,
                figures.unfinished,
                number(figures.lambda_w),
                column.in_flight,
                whole(column.limit.map(|limit| limit.waiting)),
                whole(column.orphaned),
            );
        }
    }
    text
}
