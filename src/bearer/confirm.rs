//! How the result of a verifier becomes that of a `BearerAuth`: with its scheme and challenge, and
//! after the bindings have confirmed the key of a bound token.

use std::{str, sync::Arc};

use http::{HeaderMap, request::Parts};

use super::{
    issuers::misconfigured,
    settings::{BearerSettings, repeats},
    verifier::unconfirmed,
};
use crate::{
    authenticate::{Authentication, outcome::Outcome},
    binding::{binding::Binding, evidence::Evidence},
    config_error::ConfigError,
    credentials::{
        authorization::{Credentials, single_token},
        error::CredentialsError,
        location::TokenLocation,
    },
    header::{Challenge, Challenges},
    jwt::error::TokenError,
    principal::{Principal, principal::Presented},
    rejection::{Rejection, RejectionKind},
};

/// How a request carries its token.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    /// The position of the scheme of a binding, if the token was sent with it.
    pub(super) bound_scheme: Option<usize>,
    pub(super) is_authorization: bool,
}

impl Sent {
    /// With the scheme of the `BearerAuth`.
    pub(super) const OWN: Self = Self { bound_scheme: None, is_authorization: true };
}

impl BearerSettings {
    /// Returns the position of the scheme of a binding, if the credentials in `Authorization` are
    /// for it.
    #[inline]
    pub(super) fn bound_scheme_of(&self, head: &Parts) -> Option<usize> {
        if self.bound_schemes.is_empty() {
            return None;
        }
        let credentials = Credentials::from_headers(&head.headers).ok()??;
        self.bound_schemes.iter().position(|bound| credentials.is_for(bound.presented.scheme))
    }

    /// Returns the scheme and the challenge with which a token was sent.
    #[inline]
    pub(super) fn sent_with(&self, bound_scheme: Option<usize>) -> &Arc<Presented> {
        let bound = bound_scheme.and_then(|position| self.bound_schemes.get(position));
        bound.map_or(&self.presented, |bound| &bound.presented)
    }

    fn invalid_token(&self, sent: Sent) -> &Challenges {
        let bound = sent.bound_scheme.and_then(|position| self.bound_schemes.get(position));
        bound.map_or(&self.invalid_token, |bound| &bound.invalid_token)
    }

    pub(super) fn reject_unreadable(&self, error: CredentialsError, sent: Sent) -> Rejection {
        match error {
            CredentialsError::SeveralTokens
                if repeats(&self.locations, TokenLocation::is_same_place) =>
            {
                misconfigured(ConfigError::conflict(Self::REPEATED_LOCATION))
            }
            CredentialsError::Undecodable => self.add_challenge(error.into(), sent),
            _ => error.into(),
        }
    }

    /// Adds the scheme and the challenge to the result of a verifier, unless a nested `BearerAuth`
    /// has added its own.
    #[inline]
    pub(super) fn present(
        &self,
        result: Result<Principal, Rejection>,
        token: &[u8],
        sent: Sent,
    ) -> Result<Principal, Rejection> {
        let presented = self.sent_with(sent.bound_scheme);
        match result {
            Ok(principal) if principal.challenge().is_some() && sent.bound_scheme.is_none() => {
                Ok(principal)
            }
            Ok(principal) => Ok(principal.presented_as(presented)),
            Err(rejection) => Err(self.reject(rejection, token, sent).of_scheme(presented.scheme)),
        }
    }

    /// Rejects a token that failed verification: as a malformed request if it is not a single token
    /// (RFC 6750 §3.1), otherwise as an invalid token.
    fn reject(&self, rejection: Rejection, token: &[u8], sent: Sent) -> Rejection {
        match single_token(token) {
            Err(error) if rejection.kind() == RejectionKind::InvalidCredentials => error.into(),
            _ => self.add_challenge(rejection, sent),
        }
    }

    /// Adds the challenge with `invalid_token` to invalid credentials without a challenge.
    fn add_challenge(&self, rejection: Rejection, sent: Sent) -> Rejection {
        let has_challenge = rejection.challenges().next().is_some();
        if has_challenge || rejection.kind() != RejectionKind::InvalidCredentials {
            return rejection;
        }
        rejection.with_challenges(self.invalid_token(sent).clone())
    }

