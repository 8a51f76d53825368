use std::{fmt, sync::Arc};

use crate::{
    binding::binding::Binding,
    credentials::{cross_site::CrossSite, location::TokenLocation},
    header::{Challenge, Challenges, scheme::is_ambient},
    principal::principal::Presented,
};

/// What a [`BearerAuth`](super::BearerAuth) adds to its verifier.
#[derive(Clone)]
#[doc(hidden)]
pub struct BearerSettings {
    /// An empty list stands for `Authorization` alone.
    pub(crate) locations: Vec<TokenLocation>,
    pub(crate) max_token_bytes: usize,
    /// The scheme and the challenge, for principals. Only this challenge, of the three, has an
    /// `error_uri` without an `error`, because policies add one.
    pub(crate) presented: Arc<Presented>,
    pub(crate) challenges: Challenges,
    /// The challenges with the error `invalid_token`.
    pub(crate) invalid_token: Challenges,
    pub(crate) binding: Option<Arc<dyn Binding>>,
    /// Whether browsers send `Authorization` with the expected scheme on their own.
    pub(crate) is_scheme_ambient: bool,
    /// For ambient tokens.
    pub(crate) cross_site: CrossSite,
}

impl BearerSettings {
    /// The size limit of a token in bytes, unless the verifier has another one.
    pub(crate) const MAX_TOKEN_BYTES: usize = 64 * 1024;

    pub(crate) fn new(challenge: Challenge) -> Self {
        Self {
            locations: Vec::new(),
            max_token_bytes: Self::MAX_TOKEN_BYTES,
            invalid_token: challenge.with_params([("error", "invalid_token")]).into(),
            challenges: challenge.without_error_uri().into(),
            is_scheme_ambient: is_ambient(challenge.scheme().as_str()),
            presented: Arc::new(Presented { scheme: challenge.scheme(), challenge }),
            binding: None,
            cross_site: CrossSite::default(),
        }
    }

    pub(crate) fn with_challenge(self, challenge: Challenge) -> Self {
        let Self { locations, max_token_bytes, binding, cross_site, .. } = self;
        Self { locations, max_token_bytes, binding, cross_site, ..Self::new(challenge) }
    }
}

impl fmt::Debug for BearerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerSettings")
            .field("challenge", &self.presented.challenge)
            .field("locations", &self.locations)
            .finish_non_exhaustive()
    }
}
