use axum::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;

use crate::{
    principal::Principal,
    rejection::Rejection,
    respond::{DefaultResponder, reject::reject},
};

/// A refusal by an extractor, which is the default responder's, whatever the layer's is: 401 where an optional layer let the
/// request through, 500 where there is no layer.
#[derive(Debug)]
pub struct ExtractRejection(Box<Response>);

impl ExtractRejection {
    fn new(rejection: Rejection, head: &Parts) -> Self {
        Self(Box::new(reject::<Body, _>(rejection, &DefaultResponder::default(), head)))
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
        match Self::required(&head.extensions) {
            Ok(principal) => Ok(principal.clone()),
            Err(rejection) => Err(ExtractRejection::new(rejection, head)),
        }
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = ExtractRejection;

    /// `None` where an [optional](crate::AuthenticateLayer::optional) layer let the request through.
    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Option<Self>, ExtractRejection> {
        match Self::required(&head.extensions) {
            Ok(principal) => Ok(Some(principal.clone())),
            Err(rejection) if rejection.kind() == crate::RejectionKind::Misconfigured => {
                Err(ExtractRejection::new(rejection, head))
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
    type Rejection = ExtractRejection;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, ExtractRejection> {
        let claims = Principal::required(&head.extensions).and_then(|principal| {
            principal.claims().map_err(|error| misfit(principal).because(error))
        });
        claims.map(Self).map_err(|rejection| ExtractRejection::new(rejection, head))
    }
}

#[cfg(feature = "jwt")]
fn misfit(principal: &Principal) -> Rejection {
    use crate::rejection::RejectionKind as Kind;

    let error = |challenge: &crate::Challenge| challenge.with_param("error", "invalid_token").ok();
    match principal.challenge().and_then(error) {
        Some(challenge) => Rejection::new(Kind::InvalidCredentials).with_challenge(challenge),
        None => Rejection::new(Kind::Forbidden),
    }
}
