use std::{error::Error, fmt};

use crate::{
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

/// The reason of a rejection whose token is valid, but bound to a key that is not confirmed yet.
///
/// A token that is not confirmed is always an error, so no verifier and no cache can admit it by
/// mistake. A `BearerAuth` with a binding takes the principal from the error and confirms it.
pub(crate) struct UnconfirmedToken(Principal);

impl UnconfirmedToken {
    pub(crate) fn reject(principal: Principal) -> Rejection {
        Rejection::new(RejectionKind::InvalidCredentials).with_source(Self(principal))
    }

    /// Returns the principal of an unconfirmed token.
    pub(crate) fn principal_of(rejection: &Rejection) -> Option<&Principal> {
        rejection.source()?.downcast_ref().map(|Self(principal)| principal)
    }
}

impl fmt::Display for UnconfirmedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token is bound to a key (cnf), which is not confirmed")
    }
}

impl fmt::Debug for UnconfirmedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnconfirmedToken")
    }
}

impl Error for UnconfirmedToken {}
