use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::request::Parts;
use pin_project_lite::pin_project;

use super::authenticator::Authenticator;
use crate::{header::Challenges, principal::Principal, rejection::Rejection};

/// Combines two authenticators for different schemes. Nest calls to combine more.
///
/// The second authenticator is used only if the request has no credentials for the first. If the
/// first finds invalid credentials, the request is rejected. Rejections contain the challenges of
/// both.
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
/// let layer = AuthenticateLayer::new(any_of(tokens, staff));
/// # Ok(()) }
/// ```
pub fn any_of<A, B>(first: A, second: B) -> AnyOf<A, B> {
    AnyOf { first, second }
}

/// Combines two authenticators for different schemes. Created by [`any_of`].
#[derive(Clone, Copy, Debug)]
pub struct AnyOf<A, B> {
    first: A,
    second: B,
}

impl<A: Authenticator, B: Authenticator> Authenticator for AnyOf<A, B> {
    type Future = AnyOfFuture<A::Future, B::Future>;

    fn authenticate(&self, head: &Parts) -> Option<Self::Future> {
        let either = match self.first.authenticate(head) {
            Some(first) => Either::First { first },
            None => Either::Second { second: self.second.authenticate(head)? },
        };
        Some(AnyOfFuture { either })
    }

    fn into_ready(future: Self::Future) -> Result<<Self::Future as Future>::Output, Self::Future> {
        let ready = match future.either {
            Either::First { first } => {
                A::into_ready(first).map_err(|first| Either::First { first })
            }
            Either::Second { second } => {
                B::into_ready(second).map_err(|second| Either::Second { second })
            }
        };
        ready.map_err(|either| AnyOfFuture { either })
    }

    fn challenges(&self, head: &Parts) -> Challenges {
        self.first.challenges(head).and(self.second.challenges(head))
    }
}

pin_project! {
    /// The future of the authenticator that found credentials.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct AnyOfFuture<A, B> {
        #[pin]
        either: Either<A, B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = Projected]
    enum Either<A, B> {
        First { #[pin] first: A },
        Second { #[pin] second: B },
    }
}

impl<A, B> Future for AnyOfFuture<A, B>
where
    A: Future<Output = Result<Principal, Rejection>>,
    B: Future<Output = Result<Principal, Rejection>>,
{
    type Output = Result<Principal, Rejection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().either.project() {
            Projected::First { first } => first.poll(cx),
            Projected::Second { second } => second.poll(cx),
        }
    }
}
