//! What happens to a chunk when the buffer has no room for it.

use crate::choice;

choice! {
    /// The overload policy.
    pub enum Overload {
        /// The new chunk is dropped.
        DropNewest = "drop-newest",
        /// The oldest chunk in the buffer makes room for it.
        DropOldest = "drop-oldest",
        /// The source waits: a TCP peer feels it as back-pressure.
        Block = "block",
        /// No stream may hold more than its share of the buffer, `capacity / streams`; chunks above it are
        /// dropped, and a stream within its share always finds room.
        Fair = "fair",
    }
}
