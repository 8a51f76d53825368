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
    pub(crate) bindings: Vec<Arc<dyn Binding>>,
    /// Whether tokens that are not bound to a key are rejected.
    pub(crate) requires_binding: bool,
    /// How tokens are sent with the schemes of the bindings.
    pub(crate) bound_schemes: Vec<BoundScheme>,
    /// Why no token that needs a binding can be accepted.
    pub(crate) binding_fault: Option<&'static str>,
    /// Whether browsers send `Authorization` with the expected scheme on their own.
    pub(crate) is_scheme_ambient: bool,
    /// For ambient tokens.
    pub(crate) cross_site: CrossSite,
}

/// A scheme for tokens that are bound to a key, such as DPoP.
#[derive(Clone)]
pub(crate) struct BoundScheme {
    pub(crate) presented: Arc<Presented>,
    pub(crate) invalid_token: Challenges,
}

impl BoundScheme {
    fn new(challenge: &Challenge, base: &Challenge) -> Self {
        let challenge = challenge.with_params_of(base);
        Self {
            invalid_token: challenge.with_params([("error", "invalid_token")]).into(),
            presented: Arc::new(Presented { scheme: challenge.scheme(), challenge }),
        }
    }
}

impl BearerSettings {
    /// Why every request with a token at such a location is rejected.
    pub(crate) const REPEATED_LOCATION: &str =
        "a token location is set twice, so each token counts as two: remove one call of token_from";

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
            bindings: Vec::new(),
            requires_binding: false,
            bound_schemes: Vec::new(),
            binding_fault: None,
            cross_site: CrossSite::default(),
        }
    }

    pub(crate) fn with_challenge(self, challenge: Challenge) -> Self {
        let Self { locations, max_token_bytes, bindings, requires_binding, cross_site, .. } = self;
        let settings = Self { locations, max_token_bytes, cross_site, ..Self::new(challenge) };
        settings.with_bindings(bindings, requires_binding)
    }

    /// Sets the bindings, and accepts their schemes.
    pub(crate) fn with_bindings(self, bindings: Vec<Arc<dyn Binding>>, is_required: bool) -> Self {
        let settings = Self::new(self.presented.challenge.clone());
        let own = &settings.presented.challenge;
        let bound_challenges: Vec<_> =
            bindings.iter().filter_map(|binding| binding.challenge()).collect();
        let bound_schemes: Vec<_> =
            bound_challenges.iter().map(|challenge| BoundScheme::new(challenge, own)).collect();
        // If every token must be sent with the scheme of a binding, this scheme is not offered.
        let is_own_offered = !is_required || bound_schemes.len() < bindings.len();
        let (mut challenges, mut invalid_token) = match is_own_offered {
            true => (settings.challenges, settings.invalid_token),
            false => Default::default(),
        };
        for bound in &bound_schemes {
            challenges = challenges.and(bound.presented.challenge.without_error_uri());
            if !is_own_offered {
                invalid_token = invalid_token.and(bound.invalid_token.clone());
            }
        }
        let requires_binding = is_required;
        let binding_fault = binding_fault(&bindings, is_required);
        Self {
            bindings,
            requires_binding,
            bound_schemes,
            binding_fault,
            challenges,
            invalid_token,
            ..self
        }
    }
}

/// Returns whether two bindings expect their proofs with the same scheme. Both would then check
/// each proof, and accept it only once.
pub(crate) fn has_same_scheme(one: &dyn Binding, other: &dyn Binding) -> bool {
    match (one.challenge(), other.challenge()) {
        (Some(one), Some(other)) => one.scheme() == other.scheme(),
        _ => false,
    }
}

fn binding_fault(bindings: &[Arc<dyn Binding>], is_required: bool) -> Option<&'static str> {
    if is_required && bindings.is_empty() {
        return Some("require_binding needs a binding: call binding as well");
    }
    repeats(bindings, |one, other| has_same_scheme(&**one, &**other))
        .then_some("two bindings have the same scheme: remove one call of binding")
}

/// Returns whether two of the values are the same.
pub(crate) fn repeats<T>(values: &[T], is_same: impl Fn(&T, &T) -> bool) -> bool {
    values.iter().enumerate().any(|(at, one)| values.iter().skip(at + 1).any(|it| is_same(one, it)))
}

impl fmt::Debug for BearerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerSettings")
            .field("challenge", &self.presented.challenge)
            .field("locations", &self.locations)
            .finish_non_exhaustive()
    }
}
