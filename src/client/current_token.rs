use std::time::{Duration, SystemTime};

use http::HeaderValue;

use super::{
    error::{AttachError, AttachErrorKind},
    fixed::token_header_value,
    source::{Expiry, Token},
};
use crate::clock;

/// How long before its expiry a token is no longer sent, so that it does not expire in transit.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);

/// The token that requests use, and when it must be replaced.
pub(crate) struct CurrentToken {
    pub(crate) value: HeaderValue,
    fetched_at: SystemTime,
    /// `None` if the token does not expire.
    refresh_at: Option<SystemTime>,
    /// `None` if the token does not expire.
    usable_until: Option<SystemTime>,
}

impl CurrentToken {
    pub(crate) fn new(
        token: &Token,
        requested_at: SystemTime,
        now: SystemTime,
        refresh_ahead: Duration,
    ) -> Result<Self, AttachError> {
        let source_error = |message| Err(AttachError::because(AttachErrorKind::Source, message));
        let Ok(value) = token_header_value(token.scheme, &token.value) else {
            return source_error("the token source returned a malformed token (RFC 6750 §2.1)");
        };
        let expiry = match token.expiry {
            Expiry::Never => None,
            // A lifetime that overflows `SystemTime` counts as unlimited.
            Expiry::In(lifetime) => requested_at.checked_add(lifetime),
            Expiry::At(time) => Some(time),
        };
        if expiry.is_some_and(|expiry| expiry <= now) {
            return source_error("the token source returned an expired token");
        }
        // The margin is at most `1 / divisor` of the lifetime.
        let before_expiry = |margin: Duration, divisor: u32| {
            let expiry = expiry?;
            let lifetime = expiry.duration_since(requested_at).unwrap_or_default();
            expiry.checked_sub(margin.min(lifetime / divisor))
        };
        Ok(Self {
            value,
            fetched_at: now,
            refresh_at: before_expiry(refresh_ahead, 2),
            usable_until: before_expiry(EXPIRY_MARGIN, 10),
        })
    }

    /// Returns whether the token may be sent.
    ///
    /// A token with a fetch time in the future dates from before the clock was set back. Its age is
    /// unknown, so it is not usable.
    pub(crate) fn is_usable(&self, now: SystemTime) -> bool {
        !clock::is_in_future(self.fetched_at, now)
            && self.usable_until.is_none_or(|until| now < until)
    }

    pub(crate) fn needs_refresh(&self, now: SystemTime) -> bool {
        self.refresh_at.is_some_and(|at| now >= at)
    }

    pub(crate) fn is_younger_than(&self, age: Duration, now: SystemTime) -> bool {
        clock::is_within(self.fetched_at, age, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTED_AT: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        REQUESTED_AT + Duration::from_secs(seconds)
    }

    /// Creates a token that was requested at 0 and fetched at 2.
    fn current(token: Token) -> Result<CurrentToken, AttachError> {
        CurrentToken::new(&token, REQUESTED_AT, at(2), Duration::from_secs(60))
    }

    fn expires_at(seconds: u64) -> CurrentToken {
        current(Token::new("t").expires_in(Duration::from_secs(seconds))).unwrap()
    }

    #[test]
    fn long_lived_token_is_refreshed_60_s_and_unusable_5_s_before_expiry() {
        let hour = expires_at(3600);
        assert!(!hour.needs_refresh(at(3539)) && hour.needs_refresh(at(3540)));
        assert!(hour.is_usable(at(3594)) && !hour.is_usable(at(3595)));
        let same = current(Token::new("t").expires_at(at(3600))).unwrap();
        assert_eq!((same.refresh_at, same.usable_until), (hour.refresh_at, hour.usable_until));
    }

    #[test]
    fn short_lived_token_is_refreshed_at_half_and_unusable_in_the_last_tenth() {
        let short = expires_at(20);
        assert!(!short.needs_refresh(at(9)) && short.needs_refresh(at(10)));
        assert!(short.is_usable(at(17)) && !short.is_usable(at(18)));
    }

    #[test]
    fn token_without_expiry_stays_usable() {
        for token in [Token::new("t"), Token::new("t").expires_in(Duration::MAX)] {
            let token = current(token).unwrap();
            assert!(token.is_usable(at(1 << 40)) && !token.needs_refresh(at(1 << 40)));
        }
    }

    #[test]
    fn expired_or_malformed_token_is_a_source_error() {
        for token in [
            Token::new("t").expires_in(Duration::ZERO),
            Token::new("t").expires_in(Duration::from_secs(2)),
            Token::new("t").expires_at(at(2)),
            Token::new("s3cret\r\nx: y"),
            Token::new(""),
        ] {
            let error = current(token).err().unwrap();
            assert_eq!(error.kind(), AttachErrorKind::Source);
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }

    #[test]
    fn token_fetched_in_the_future_is_not_usable_and_not_young() {
        let hour = CurrentToken { fetched_at: at(1000), ..expires_at(3600) };
        assert!(hour.is_usable(at(1000)) && hour.is_usable(at(940)) && !hour.is_usable(at(939)));
        let age = Duration::from_secs(5);
        let token = expires_at(3600);
        assert!(token.is_younger_than(age, at(6)));
        assert!(!token.is_younger_than(age, at(7)));
        assert!(!token.is_younger_than(age, at(1)));
    }
}
