//! What an error of the client means to who asked.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::storage::StoreError;

/// Codes with which a server says that it carried nothing out and may do so later.
///
/// `BUSY`: another script runs longer than it may. `MISCONF`: its last save failed. `NOREPLICAS`: fewer replicas
/// than it wants.
const AWAY_CODES: [&str; 9] =
    ["LOADING", "MASTERDOWN", "READONLY", "TRYAGAIN", "CLUSTERDOWN", "BUSY", "NOREPLICAS", "MOVED", "ASK"];
const FULL_CODES: [&str; 2] = ["OOM", "MISCONF"];

/// What `error` means for a request that had been handed to a connection.
pub(super) fn of_request(error: &RedisError) -> StoreError {
    let said = error.to_string();
    if let Some(code) = error.code() {
        return match code {
            code if AWAY_CODES.contains(&code) => StoreError::Away(said),
            code if FULL_CODES.contains(&code) => StoreError::Full(said),
            _ if said.contains("-OOM ") || said.contains("allow-oom") => StoreError::Full(said),
            _ => StoreError::Refused(said),
        };
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => StoreError::OutcomeUnknown(said),
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
    );
    if is_refused { StoreError::Refused(said) } else { StoreError::Away(said) }
}

/// Whether the connection is of no use any more.
pub(super) fn is_broken(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
        // After a failover the old master says so until the client asks the new one.
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown))
}