    /// Adds the parameters of this authenticator, such as `realm`, to the challenges of a binding.
    fn complete_challenges(&self, rejection: Rejection) -> Rejection {
        let base = &self.presented.challenge;
        let is_bound = |challenge: &Challenge| {
            self.bound_schemes.iter().any(|it| it.presented.scheme == challenge.scheme())
        };
        let challenges: Vec<_> = rejection
            .challenges()
            .map(|challenge| match is_bound(challenge) {
                true => challenge.with_params_of(base),
                false => challenge.clone(),
            })
            .collect();
        match challenges.is_empty() {
            true => rejection,
            false => rejection.with_challenges(Challenges::from_vec(challenges)),
        }
    }

    /// Returns whether a token is not bound to a key, and need not be.
    #[inline]
    pub(super) fn is_plain(&self, principal: &Principal, sent: Sent) -> bool {
        principal.confirmation().is_none() && sent.bound_scheme.is_none() && !self.requires_binding
    }

    /// Accepts a valid token that is bound to a key only if the bindings confirm it.
    ///
    /// `evidence` is called once for each binding, in their order.
    #[cold]
    pub(super) fn confirm(
        self: &Arc<Self>,
        principal: Principal,
        mut evidence: impl FnMut(&dyn Binding) -> Option<Evidence>,
        token: &[u8],
        sent: Sent,
    ) -> Authentication {
        let presented = self.sent_with(sent.bound_scheme);
        let reject = |rejection: Rejection| {
            let rejection = self.add_challenge(rejection, sent).of_scheme(presented.scheme);
            Authentication::ready(Err(rejection))
        };
        if let Some(fault) = self.binding_fault {
            let fault = Rejection::new(RejectionKind::Misconfigured).because(fault);
            return Authentication::ready(Err(fault.of_scheme(presented.scheme)));
        }
        // A valid token is text.
        let (Some(cnf), Ok(token)) = (principal.confirmation(), str::from_utf8(token)) else {
            let invalid = Rejection::new(RejectionKind::InvalidCredentials);
            return reject(invalid.with_source(TokenError::Unbound));
        };
        let scheme = sent.is_authorization.then_some(presented.scheme);
        let mut asked = Vec::with_capacity(self.bindings.len());
        for binding in &self.bindings {
            let evidence = evidence(&**binding).map(|evidence| evidence.with_scheme(scheme));
            let members = binding.members();
            if members.is_empty() || members.iter().any(|name| cnf.has_member(name)) {
                asked.push((Arc::clone(binding), evidence));
            } else if sent.bound_scheme.is_some()
                && binding.challenge().is_some_and(|own| own.scheme() == presented.scheme)
            {
                return reject(unconfirmed(&principal));
            }
        }
        let settings = Arc::clone(self);
        let finish = move |outcome: Outcome<()>, principal| {
            let scheme = settings.sent_with(sent.bound_scheme).scheme;
            let reject = |rejection| {
                let rejection = settings.complete_challenges(rejection);
                settings.add_challenge(rejection, sent).of_scheme(scheme)
            };
            let Outcome { result, headers } = outcome;
            Outcome { result: result.map(|()| principal).map_err(reject), headers }
        };
        if asked.len() > 1 {
            let (cnf, token) = (cnf.clone(), Box::<str>::from(token));
            return Authentication::pending(async move {
                let mut all: Option<Box<HeaderMap>> = None;
                for (binding, evidence) in asked {
                    let Outcome { result, headers } = binding.confirm(&cnf, evidence, &token).await;
                    if let Some(headers) = headers {
                        all.get_or_insert_default().extend(*headers);
                    }
                    if result.is_err() {
                        return finish(Outcome { result, headers: all }, principal);
                    }
                }
                finish(Outcome { result: Ok(()), headers: all }, principal)
            });
        }
        match asked.pop() {
            Some((binding, evidence)) => {
                let confirmation = binding.confirm(cnf, evidence, token);
                confirmation.map(move |outcome| finish(outcome, principal))
            }
            None => reject(unconfirmed(&principal)),
        }
    }
}
