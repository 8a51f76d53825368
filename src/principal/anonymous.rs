use http::{Extensions, request::Parts};

use super::principal::Principal;
use crate::{
    credentials::authorization::missing_credentials,
    header::Challenges,
    rejection::{Rejection, RejectionKind},
};

/// Marks an anonymous request in its extensions, with the challenges for inner layers that
/// require a caller.
#[derive(Clone)]
pub(crate) struct Anonymous(pub(crate) Challenges);

impl Anonymous {
    /// Marks a request as anonymous. Challenges of outer layers are kept.
    pub(crate) fn mark(extensions: &mut Extensions, challenges: Challenges) {
        let challenges = match extensions.remove::<Self>() {
            Some(Self(outer)) => outer.and(challenges),
            None => challenges,
        };
        extensions.insert(Self(challenges));
    }
}

impl Principal {
    /// Returns the authenticated caller.
    ///
    /// # Errors
    ///
    /// Returns a rejection with 401 if the request is anonymous, and with 500 if it did not pass
    /// through an authentication layer.
    pub(crate) fn required(head: &Parts) -> Result<&Self, Rejection> {
        if let Some(principal) = head.extensions.get::<Self>() {
            return Ok(principal);
        }
        Err(match head.extensions.get::<Anonymous>() {
            Some(Anonymous(challenges)) => {
                missing_credentials(&head.headers).with_scheme_challenges(challenges)
            }
            None => Rejection::new(RejectionKind::Misconfigured).because(
                "no AuthenticateLayer around this layer or handler: add one, or correct the order \
                 of the layers",
            ),
        })
    }
}
