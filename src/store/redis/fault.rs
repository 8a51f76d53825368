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

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    #[test]
    fn errors_of_the_server_have_a_kind() {
        use StoreErrorKind::{Full, Unavailable, Unreadable};
        for (answer, expected) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", Full),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Unreadable),
            ("ERR value is not an integer or out of range script: on @user_script:1.", Unreadable),
            ("ERR increment or decrement would overflow", Unreadable),
            ("ERR unknown command 'EVAL'", Unavailable),
            ("NOPERM User shop has no permissions to run the 'get' command", Unavailable),
            ("READONLY You can't write against a read only replica.", Unavailable),
            ("LOADING Redis is loading the dataset in memory", Unavailable),
            ("MISCONF Redis is configured to save RDB snapshots", Unavailable),
            ("NOREPLICAS Not enough good replicas to write.", Unavailable),
        ] {
            let answer = parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
            let error = answer.extract_error().unwrap_err();
            assert!(is_answer::<()>(&Err(error.clone())), "{error:?}");
            assert_eq!(store_error(error).kind(), expected);
        }
        let broken: Result<(), RedisError> = Err(std::io::Error::other("reset").into());
        assert!(!is_answer(&broken));
    }
}
