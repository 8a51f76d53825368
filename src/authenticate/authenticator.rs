use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};

use super::outcome::{Authentication, Outcome};
use crate::{
    header::{Challenges, sensitive::mark_sensitive},
    principal::{MapPrincipal, Principal, map_principal::map_confirmed},
};

/// Identifies the caller of a request from its head.
///
/// [`AuthenticateLayer`](crate::AuthenticateLayer) calls it. [`BasicAuth`](crate::BasicAuth) and
/// [`JwtAuth`](crate::JwtAuth) are authenticators, and [`any_of`](crate::any_of) combines several
/// of them. Implement this trait to support a custom scheme:
///
/// ```
/// use http::request::Parts;
/// use tower_auth::{
///     Authentication, Authenticator, Challenge, Challenges, Principal, Rejection, RejectionKind,
///     Scheme, credentials::Credentials,
/// };
///
/// const API_KEY: Scheme = Scheme::new("ApiKey");
///
/// struct ApiKeys;
///
/// impl Authenticator for ApiKeys {
///     fn authenticate(&self, head: &Parts) -> Option<Authentication> {
///         let credentials = match Credentials::from_headers(&head.headers) {
///             Ok(credentials) => credentials?,
///             Err(error) => return Some(Authentication::ready(Err(error.into()))),
///         };
///         if !credentials.is_for(API_KEY) {
///             return None;
///         }
///         let key = credentials.value().to_vec();
///         Some(Authentication::pending(async move {
///             match look_up(&key).await {
///                 Some(owner) => Ok(Principal::builder(owner, API_KEY).build()),
///                 None => Err(Rejection::new(RejectionKind::InvalidCredentials)),
///             }
///         }))
///     }
///
///     fn challenges(&self, _: &Parts) -> Challenges {
///         Challenge::new(API_KEY).into()
///     }
/// }
/// # async fn look_up(key: &[u8]) -> Option<&'static str> { None }
/// ```
///
/// An authenticator that is chosen at run time is an `Arc<dyn Authenticator>`. In an `Option`,
/// `None` is an authenticator without a scheme: [`any_of`](crate::any_of) skips it, and a layer
/// that has no other rejects every request with 500.
///
/// # Security
///
/// If a browser or a proxy adds the credentials on its own (a session cookie, a client certificate,
/// `Negotiate`), another site can cause requests with them. The built-in schemes reject these. For
/// an implementation of this trait, put a
/// [`SameOriginLayer`](crate::transport::SameOriginLayer) around the layer.
pub trait Authenticator: Send + Sync {
    /// Starts the authentication of a request.
    ///
    /// Returns `None` if the head contains no credentials for this scheme. The credentials are then
    /// *missing*, and another scheme can be tried. If this returns `Some`, the outcome is final:
    /// invalid credentials are rejected, even if the head also contains other credentials.
    fn authenticate(&self, head: &Parts) -> Option<Authentication>;

    /// Returns the challenges for a request with this head, without an `error` parameter.
    ///
    /// Every scheme has at least one challenge. If there is none, the layer cannot ask for
    /// credentials, and rejects every request with 500.
    fn challenges(&self, head: &Parts) -> Challenges;

    /// Hides the credentials from inner services, so that they do not log or forward them.
    ///
    /// The layer calls it after [`authenticate`](Self::authenticate), for every request. The
    /// default implementation marks `Authorization` as sensitive. An implementation that reads
    /// credentials from another place hides that place as well.
    fn conceal(&self, head: &mut Parts) {
        conceal_authorization(&mut head.headers);
    }

