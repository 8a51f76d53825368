//! Extractors for axum handlers, behind the feature `axum`.
//!
//! ```
//! # use axum::{Router, routing::get};
//! # #[cfg(feature = "jwt")] {
//! use tower_auth::{Principal, extract::Claims};
//!
//! #[derive(serde::Deserialize)]
//! struct Tenant {
//!     tenant: String,
//! }
//!
//! async fn show(caller: Principal, Claims(claims): Claims<Tenant>) -> String {
//!     format!("{} of {}", caller.subject(), claims.tenant)
//! }
//!
//! // Where the layer is `AuthenticateLayer::optional`:
//! async fn greet(caller: Option<Principal>) -> &'static str {
//!     if caller.is_some() { "welcome back" } else { "welcome" }
//! }
//! # let _: Router = Router::new().route("/", get(show)).route("/hi", get(greet));
//! # }
//! ```

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts, RawPathParams},
    response::{IntoResponse, Response},
};
use http::{Request, request::Parts};

use crate::{
    Denial, Principal, Rejection,
    respond::{DefaultResponder, refuse},
};

/// A refusal by an extractor, which is the default responder's, whatever the layer's is: 401 where an optional layer let the
/// request through, 500 where there is no layer.
#[derive(Debug)]
pub struct Refusal(Box<Response>);

impl Refusal {
    fn new(rejection: Rejection, head: &Parts) -> Self {
        Self(Box::new(refuse::<Body, _>(rejection, &DefaultResponder::default(), head)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match Self::required(&head.extensions) {
            Ok(principal) => Ok(principal.clone()),
            Err(rejection) => Err(Refusal::new(rejection, head)),
        }
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = Refusal;

    /// `None` where an [optional](crate::AuthenticateLayer::optional) layer let the request through.
    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Option<Self>, Refusal> {
        match Self::required(&head.extensions) {
            Ok(principal) => Ok(Some(principal.clone())),
            Err(rejection) if rejection.kind() == crate::RejectionKind::Misconfigured => {
                Err(Refusal::new(rejection, head))
            }
            Err(_) => Ok(None),
        }
    }
}

/// The claims of the caller's JWT, as a type of yours.
///
/// A token whose claims do not fit the type is refused as one that is not valid (401); a caller whose
/// scheme knows no claims is refused with 403.
#[cfg(feature = "jwt")]
#[derive(Clone, Copy, Debug)]
pub struct Claims<C>(pub C);

#[cfg(feature = "jwt")]
impl<S, C> FromRequestParts<S> for Claims<C>
where
    S: Sync,
    C: serde::de::DeserializeOwned,
{
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let claims = Principal::required(&head.extensions).and_then(|principal| {
            principal.claims().map_err(|error| misfit(principal).because(error))
        });
        claims.map(Self).map_err(|rejection| Refusal::new(rejection, head))
    }
}

/// A parameter of the path, as axum has found and decoded it: none where no route has matched (which looks like a
/// route without parameters), or where it cannot be decoded. A route with others than this one, or with two of
/// this name, is no place to ask for it.
pub(crate) fn path_param(head: &Parts, name: &str) -> Result<Option<String>, Denial> {
    let mut copy = Request::new(()).into_parts().0;
    copy.extensions = head.extensions.clone();
    let params = pin!(RawPathParams::from_request_parts(&mut copy, &()));
    // It waits for nothing.
    let Poll::Ready(Ok(params)) = params.poll(&mut Context::from_waker(Waker::noop())) else {
        return Ok(None);
    };
    let mut found = params.iter().filter(|(known, _)| *known == name);
    match (found.next(), found.next()) {
        (None, _) if params.iter().next().is_none() => Ok(None),
        (Some((_, value)), None) => Ok(Some(value.to_owned())),
        (None, _) => {
            Err(Denial::misconfigured().because(format!("the route has no parameter {name:?}")))
        }
        (Some(_), Some(_)) => Err(Denial::misconfigured()
            .because(format!("the route has two parameters {name:?}: name them apart"))),
    }
}

#[cfg(feature = "jwt")]
fn misfit(principal: &Principal) -> Rejection {
    use crate::RejectionKind as Kind;

    let error = |challenge: &crate::Challenge| challenge.with_param("error", "invalid_token").ok();
    match principal.challenge().and_then(error) {
        Some(challenge) => Rejection::new(Kind::InvalidCredentials).with_challenge(challenge),
        None => Rejection::new(Kind::Forbidden),
    }
}
