use std::time::{Duration, SystemTime};

use http::HeaderValue;

use super::{
    error::{AttachError, AttachErrorKind},
    fixed::BearerToken,
    source::{Expiry, Token},
};
use crate::clock;

/// A token is not sent so shortly before its expiry.
const ON_THE_WAY: Duration = Duration::from_secs(5);

/// The token of now, and when it is to be replaced.
pub(crate) struct Present {
    pub(crate) value: HeaderValue,
    fetched_at: SystemTime,
    /// `None` where it does not expire.
    refresh_at: Option<SystemTime>,
    usable_until: Option<SystemTime>,
}

impl Present {
    pub(crate) fn new(
        token: &Token,
        asked_at: SystemTime,
        now: SystemTime,
        ahead: Duration,
    ) -> Result<Self, AttachError> {
        let fault = |message| Err(AttachError::because(AttachErrorKind::Source, message));
        let Ok(value) = BearerToken::new(&token.value) else {
            return fault("the source gave what is no bearer token (RFC 6750 §2.1)");
        };
        let expiry = match token.expiry {
            Expiry::Never => None,
            // One that is too far away for any clock is none.
            Expiry::In(lifetime) => asked_at.checked_add(lifetime),
            Expiry::At(time) => Some(time),
        };
        if expiry.is_some_and(|expiry| expiry <= now) {
            return fault("the source gave a token that has expired");
        }
        let before = |time: Duration, share: u32| {
            let expiry = expiry?;
            let lifetime = expiry.duration_since(asked_at).unwrap_or_default();
            expiry.checked_sub(time.min(lifetime / share))
        };
        Ok(Self {
            value: value.header_value(),
            fetched_at: now,
            refresh_at: before(ahead, 2),
            usable_until: before(ON_THE_WAY, 10),
        })
    }

    pub(crate) fn is_usable(&self, now: SystemTime) -> bool {
        !clock::is_in_future(self.fetched_at, now)
            && self.usable_until.is_none_or(|until| now < until)
    }

    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        self.refresh_at.is_some_and(|at| now >= at)
    }

    pub(crate) fn is_younger_than(&self, age: Duration, now: SystemTime) -> bool {
        clock::is_within(self.fetched_at, age, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        ASKED + Duration::from_secs(seconds)
    }

    /// Asked for at 0, and fetched at 2.
    fn present(token: Token) -> Result<Present, AttachError> {
        Present::new(&token, ASKED, at(2), Duration::from_secs(60))
    }

    fn living(seconds: u64) -> Present {
        present(Token::new("t").expires_in(Duration::from_secs(seconds))).unwrap()
    }

    #[test]
    fn a_token_is_replaced_ahead_and_not_sent_at_its_end() {
        let hour = living(3600);
        assert!(!hour.is_due(at(3539)) && hour.is_due(at(3540)));
        assert!(hour.is_usable(at(3594)) && !hour.is_usable(at(3595)));
        let same = present(Token::new("t").expires_at(at(3600))).unwrap();
        assert_eq!((same.refresh_at, same.usable_until), (hour.refresh_at, hour.usable_until));
    }

    #[test]
    fn a_short_life_is_used_for_half_and_more() {
        let short = living(20);
        assert!(!short.is_due(at(9)) && short.is_due(at(10)));
        assert!(short.is_usable(at(17)) && !short.is_usable(at(18)));
    }

    #[test]
    fn a_token_may_have_no_expiry() {
        for token in [Token::new("t"), Token::new("t").expires_in(Duration::MAX)] {
            let present = present(token).unwrap();
            assert!(present.is_usable(at(1 << 40)) && !present.is_due(at(1 << 40)));
        }
    }

    #[test]
    fn what_cannot_be_sent_is_a_fault_of_its_source() {
        let in_2_s = Duration::from_secs(2);
        for token in [
            Token::new("t").expires_in(Duration::ZERO),
            Token::new("t").expires_in(in_2_s),
            Token::new("t").expires_at(at(2)),
            Token::new("s3cret\r\nx: y"),
            Token::new(""),
        ] {
            let error = present(token).err().unwrap();
            assert_eq!(error.kind(), AttachErrorKind::Source);
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }

    #[test]
    fn a_token_from_the_future_is_neither_young_nor_usable() {
        let hour = Present { fetched_at: at(1000), ..living(3600) };
        assert!(hour.is_usable(at(1000)) && hour.is_usable(at(940)) && !hour.is_usable(at(939)));
        let age = Duration::from_secs(5);
        let present = living(3600);
        assert!(present.is_younger_than(age, at(6)));
        assert!(!present.is_younger_than(age, at(7)));
        assert!(!present.is_younger_than(age, at(1)));
    }
}
