//! The queue's own invariants.

use lab::queue::broker::Broker;

/// What does not balance in the store: every task is in one place, and all counts say the same.
pub(crate) async fn balance(broker: &Broker) -> Vec<String> {
    let stats = broker.stats().await.expect("answered");
    let lanes = broker.lanes().await.expect("answered");
    let (counts, sizes) = (stats.counts, stats.sizes);
    let live = counts.pending + counts.in_flight + counts.delayed + counts.dead;
    let ends = counts.succeeded + counts.cancelled + counts.expired + counts.discarded;
    let waiting: u64 = lanes.iter().map(|lane| lane.length).sum();
    let held: u64 = stats.processes.iter().map(|process| process.held).sum();
    let sides = [
        ("enqueued = live + done", counts.enqueued, live + counts.done),
        ("done = the ends", counts.done, ends),
        ("pending = in lanes + suspects", counts.pending, waiting + sizes.suspects),
        ("in flight = held", counts.in_flight, sizes.held),
        ("delayed", counts.delayed, sizes.delayed),
        ("dead", counts.dead, sizes.dead),
        ("live = tasks", live, sizes.tasks),
        ("records = tasks + done", sizes.records, sizes.tasks + sizes.done),
        ("lanes", sizes.lanes, lanes.len() as u64),
        ("held by processes", held, sizes.held),
        ("no tasks, no bytes", u64::from(live == 0), u64::from(counts.bytes == 0)),
    ];
    let unequal = sides.into_iter().filter(|(_, one, other)| one != other);
    unequal
        .map(|(what, one, other)| format!("{what}: {one} and {other} in {counts:?} {sizes:?} {lanes:?}"))
        .collect()
}
