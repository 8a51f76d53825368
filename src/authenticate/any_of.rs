use std::{fmt, sync::Arc};

use http::request::Parts;

use super::{
    authenticator::{Authenticator, conceal_authorization},
    outcome::Authentication,
};
use crate::header::Challenges;

/// Combines two to six authenticators for different schemes.
///
/// They are tried in order. The next one is used only if the request has no credentials for those
/// before it. If one finds invalid credentials, the request is rejected. Rejections contain the
/// challenges of all of them.
///
/// The authenticators must be for different schemes: otherwise, the first handles all
/// credentials. To accept several token issuers, use [`Issuers`](crate::jwt::Issuers), or, if
/// they sign with the same keys, call [`issuer`](crate::jwt::JwtAuthBuilder::issuer) several
/// times on one [`JwtAuth`](crate::JwtAuth) builder.
///
/// ```
/// # use tower_auth::{BasicAuth, ConfigError, basic::Users};
/// use tower_auth::{AuthenticateLayer, any_of};
///
/// # fn f(tokens: tower_auth::JwtAuth) -> Result<(), ConfigError> {
/// let staff = BasicAuth::new("staff", Users::new([("alice", "correct horse")])?)?;
/// let layer = AuthenticateLayer::new(any_of((tokens, staff)));
/// # Ok(()) }
/// ```
///
/// To choose the authenticators at run time, collect them into an [`AnyOf`].
pub fn any_of<T>(authenticators: T) -> AnyOf<T>
where
    AnyOf<T>: Authenticator,
{
    AnyOf(authenticators)
}

/// Combines authenticators for different schemes: a tuple, or a list that is chosen at run time.
///
/// [`any_of`] creates it from a tuple. A list is collected:
///
/// ```
/// use std::sync::Arc;
/// use tower_auth::{AnyOf, AuthenticateLayer, Authenticator};
///
/// # fn f(tokens: Option<tower_auth::JwtAuth>, staff: impl Authenticator + 'static) {
/// let mut schemes: Vec<Arc<dyn Authenticator>> = vec![Arc::new(staff)];
/// if let Some(tokens) = tokens {
///     schemes.push(Arc::new(tokens));
/// }
/// let layer = AuthenticateLayer::new(AnyOf::from_iter(schemes));
/// # }
/// ```
///
/// An empty list has no scheme, so the layer rejects every request with 500.
#[derive(Clone, Copy)]
pub struct AnyOf<T>(T);

impl FromIterator<Arc<dyn Authenticator>> for AnyOf<Vec<Arc<dyn Authenticator>>> {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Authenticator>>>(authenticators: I) -> Self {
        Self(authenticators.into_iter().collect())
    }
}

impl Authenticator for AnyOf<Vec<Arc<dyn Authenticator>>> {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        self.0.iter().find_map(|authenticator| authenticator.authenticate(head))
    }

    fn challenges(&self, head: &Parts) -> Challenges {
        let challenges = self.0.iter().map(|authenticator| authenticator.challenges(head));
        challenges.reduce(Challenges::and).unwrap_or_default()
    }

    fn conceal(&self, head: &mut Parts) {
        conceal_authorization(&mut head.headers);
        self.0.iter().for_each(|authenticator| authenticator.conceal(head));
    }
}

impl<T> fmt::Debug for AnyOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyOf").finish_non_exhaustive()
    }
}

macro_rules! impl_authenticator_for_tuple {
    ($first:ident $($next:ident)+) => {
        impl<$first: Authenticator, $($next: Authenticator),+> Authenticator
            for AnyOf<($first, $($next),+)>
        {
            #[allow(non_snake_case)]
            fn authenticate(&self, head: &Parts) -> Option<Authentication> {
                let ($first, $($next),+) = &self.0;
                $first.authenticate(head)$(.or_else(|| $next.authenticate(head)))+
            }

            #[allow(non_snake_case)]
            fn challenges(&self, head: &Parts) -> Challenges {
                let ($first, $($next),+) = &self.0;
                $first.challenges(head)$(.and($next.challenges(head)))+
            }

            #[allow(non_snake_case)]
            fn conceal(&self, head: &mut Parts) {
                let ($first, $($next),+) = &self.0;
                $first.conceal(head);
                $($next.conceal(head);)+
            }
        }
    };
}

impl_authenticator_for_tuple!(A B);
impl_authenticator_for_tuple!(A B C);
impl_authenticator_for_tuple!(A B C D);
impl_authenticator_for_tuple!(A B C D E);
impl_authenticator_for_tuple!(A B C D E F);
