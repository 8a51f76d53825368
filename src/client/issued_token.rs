use std::time::Duration;

use super::{
    error::AttachError,
    source::{Expiry, Token},
};

/// The result of an exchange, or `None` while it is in progress.
pub(super) type ExchangeResult = Option<Result<IssuedToken, AttachError>>;

/// An access token, and when it was requested.
#[derive(Clone)]
pub(super) struct IssuedToken {
    pub(super) token: Token,
    /// By [`SystemClock::elapsed`](crate::clock::Clock::elapsed).
    pub(super) requested_at: Duration,
}

impl IssuedToken {
    /// Returns the token for a caller that asked for it at this time.
    ///
    /// Its lifetime starts with that call, which can be later than the request to the issuer.
    pub(super) fn token_at(self, called_at: Duration) -> Token {
        match self.token.expiry {
            Expiry::In(lifetime) => {
                let late = called_at.saturating_sub(self.requested_at);
                self.token.expires_in(lifetime.saturating_sub(late))
            }
            Expiry::Never | Expiry::At(_) => self.token,
        }
    }

    /// Returns whether at least half of the lifetime is left.
    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        let age = now.saturating_sub(self.requested_at);
        match self.token.expiry {
            Expiry::In(lifetime) => age <= lifetime / 2,
            Expiry::Never | Expiry::At(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued_at_10(token: Token) -> IssuedToken {
        IssuedToken { token, requested_at: Duration::from_secs(10) }
    }

    #[test]
    fn lifetime_is_shorter_for_a_caller_that_asks_after_the_request() {
        let lifetime = Duration::from_secs(600);
        for (called_at, left) in [(5, 600), (10, 600), (110, 500), (700, 0)] {
            let issued = issued_at_10(Token::new("t").expires_in(lifetime));
            let token = issued.token_at(Duration::from_secs(called_at));
            assert!(
                matches!(token.expiry, Expiry::In(in_) if in_ == Duration::from_secs(left)),
                "{called_at}: {token:?}"
            );
        }
        let token = issued_at_10(Token::new("t")).token_at(Duration::from_secs(700));
        assert!(matches!(token.expiry, Expiry::Never));
    }

    #[test]
    fn token_is_fresh_for_half_of_its_lifetime() {
        let issued = issued_at_10(Token::new("t").expires_in(Duration::from_secs(600)));
        assert!(issued.is_fresh(Duration::from_secs(310)));
        assert!(!issued.is_fresh(Duration::from_secs(311)));
        assert!(issued_at_10(Token::new("t")).is_fresh(Duration::MAX));
    }
}
