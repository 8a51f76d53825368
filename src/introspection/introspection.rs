use std::{fmt, str, sync::Arc};

use http::request::Parts;

use super::{
    builder::IntrospectionBuilder, question::Question, state::State, token_digest::TokenDigest,
};
#[cfg(feature = "health")]
use crate::health::component::{ComponentHealth, Reason};
use crate::{
    basic::client_address::ClientAddress,
    bearer::verifier::{TokenVerifier, Verification, reject_bound},
    credentials::{
        authorization::{single_token, within_bounds},
        error::CredentialsError,
    },
    header::grammar::is_b64token_byte,
    throttle::Throttle,
    url::Redacted,
};

/// Asks an authorization server about tokens (RFC 7662), and caches the answers.
///
/// See [the module](crate::introspection) for an example, and for what is checked. It is a verifier
/// for [`BearerAuth`](crate::bearer::BearerAuth), and for [`Issuers`](crate::jwt::Issuers). Clones
/// share everything.
#[derive(Clone)]
pub struct Introspection(pub(super) Arc<State>);

/// The longest token in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

impl Introspection {
    /// Creates a builder with the URL of the introspection endpoint.
    ///
    /// Also configure an [`audience`](IntrospectionBuilder::audience), and how this service
    /// authenticates at the endpoint.
    pub fn builder(url: impl Into<String>) -> IntrospectionBuilder {
        IntrospectionBuilder::url(url.into())
    }

    /// Creates a builder for an issuer whose metadata names its introspection endpoint (RFC 8414
    /// §2). It is also the [`issuer`](IntrospectionBuilder::issuer) of the tokens.
    ///
    /// The metadata is fetched with the first token. The issuer must be written exactly as in its
    /// metadata, for example with or without a slash at the end.
    pub fn discover(issuer: impl Into<String>) -> IntrospectionBuilder {
        IntrospectionBuilder::discover(issuer.into())
    }

    fn verify_token(
        &self,
        token: &[u8],
        client: impl FnOnce(&Throttle) -> ClientAddress,
    ) -> Verification {
        let verification = self.verify_unrevoked(token, client);
        #[cfg(feature = "revocation")]
        if let Some(revocations) = &self.0.revocations {
            return revocations.check_later(verification);
        }
        verification
    }

    fn verify_unrevoked(
        &self,
        token: &[u8],
        client: impl FnOnce(&Throttle) -> ClientAddress,
    ) -> Verification {
        if let Err(error) = within_bounds(token, MAX_TOKEN_BYTES) {
            return Verification::ready(Err(error.into()));
        }
        let digest = TokenDigest::of(token);
        if let Some(result) = self.0.lookup(&digest) {
            return Verification::ready(result.and_then(|caller| self.0.check(caller)));
        }
        let text = match parse_token(token) {
            Ok(text) => text,
            Err(error) => return Verification::ready(Err(error.into())),
        };
        let client = self.0.throttle.as_deref().map(client);
        let question = Question::new(Arc::clone(&self.0), digest, text, client);
        Verification::pending(question.ask())
    }
}

/// Checks the syntax of a token (RFC 6750 §2.1), so that the endpoint is never asked about others.
fn parse_token(token: &[u8]) -> Result<&str, CredentialsError> {
    let token = single_token(token)?;
    if !token.iter().all(|byte| is_b64token_byte(*byte)) {
        return Err(CredentialsError::Undecodable);
    }
    str::from_utf8(token).map_err(|_| CredentialsError::Undecodable)
}

/// A token that is verified without a request counts, for the throttle, as one from an unknown
/// address.
impl TokenVerifier for Introspection {
    fn verify(&self, token: &str) -> Verification {
        self.verify_unconfirmed(token).map(reject_bound)
    }

    fn verify_unconfirmed(&self, token: &str) -> Verification {
        self.verify_token(token.as_bytes(), |_| ClientAddress::new(None))
    }

    fn verify_request(&self, token: &[u8], head: &Parts) -> Verification {
        self.verify_token(token, |throttle| throttle.client(head))
    }

    fn issuers(&self) -> &[Arc<str>] {
        &self.0.validation.issuers
    }

    /// Returns `false` while the endpoint is not asked because it failed.
    fn is_ready(&self) -> bool {
        self.0.pause().is_none()
    }

    #[cfg(feature = "health")]
    fn key_health(&self) -> Vec<ComponentHealth> {
        let state = &*self.0;
        let health = ComponentHealth::new((!self.is_ready()).then_some(Reason::Unavailable));
        let is_found = if state.endpoint.endpoint.is_found() { "known" } else { "not_asked" };
        let (tokens, bytes) = state.active.as_ref().map_or((0, 0), |active| active.size());
        let failures = state.back_offs.iter().map(super::back_off::BackOff::failures).max();
        let health = health
            .with_text("endpoint", is_found)
            .with("failures", failures.unwrap_or_default())
            .with("cached_tokens", tokens)
            .with("cached_bytes", bytes);
        health.for_each(self.issuers())
    }
}

/// Prints URLs without user information and query.
impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("endpoint", &self.0.endpoint.endpoint)
            .field("issuers", &Redacted::all(&self.0.validation.issuers))
            .field("audiences", &Redacted::all(&self.0.validation.audiences))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_of_rfc_6750_are_asked_about() {
        for valid in ["a", "mF_9.B5f-4.1JqM", "a+/=~", "e30.e30.x"] {
            assert_eq!(parse_token(valid.as_bytes()), Ok(valid));
        }
        for (invalid, error) in [
            (&b"a b"[..], CredentialsError::Malformed),
            (b"a,b", CredentialsError::Malformed),
            (b"a\xff", CredentialsError::Undecodable),
            (b"a&token=b", CredentialsError::Undecodable),
            (b"a\0", CredentialsError::Undecodable),
            (b"\"a\"", CredentialsError::Undecodable),
        ] {
            assert_eq!(parse_token(invalid), Err(error), "{invalid:?}");
        }
    }
}
