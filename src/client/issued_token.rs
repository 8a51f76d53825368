use std::time::Duration;

use super::{
    error::AttachError,
    source::{Expiry, Token},
};
use crate::clock::{Clock as _, SystemClock};

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
    pub(super) fn is_fresh(&self) -> bool {
        let age = SystemClock.elapsed().saturating_sub(self.requested_at);
        match self.token.expiry {
            Expiry::In(lifetime) => age <= lifetime / 2,
            Expiry::Never | Expiry::At(_) => true,
        }
    }
}
