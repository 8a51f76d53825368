use bytes::Bytes;
use http::{Response, StatusCode};

use super::error::{IntrospectionError, IntrospectionErrorKind};
use crate::client::{
    endpoint_failure::{EndpointFailure, Fault},
    refreshing::RefreshingToken,
    token_endpoint::TokenEndpoint,
};

/// The introspection endpoint of an authorization server, and how this service authenticates there.
pub(super) struct Endpoint {
    pub(super) endpoint: TokenEndpoint,
    /// Authenticates this service, instead of the client authentication of the endpoint.
    pub(super) own_token: Option<RefreshingToken>,
}

impl Endpoint {
    /// Asks about a token (RFC 7662 §2.1). The token is sent in the body only.
    ///
    /// If the URL of the endpoint is not known, it is searched first, unless requests are
    /// `is_paused`: another search has failed in the meantime.
    pub(super) async fn ask(
        &self,
        token: &str,
        is_paused: impl Fn() -> bool,
    ) -> Result<Response<Bytes>, IntrospectionError> {
        let form = [("token", token), ("token_type_hint", "access_token")];
        let admit = || match is_paused() {
            true => Err(EndpointFailure::because("another request has failed").from(Fault::Outage)),
            false => Ok(()),
        };
        let Some(own_token) = &self.own_token else {
            return self.endpoint.post(&form, None, admit).await.map_err(of_client);
        };
        let get =
            async || own_token.header_value().await.map_err(IntrospectionError::of_token_source);
        let authorization = get().await?;
        let sent = self.endpoint.post(&form, Some(authorization.clone()), admit);
        let response = sent.await.map_err(of_client)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        // The token of this service may have been revoked. A recent one is kept.
        own_token.discard(&authorization);
        let fresh = get().await?;
        if fresh == authorization {
            return Ok(response);
        }
        self.endpoint.post(&form, Some(fresh), admit).await.map_err(of_client)
    }
}

fn of_client(failure: EndpointFailure) -> IntrospectionError {
    let (kind, message) = match failure.fault {
        Fault::Configuration => {
            (IntrospectionErrorKind::Rejected, "the introspection endpoint cannot be used")
        }
        _ => (IntrospectionErrorKind::Outage, "cannot reach the introspection endpoint"),
    };
    IntrospectionError::new(kind, message).caused_by(failure.error)
}
