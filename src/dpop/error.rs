use std::{error::Error, fmt};

/// The reason why a bound token or its DPoP proof was rejected.
///
/// It is meant for the operator and is never sent to the caller. It is the
/// [`source`](Error::source) of the rejection:
///
/// ```
/// use std::error::Error;
/// use tower_auth::{Rejection, RejectionKind, dpop::ProofError};
///
/// let rejection = Rejection::new(RejectionKind::InvalidCredentials).because(ProofError::Replayed);
/// let reason = rejection.source().and_then(|reason| reason.downcast_ref::<ProofError>());
/// assert_eq!(reason, Some(&ProofError::Replayed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The token was sent with another scheme than `DPoP`, such as `Bearer` (RFC 9449 §7.2).
    Scheme,
    /// The `jkt` in the `cnf` of the token is not the thumbprint of a key.
    Confirmation,
    /// The request has no `DPoP` header.
    Missing,
    /// The request has several `DPoP` headers.
    Several,
    /// The proof is longer than 8 KiB.
    TooLong,
    /// The proof is not a compact JWS: three parts in base64url without padding.
    NotCompactJws,
    /// The header is not a JSON object with `typ`, `alg` and `jwk`, or has a duplicate member.
    MalformedHeader,
    /// The `typ` is not `dpop+jwt`.
    Type,
    /// The `alg` is not among the [accepted ones](super::DpopBindingBuilder::algorithms).
    Algorithm,
    /// The header has `crit` or `b64`. These extensions are not supported.
    CriticalHeader,
    /// The `jwk` is not a public key for the `alg`, or the key is too weak.
    Key,
    /// The `jwk` contains a private or symmetric key.
    PrivateKey,
    /// The payload is not a JSON object with different names and at most 32 levels.
    MalformedClaims,
    /// This claim is missing, or does not have the type that RFC 9449 §4.2 requires: `jti`, `htm`,
    /// `htu`, `iat`, `ath` or `nonce`. The `jti` must have 1 to 256 bytes.
    MalformedClaim(&'static str),
    /// The signature is invalid.
    Signature,
    /// The proof is valid, but its key is not the one to which the token is bound.
    OtherKey,
    /// The `htm` is not the method of the request.
    Method,
    /// The `htu` is not an absolute http or https URL, or contains user information.
    MalformedUrl,
    /// The host of the request is not known: it has no valid `Host`, or a proxy does not report it.
    UnknownHost,
    /// The request is not for one of the [hosts](super::DpopBindingBuilder::hosts) of the service.
    OtherHost,
    /// The `htu` has another scheme than the request. Behind a proxy, and for TLS in this process,
    /// set [`forwarded`](super::DpopBindingBuilder::forwarded).
    UrlScheme,
    /// The `htu` has another host or port than the request. If a proxy replaces `Host`, set
    /// [`forwarded`](super::DpopBindingBuilder::forwarded).
    UrlHost,
    /// The `htu` has another path than the request. If a proxy removes a prefix, set
    /// [`path_prefix`](super::DpopBindingBuilder::path_prefix).
    UrlPath,
    /// The proof is older than [`max_age`](super::DpopBindingBuilder::max_age).
    Expired,
    /// The `iat` is in the future, by more than [`leeway`](super::DpopBindingBuilder::leeway).
    NotYetValid,
    /// The `ath` is not the hash of the token.
    AccessToken,
    /// The proof has no nonce, or one that is too old.
    Nonce,
    /// The proof was used before.
    Replayed,
    /// The key was used more often than the
    /// [limit](super::DpopBindingBuilder::rate_limit) allows.
    RateLimited,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MalformedClaim(name) => {
                return write!(f, "the {name} of the DPoP proof is missing or malformed");
            }
            Self::Scheme => "the token is bound to a DPoP key, but was not sent with this scheme",
            Self::Confirmation => "the cnf.jkt of the token is not the thumbprint of a key",
            Self::Missing => "the request has no DPoP header",
            Self::Several => "the request has several DPoP headers",
            Self::TooLong => "the DPoP proof is longer than 8 KiB",
            Self::NotCompactJws => "the DPoP proof is not a compact JWS",
            Self::MalformedHeader => {
                "the header of the DPoP proof is not a JSON object with typ, alg and jwk"
            }
            Self::Type => "the typ of the DPoP proof is not dpop+jwt",
            Self::Algorithm => "the alg of the DPoP proof is not accepted",
            Self::CriticalHeader => "the header of the DPoP proof has crit or b64",
            Self::Key => "the jwk of the DPoP proof is not a strong public key for its alg",
            Self::PrivateKey => "the jwk of the DPoP proof contains a private or symmetric key",
            Self::MalformedClaims => {
                "the claims of the DPoP proof are not a JSON object with different names and at \
                 most 32 levels"
            }
            Self::Signature => "the signature of the DPoP proof is invalid",
            Self::OtherKey => "the DPoP proof is of another key than the token",
            Self::Method => "the htm of the DPoP proof is not the method of the request",
            Self::MalformedUrl => "the htu of the DPoP proof is not an http or https URL",
            Self::UnknownHost => "the host of the request is not known",
            Self::OtherHost => "the host of the request is not one of the listed `hosts`",
            Self::UrlScheme => {
                "the htu of the DPoP proof has another scheme than the request: set `forwarded` for \
                 TLS and for proxies"
            }
            Self::UrlHost => {
                "the htu of the DPoP proof has another host than the request: set `forwarded` if a \
                 proxy replaces the host"
            }
            Self::UrlPath => {
                "the htu of the DPoP proof has another path than the request: set `path_prefix` if \
                 a proxy removes a prefix"
            }
            Self::Expired => "the iat of the DPoP proof is too old",
            Self::NotYetValid => "the iat of the DPoP proof is in the future",
            Self::AccessToken => "the ath of the DPoP proof is not the hash of the token",
            Self::Nonce => "the DPoP proof has no nonce, or one that is too old",
            Self::Replayed => "the DPoP proof was used before",
            Self::RateLimited => "the DPoP key is used too often",
        })
    }
}

impl Error for ProofError {}