    /// Changes the principal of each authenticated caller, for example to add scopes.
    ///
    /// The closure runs for each request. Create the changed copy with
    /// [`Principal::to_builder`], which keeps the scheme and the challenge.
    ///
    /// ```
    /// use tower_auth::{Authenticator, Principal};
    ///
    /// # fn f(staff: impl Authenticator) -> impl Authenticator {
    /// staff.map_principal(|caller: Principal| match caller.subject() {
    ///     "alice" => caller.to_builder().scopes(["orders:read", "orders:write"]).build(),
    ///     _ => caller,
    /// })
    /// # }
    /// ```
    ///
    /// Verifiers have the same method:
    #[cfg_attr(
        feature = "basic",
        doc = "[`PasswordVerifier::map_principal`](crate::basic::PasswordVerifier::map_principal),"
    )]
    #[cfg_attr(
        feature = "jwt",
        doc = "[`TokenVerifier::map_principal`](crate::bearer::TokenVerifier::map_principal), and, \
               once for each cached token, \
               [`JwtAuthBuilder::map_principal`](crate::jwt::JwtAuthBuilder::map_principal)."
    )]
    ///
    /// # Security
    ///
    /// The closure cannot change the key to which credentials are bound: the `confirmation` of the
    /// principal remains as it was. It cannot set a later [`expires_at`](Principal::expires_at).
    fn map_principal<F>(self, map: F) -> MapPrincipal<Self, F>
    where
        Self: Sized,
        F: Fn(Principal) -> Principal + Send + Sync + 'static,
    {
        MapPrincipal::new(self, map)
    }
}

/// Marks every `Authorization` value as sensitive.
#[inline]
pub(crate) fn conceal_authorization(headers: &mut HeaderMap) {
    mark_sensitive(headers, &AUTHORIZATION);
}

macro_rules! impl_authenticator_for_pointers {
    ($($pointer:ident)+) => {$(
        impl<A: Authenticator + ?Sized> Authenticator for $pointer<A> {
            fn authenticate(&self, head: &Parts) -> Option<Authentication> {
                (**self).authenticate(head)
            }

            fn challenges(&self, head: &Parts) -> Challenges {
                (**self).challenges(head)
            }

            fn conceal(&self, head: &mut Parts) {
                (**self).conceal(head);
            }
        }
    )+};
}

impl_authenticator_for_pointers!(Arc Box);

impl<A, F> Authenticator for MapPrincipal<A, F>
where
    A: Authenticator,
    F: Fn(Principal) -> Principal + Send + Sync + 'static,
{
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        let authentication = self.inner.authenticate(head)?;
        Some(self.map_later(authentication, |map, Outcome { result, headers }| Outcome {
            result: result.map(|principal| map_confirmed(map, principal)),
            headers,
        }))
    }

    fn challenges(&self, head: &Parts) -> Challenges {
        self.inner.challenges(head)
    }

    fn conceal(&self, head: &mut Parts) {
        self.inner.conceal(head);
    }
}

/// For an authenticator that the configuration can switch off. `None` has no scheme and no
/// challenge.
impl<A: Authenticator> Authenticator for Option<A> {
    fn authenticate(&self, head: &Parts) -> Option<Authentication> {
        self.as_ref()?.authenticate(head)
    }

    fn challenges(&self, head: &Parts) -> Challenges {
        self.as_ref().map_or_else(Challenges::default, |inner| inner.challenges(head))
    }

    fn conceal(&self, head: &mut Parts) {
        match self {
            Some(inner) => inner.conceal(head),
            None => conceal_authorization(&mut head.headers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_authorization_values_are_marked_sensitive() {
        for count in 0..4 {
            for others in [0, 1, 40] {
                let mut headers = HeaderMap::new();
                (0..count).for_each(|_| _ = headers.append(AUTHORIZATION, "x y".parse().unwrap()));
                (0..others).for_each(|_| _ = headers.append("accept", "x".parse().unwrap()));
                conceal_authorization(&mut headers);
                let concealed = headers.get_all(AUTHORIZATION).iter().filter(|l| l.is_sensitive());
                assert_eq!(concealed.count(), count, "{count} {others}");
                assert!(headers.get_all("accept").iter().all(|line| !line.is_sensitive()));
            }
        }
    }
}
