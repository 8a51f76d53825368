use http::Extensions;

use super::principal::Principal;
use crate::{
    header::Challenges,
    rejection::{Rejection, RejectionKind},
};

/// Left in the extensions where an optional layer let a request through: nobody is known, and this is
/// what to ask for where somebody has to be.
#[derive(Clone)]
pub(crate) struct Anonymous(Challenges);

impl Anonymous {
    /// Leaves the mark, beside what layers further out would ask for.
    pub(crate) fn mark(extensions: &mut Extensions, challenges: Challenges) {
        let challenges = match extensions.remove::<Self>() {
            Some(Self(outer)) => outer.and(challenges),
            None => challenges,
        };
        extensions.insert(Self(challenges));
    }
}

impl Principal {
    /// The caller, or why there is none: an optional layer let the request through (401), or there is
    /// no layer that could have known (500).
    pub(crate) fn required(extensions: &Extensions) -> Result<&Self, Rejection> {
        if let Some(principal) = extensions.get::<Self>() {
            return Ok(principal);
        }
        Err(match extensions.get::<Anonymous>() {
            Some(Anonymous(challenges)) => {
                Rejection::new(RejectionKind::MissingCredentials).with_scheme_challenges(challenges)
            }
            None => Rejection::new(RejectionKind::Misconfigured)
                .because("no AuthenticateLayer is outside of this: put one around it"),
        })
    }
}
