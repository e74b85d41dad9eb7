//! What an error of the client means to who asked.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::storage::StoreError;

/// Codes with which a server says that it carried nothing out and may do so later.
///
/// `BUSY`: another script runs longer than it may. `NOREPLICAS`: fewer replicas than it wants. `UNBLOCKED`: it became
/// a replica while the command waited.
const AWAY_CODES: [&str; 10] = [
    "LOADING",
    "MASTERDOWN",
    "READONLY",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "BUSY",
    "NOREPLICAS",
    "MOVED",
    "ASK",
    "UNBLOCKED",
];
/// The same until there is room. `MISCONF`: its last save failed.
const FULL_CODES: [&str; 2] = ["OOM", "MISCONF"];
/// Said with no code of its own to a client too many, whatever that asked.
const TOO_MANY_CLIENTS: &str = "max number of clients reached";
/// Said with no code of its own. Only a script that has written nothing can be killed.
const KILLED: &str = "Script killed by user";
/// Said of a database that the URL names.
const NO_DATABASE: [&str; 2] = ["DB index", "SELECT is not allowed"];

/// What `error` means for a request that had been handed to a connection.
pub(super) fn of_request(error: &RedisError) -> StoreError {
    let said = error.to_string();
    if let Some(code) = error.code() {
        return match code {
            code if AWAY_CODES.contains(&code) => StoreError::Away(said),
            code if FULL_CODES.contains(&code) => StoreError::Full(said),
            _ if said.contains(TOO_MANY_CLIENTS) || said.contains(KILLED) => StoreError::Away(said),
            _ if said.contains("-OOM ") || said.contains("allow-oom") => StoreError::Full(said),
            _ => StoreError::Refused(said),
        };
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            StoreError::OutcomeUnknown(said)
        }
        _ => StoreError::Refused(said),
    }
}

/// What `error` means for an attempt to connect.
pub(super) fn of_connecting(error: &RedisError) -> StoreError {
    let said = error.to_string();
    let is_refused = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed
            | ErrorKind::InvalidClientConfig
            | ErrorKind::Server(ServerErrorKind::NoPerm)
    ) || NO_DATABASE.iter().any(|text| said.contains(text));
    if is_refused && !said.contains(TOO_MANY_CLIENTS) {
        StoreError::Refused(said)
    } else {
        StoreError::Away(said)
    }
}

/// Whether another node serves what was asked for, so that nothing was carried out.
pub(super) fn is_moved(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
}

/// Whether the connection is of no use any more.
pub(super) fn is_broken(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
        // After a failover the old master says so until the client asks the new one.
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown))
        // Another node serves what was asked for, or may.
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ClusterDown))
}
