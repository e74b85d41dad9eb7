//! What processes say of themselves.

use super::{args::text, scripts};
use crate::{
    queue::{
        broker::contract::{Epoch, Handles, MOVED_LIMIT},
        name::Name,
    },
    storage::{StoreError, redis::Redis},
};

/// All types.
const ANY: &str = "*";

pub(super) async fn report(
    redis: &Redis,
    epoch: &Epoch,
    handles: &Handles,
    account: &str,
) -> Result<(), StoreError> {
    let handles = match handles {
        Handles::Any => ANY.to_owned(),
        Handles::Only(kinds) => kinds.iter().map(Name::as_str).collect::<Vec<_>>().join(" "),
    };
    let args = vec![text(epoch.number), text(&epoch.secret), text(handles), text(account)];
    scripts::run(redis, &scripts::REPORT, &args).await.map(drop)
}

pub(super) async fn reports(redis: &Redis) -> Result<Vec<String>, StoreError> {
    scripts::run(redis, &scripts::REPORTS, &vec![text(MOVED_LIMIT)]).await?.list()?.rest()
}

/// The types that a process handles; `None`: all, or it has not said.
pub(super) fn read_handles(text: &str) -> Option<Vec<Name>> {
    let all = text.is_empty() || text == ANY;
    (!all).then(|| text.split(' ').filter_map(|name| name.parse().ok()).collect())
}
