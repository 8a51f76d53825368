//! Extractors for axum handlers.
//!
//! This module requires the feature `axum`.
//!
//! A handler extracts the authenticated caller as a [`Principal`](crate::Principal). Behind an
//! [optional](crate::AuthenticateLayer::optional) layer, it extracts an `Option<Principal>`,
//! which is `None` for an anonymous request. With the feature `jwt`, `Claims<T>` extracts the
//! claims of the caller's token. An extractor rejects the request with an [`ExtractRejection`].
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
//! // Behind `AuthenticateLayer::optional`:
//! async fn greet(caller: Option<Principal>) -> &'static str {
//!     if caller.is_some() { "welcome back" } else { "welcome" }
//! }
//! # let _: Router = Router::new().route("/", get(show)).route("/hi", get(greet));
//! # }
//! ```

#[cfg(feature = "jwt")]
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;

use crate::{
    observe::{decided::Decided, observer::Observer},
    principal::Principal,
    rejection::{Rejection, RejectionKind},
    respond::{Inherit, reject::reject},
};

/// The rejection of a request by an extractor.
///
/// The status is 401 if the request is anonymous, 403 if the caller has no claims or they do not
/// match, and 500 if no [`AuthenticateLayer`](crate::AuthenticateLayer) is outside the handler. The
/// responder of the layer renders the rejection.
#[derive(Debug)]
pub struct ExtractRejection(Box<Response>);

impl ExtractRejection {
    fn new(rejection: Rejection, head: &Parts) -> Self {
        // A handler has no state in which it could remember that a fault was reported.
        let decided = Decided { principal: head.extensions.get(), ..Decided::default() };
        Observer::of(head).observe_rejected(&rejection, head, decided, &AtomicBool::new(false));
        Self(Box::new(reject::<Body, _>(rejection, &Inherit::default(), head)))
    }
}

impl IntoResponse for ExtractRejection {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = ExtractRejection;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ExtractRejection> {
        match Self::required(head) {
            Ok(principal) => Ok(principal.clone()),
            Err(rejection) => Err(ExtractRejection::new(rejection, head)),
        }
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = ExtractRejection;

    /// Returns `None` for an anonymous request behind an
    /// [optional](crate::AuthenticateLayer::optional) layer.
    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Option<Self>, ExtractRejection> {
        match Self::required(head) {
            Ok(principal) => Ok(Some(principal.clone())),
            Err(rejection) if rejection.kind() == RejectionKind::Misconfigured => {
                Err(ExtractRejection::new(rejection, head))
            }
            Err(_) => Ok(None),
        }
    }
}

/// Extracts the claims of the caller's JWT as your own type.
///
/// They are deserialized once for each principal and type: see
/// [`Principal::claims_as`](crate::Principal::claims_as).
///
/// If the claims do not match the type, the request is rejected with 403, because another login
/// would not help the caller. The operator gets a warning that names the claim.
#[cfg(feature = "jwt")]
#[derive(Debug)]
pub struct Claims<C>(pub Arc<C>);

#[cfg(feature = "jwt")]
impl<S, C> FromRequestParts<S> for Claims<C>
where
    S: Sync,
    C: serde::de::DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = ExtractRejection;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ExtractRejection> {
        let claims = Principal::required(head)
            .and_then(|principal| principal.claims_as().map_err(Rejection::from));
        claims.map(Self).map_err(|rejection| ExtractRejection::new(rejection, head))
    }
}

#[cfg(feature = "jwt")]
impl<C> Clone for Claims<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
