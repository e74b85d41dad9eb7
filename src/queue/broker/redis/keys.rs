//! The fixed keys of the queue in Redis. Every script gets all of them, in this order.

/// The list that wakes idle workers.
pub(super) const WAKE: &str = "{tasks:pending}|wake";

/// The fixed keys, in the order in which `prelude.lua` names them. The first is the raw list that other programs push
/// to. The tag of all others is its name, so all lie in one slot: one script can move a task between them.
pub(super) const KEYS: [&str; 20] = [
    "tasks:pending",
    "{tasks:pending}|task",
    "{tasks:pending}|run",
    "{tasks:pending}|delayed",
    "{tasks:pending}|dead",
    "{tasks:pending}|done",
    "{tasks:pending}|count",
    "{tasks:pending}|rules",
    "{tasks:pending}|in_flight",
    "{tasks:pending}|used",
    "{tasks:pending}|throttled",
    "{tasks:pending}|epochs",
    "{tasks:pending}|types",
    "{tasks:pending}|errors",
    "{tasks:pending}|idempotency",
    "{tasks:pending}|key_ages",
    WAKE,
    "{tasks:pending}|suspects",
    "{tasks:pending}|lanes",
    "{tasks:pending}|meta",
];
