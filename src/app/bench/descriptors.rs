//! The limit of open descriptors, which ten thousand connections meet.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of this process, and of the children it starts from now on, to what is allowed.
///
/// # Errors
///
/// When that is less than `needed`.
pub(super) fn raise_to(needed: u64) -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    ensure!(
        maximum.is_none_or(|maximum| maximum >= needed),
        "{needed} descriptors are needed, and the hard limit is {} (ulimit -Hn)",
        maximum.unwrap_or_default(),
    );
    if current.is_some_and(|current| current < needed) {
        let raised = Rlimit { current: maximum.or(Some(needed)), maximum };
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok(())
}
