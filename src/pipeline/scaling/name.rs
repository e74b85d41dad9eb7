//! The policies' names.

use crate::choice;

choice! {
    /// The policies by name, the default first.
    pub enum PolicyName {
        /// One more above a backlog, one fewer below another.
        Threshold = "threshold",
        /// Kubernetes' Horizontal Pod Autoscaler on utilisation.
        Target = "target",
        /// KEDA on the backlog.
        Keda = "keda",
        /// Little's law on arrivals and what waits.
        Little = "little",
        /// A controller that holds the queue at a length.
        Pid = "pid",
    }
}
