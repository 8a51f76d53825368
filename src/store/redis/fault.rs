use redis::{ErrorKind, RedisError};

use crate::store::error::{StoreError, StoreErrorKind};

/// Returns the error of an operation that failed because of the server or the connection.
///
/// Messages of the server and of the client name hosts, commands and users, but no passwords and no
/// values.
pub(super) fn store_error(error: RedisError) -> StoreError {
    let kind = match error.clone().into_server_errors().as_deref() {
        Some([(_, error), ..]) => kind(error.code(), error.details().unwrap_or_default()),
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind).with_source(error)
}

fn kind(code: &str, details: &str) -> StoreErrorKind {
    let is_not_a_count = || details.contains("not an integer") || details.contains("overflow");
    match code {
        "OOM" => StoreErrorKind::Full,
        "WRONGTYPE" => StoreErrorKind::Unreadable,
        "ERR" if is_not_a_count() => StoreErrorKind::Unreadable,
        _ => StoreErrorKind::Unavailable,
    }
}

/// Returns an error with this reason.
pub(super) fn unavailable(reason: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable).with_source(reason)
}

/// Returns whether the server answered, with a result or an error.
pub(super) fn is_answer<T>(result: &Result<T, RedisError>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension),
    }
}
