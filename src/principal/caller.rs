use http::Extensions;

use super::{anonymous::Anonymous, principal::Principal};
use crate::{
    header::{Challenge, Challenges, Scheme},
    rejection::Rejection,
};

/// What a layer knows about the caller when it completes the rejection of a handler.
#[derive(Clone)]
pub(crate) enum Caller {
    Authenticated { scheme: Scheme, challenge: Option<Challenge> },
    Anonymous(Challenges),
}

impl Caller {
    #[inline]
    pub(crate) fn of(principal: &Principal) -> Self {
        Self::Authenticated {
            scheme: principal.scheme(),
            challenge: principal.challenge().cloned(),
        }
    }

    /// Returns the caller of a request, or `None` if no layer has authenticated it.
    pub(crate) fn in_extensions(extensions: &Extensions) -> Option<Self> {
        match extensions.get::<Principal>() {
            Some(principal) => Some(Self::of(principal)),
            None => {
                extensions.get().map(|Anonymous(challenges)| Self::Anonymous(challenges.clone()))
            }
        }
    }

    /// Returns the scheme of the credentials.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        match self {
            Self::Authenticated { scheme, .. } => Some(*scheme),
            Self::Anonymous(_) => None,
        }
    }

    /// Adds the challenges of the caller's scheme if the kind of the rejection requires them.
    pub(crate) fn complete(&self, rejection: Rejection) -> Rejection {
        match self {
            Self::Anonymous(challenges) => rejection.with_scheme_challenges(challenges),
            // There is no challenge for a webhook.
            Self::Authenticated { scheme, challenge: None } if *scheme == Scheme::WEBHOOK => {
                rejection
            }
            Self::Authenticated { scheme, challenge } => {
                let challenge = challenge.as_ref().map(Challenge::without_error_uri);
                let challenge = challenge.unwrap_or_else(|| Challenge::new(*scheme));
                rejection.with_scheme_challenges(&challenge.into())
            }
        }
    }
}
