use std::{error::Error, fmt};

/// Why a token was refused: for the operator, never for the caller.
///
/// It is the [`source`](Error::source) of a rejection:
///
/// ```
/// use std::error::Error;
/// use tower_auth::{Rejection, RejectionKind, jwt::TokenError};
///
/// let rejection = Rejection::new(RejectionKind::InvalidCredentials).because(TokenError::Expired);
/// let reason = rejection.source().and_then(|reason| reason.downcast_ref::<TokenError>());
/// assert_eq!(reason, Some(&TokenError::Expired));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// It is no compact JWS: three parts of base64url without padding (RFC 7515 §7.1).
    NotCompactJws,
    /// Its header is no JSON object with the members that a JWS has, or names one twice.
    MalformedHeader,
    /// Its `alg` is not one that this validator accepts.
    Algorithm,
    /// Its header has `crit` or `b64`: extensions that are not understood.
    CriticalHeader,
    /// Its `typ` is not the one that was asked for.
    Type,
    /// No key fits its `kid` and `alg`, or several do and it does not say which.
    UnknownKey,
    /// The signature is not the key's.
    Signature,
    /// Its payload is no JSON object with claims as RFC 7519 types them, or names one twice.
    MalformedClaims,
    /// A required claim is missing.
    MissingClaim(Box<str>),
    /// It is from another issuer.
    Issuer,
    /// It is for another audience, or for none.
    Audience,
    /// It has expired.
    Expired,
    /// It is not valid yet, or issued in the future.
    NotYetValid,
    /// A check of yours refused it, for the reason given.
    Check(Box<str>),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompactJws => f.write_str("the token is no compact JWS"),
            Self::MalformedHeader => f.write_str("the token's header is malformed"),
            Self::Algorithm => f.write_str("the token's alg is not accepted"),
            Self::CriticalHeader => f.write_str("the token's header has extensions"),
            Self::Type => f.write_str("the token's typ is another"),
            Self::UnknownKey => f.write_str("no one key fits the token's kid and alg"),
            Self::Signature => f.write_str("the token's signature is wrong"),
            Self::MalformedClaims => f.write_str("the token's claims are malformed"),
            Self::MissingClaim(name) => write!(f, "the token's claim {name:?} is missing"),
            Self::Issuer => f.write_str("the token is from another issuer"),
            Self::Audience => f.write_str("the token is for another audience"),
            Self::Expired => f.write_str("the token has expired"),
            Self::NotYetValid => f.write_str("the token is not valid yet"),
            Self::Check(reason) => write!(f, "the token did not pass a check: {reason}"),
        }
    }
}

impl Error for TokenError {}
