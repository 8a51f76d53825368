use std::{error::Error, fmt};

use super::error::{IssueError, Unavailable, unavailable_from};
use crate::{
    rejection::{Rejection, RejectionKind},
    store::error::StoreError,
};

/// Why a token was not exchanged.
///
/// Clients of [`TokenRoutes`](super::TokenRoutes) get `invalid_request` (RFC 8693 §2.2.2), except
/// for `InvalidTarget`, `InvalidScope` and `Unavailable`. A handler can return it as a
/// [`Rejection`]:
///
/// ```
/// use tower_auth::{Rejection, RejectionKind, issue::ExchangeError};
///
/// let rejection = Rejection::from(ExchangeError::Revoked);
/// assert_eq!(rejection.kind(), RejectionKind::InvalidCredentials);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The store, the keys or the claims closure is unavailable: try again.
    Unavailable(Unavailable),
    /// The caller has no token with `iss`, `sub`, `exp` and `iat`: it has used a password or an API
    /// key, for example.
    NotAToken,
    /// The token was issued by another issuer, which
    /// [`exchange_tokens_of`](super::TokenIssuerBuilder::exchange_tokens_of) does not name.
    UntrustedIssuer,
    /// The token is bound to a key (`cnf`). The new token would not be.
    Bound,
    /// The token has expired.
    Expired,
    /// The token was revoked, or its user has logged out.
    Revoked,
    /// The `act` or the `may_act` of the token is malformed.
    Malformed,
    /// The token names another actor in `may_act` (RFC 8693 §4.4).
    OtherActor,
    /// The token has been exchanged 8 times.
    TooManyActors,
    /// The audience is neither an [`audience`](super::TokenIssuerBuilder::audience) nor a
    /// [service audience](super::TokenIssuerBuilder::service_audiences) of the issuer.
    InvalidTarget,
    /// The caller does not have a requested scope.
    InvalidScope,
    /// The claims closure returned `None`: this subject must not get tokens.
    NotAllowed,
    /// The token cannot be issued. The text says what to change in the program.
    Invalid(&'static str),
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable(_) => "the token cannot be exchanged now",
            Self::NotAToken => "the caller has no token with iss, sub, exp and iat",
            Self::UntrustedIssuer => "tokens of this issuer are not exchanged",
            Self::Bound => "the token is bound to a key, so it is not exchanged",
            Self::Expired => "the token has expired",
            Self::Revoked => "the token was revoked",
            Self::Malformed => "the act or the may_act of the token is malformed",
            Self::OtherActor => "the may_act of the token names another actor",
            Self::TooManyActors => "the token has been exchanged too often",
            Self::InvalidTarget => "the issuer does not issue tokens for this audience",
            Self::InvalidScope => "the caller does not have a requested scope",
            Self::NotAllowed => "this subject must not get tokens",
            Self::Invalid(reason) => reason,
        })
    }
}

impl Error for ExchangeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(reason) => Some(reason),
            _ => None,
        }
    }
}

unavailable_from!(ExchangeError: StoreError, super::keys::keys_error::KeysError);

impl From<IssueError> for ExchangeError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Unavailable(reason) => Self::Unavailable(reason),
            IssueError::NotAllowed => Self::NotAllowed,
            IssueError::InvalidScope => Self::InvalidScope,
            IssueError::InvalidTarget => Self::InvalidTarget,
            IssueError::Invalid(reason) => Self::Invalid(reason),
        }
    }
}

/// 503 for an outage, 401 for a token that has ended, 500 for a fault of the program, and 403 for
/// everything else.
impl From<ExchangeError> for Rejection {
    fn from(error: ExchangeError) -> Self {
        let kind = match error {
            ExchangeError::Unavailable(_) => RejectionKind::Unavailable,
            ExchangeError::Expired | ExchangeError::Revoked => RejectionKind::InvalidCredentials,
            ExchangeError::InvalidTarget | ExchangeError::Invalid(_) => {
                RejectionKind::Misconfigured
            }
            _ => RejectionKind::Forbidden,
        };
        Self::new(kind).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::StoreErrorKind;

    #[test]
    fn each_error_has_the_kind_of_its_cause() {
        let outage = || ExchangeError::from(StoreError::new(StoreErrorKind::Unavailable));
        let kind = |error| Rejection::from(error).kind();
        assert_eq!(kind(outage()), RejectionKind::Unavailable);
        assert_eq!(kind(ExchangeError::Expired), RejectionKind::InvalidCredentials);
        assert_eq!(kind(ExchangeError::Revoked), RejectionKind::InvalidCredentials);
        assert_eq!(kind(ExchangeError::InvalidTarget), RejectionKind::Misconfigured);
        assert_eq!(kind(ExchangeError::Invalid("")), RejectionKind::Misconfigured);
        assert_eq!(kind(ExchangeError::Bound), RejectionKind::Forbidden);
        assert!(outage().source().is_some());
        assert!(ExchangeError::Bound.source().is_none());
    }
}
