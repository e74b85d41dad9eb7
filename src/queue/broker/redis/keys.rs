//! The fixed keys of the queue in Redis. Every script gets all of them, in this order.

/// What all keys but the raw list begin with.
pub(super) const TAG: &str = "{tasks:pending}|";

/// The list that wakes idle workers.
pub(super) const WAKE: &str = "{tasks:pending}|wake";

/// The raw list that other programs push to.
pub(super) const INBOX: &str = "tasks:pending";

/// A key that never exists. While a cluster moves the slot, a node refuses a script of which it misses a key, before
/// it runs; but a key that the script itself names would fail it half-way.
const NEVER: &str = "{tasks:pending}|never";

/// The fixed keys, in the order in which `prelude.lua` names them. The tag of all others is the name of the raw list,
/// so all lie in one slot: one script can move a task between them.
pub(super) const KEYS: [&str; 21] = [
    INBOX,
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
    NEVER,
];

/// What each of the fixed keys holds, where the audit looks before it reads any.
pub(super) const TYPES: [(&str, &str); 20] = [
    (KEYS[0], "list"),
    (KEYS[1], "hash"),
    (KEYS[2], "hash"),
    (KEYS[3], "zset"),
    (KEYS[4], "zset"),
    (KEYS[5], "list"),
    (KEYS[6], "hash"),
    (KEYS[7], "hash"),
    (KEYS[8], "hash"),
    (KEYS[9], "hash"),
    (KEYS[10], "zset"),
    (KEYS[11], "zset"),
    (KEYS[12], "set"),
    (KEYS[13], "hash"),
    (KEYS[14], "hash"),
    (KEYS[15], "list"),
    (KEYS[16], "list"),
    (KEYS[17], "zset"),
    (KEYS[18], "set"),
    (KEYS[19], "hash"),
];
