use std::{error::Error, fmt};

/// The reason why a token was rejected.
///
/// It is meant for the operator and is never sent to the caller. It is the
/// [`source`](Error::source) of the rejection:
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
    /// The token is not a compact JWS: three parts in base64url without padding (RFC 7515 §7.1).
    NotCompactJws,
    /// The header is not a JSON object with the members of a JWS header, or has a duplicate member.
    MalformedHeader,
    /// The `alg` is not supported.
    Algorithm,
    /// The header has `crit` or `b64`. These extensions are not supported.
    CriticalHeader,
    /// The `typ` is not accepted, or the token is a logout token.
    Type,
    /// No key matches the `kid` and `alg`, or several keys match and the `kid` does not select one.
    UnknownKey,
    /// The signature is invalid.
    Signature,
    /// The payload is not a JSON object with different names and at most 32 levels, or it is not
    /// UTF-8.
    MalformedClaims,
    /// A claim does not have the form that RFC 7519 or the configuration requires.
    ///
    /// For valid signatures, this is also an [event](crate::observe::Event::ClaimMalformed).
    MalformedClaim {
        /// The name of the claim, or the path to it in the configuration.
        path: Box<str>,
        /// The required form, such as `a string`.
        expected: &'static str,
    },
    /// A required claim is missing.
    MissingClaim(Box<str>),
    /// The claim at this path does not have one of the
    /// [required values](super::JwtAuthBuilder::require_claim_value).
    ClaimValue(Box<str>),
    /// The `iss` is not an accepted issuer.
    Issuer,
    /// The `aud` is missing or contains no accepted audience.
    Audience,
    /// The token has expired.
    Expired,
    /// The token is not valid yet, or its `iat` is in the future.
    NotYetValid,
    /// The token is bound to a key (`cnf`, RFC 7800), and it was not confirmed that the caller has
    /// the key.
    Unconfirmed,
    /// The token is not bound to a key, but was sent with a scheme for bound tokens, or a binding
    /// is required.
    Unbound,
    /// The authorization server says that the token is not active, or does not say that it is (RFC
    /// 7662 §2.2).
    Inactive,
    /// The token is not a JWT, and its issuer does not know it (any more).
    UnknownToken,
    /// The token, its session, its subject or its issuer was revoked, or the shared store has lost
    /// records since the token was issued.
    Revoked,
    /// The token is valid for longer than the `longest_token_life` of the revocations.
    LifetimeTooLong,
    /// The token is not a valid logout token, or it was sent before.
    LogoutToken(&'static str),
    /// A [custom check](super::JwtAuthBuilder::check) rejected the token, for this reason.
    Check(Box<str>),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompactJws => f.write_str("the token is not a compact JWS"),
            Self::MalformedHeader => f.write_str(
                "the token header is not a JSON object with the members of a JWS header",
            ),
            Self::Algorithm => f.write_str("the token alg is not supported"),
            Self::CriticalHeader => f.write_str("the token header has crit or b64"),
            Self::Type => f.write_str("the token typ is not accepted"),
            Self::UnknownKey => f.write_str("no single key matches the token kid and alg"),
            Self::Signature => f.write_str("the token signature is invalid"),
            Self::MalformedClaims => f.write_str(
                "the token claims are not a JSON object with different names and at most 32 levels",
            ),
            Self::MalformedClaim { path, expected } => {
                write!(f, "the token claim {path:?} is malformed: it must be {expected}")
            }
            Self::MissingClaim(name) => write!(f, "the token claim {name:?} is missing"),
            Self::ClaimValue(path) => {
                write!(f, "the value of the token claim {path:?} is not accepted")
            }
            Self::Issuer => f.write_str("the token issuer is not accepted"),
            Self::Audience => f.write_str("the token has no accepted audience (aud)"),
            Self::Expired => f.write_str("the token has expired"),
            Self::NotYetValid => f.write_str("the token is not valid yet"),
            Self::Unconfirmed => {
                f.write_str("the token is bound to a key (cnf), which is not confirmed")
            }
            Self::Unbound => f.write_str("the token is not bound to a key (cnf)"),
            Self::Inactive => f.write_str("the token is not active"),
            Self::UnknownToken => f.write_str("the token is unknown, has expired or was revoked"),
            Self::Revoked => f.write_str("the token was revoked"),
            Self::LifetimeTooLong => f.write_str(
                "the lifetime of the token (exp - iat, or exp - fst) is above the \
                 longest_token_life of the revocations",
            ),
            Self::LogoutToken(reason) => {
                write!(f, "the logout token is not acceptable: {reason}")
            }
            Self::Check(reason) => write!(f, "a custom check rejected the token: {reason}"),
        }
    }
}

impl Error for TokenError {}
