//! Tokens that a client gets for itself (RFC 6749 §4.4).

use std::{fmt, future::IntoFuture, slice, sync::Arc};

use serde_json::Map;

use super::{
    access_token::{AccessContent, seconds},
    claims::ClaimsRequest,
    error::IssueError,
    exchange::requested,
    service_token::ServiceToken,
    token_issuer::{State, TokenIssuer},
};
use crate::{
    binding::cnf::Cnf,
    later::Later,
    observe::{event::Event, request_summary::RequestSummary},
    one_or_many::OneOrMany,
    principal::Principal,
};

impl TokenIssuer {
    /// Issues an access token to a client for itself: a service or a program that does not act for
    /// a user.
    ///
    /// Its `sub` and its `client_id` are the subject of the client (RFC 9068 §2.2). By default, it
    /// has all scopes of the client, and the [`audience`](super::TokenIssuerBuilder::audience) of
    /// the issuer. It has no refresh token: the client asks for another one. The claims closure is
    /// called, with [`is_client`](super::ClaimsRequest::is_client).
    ///
    /// ```
    /// use tower_auth::{Principal, issue::{IssueError, ServiceToken, TokenIssuer}};
    ///
    /// async fn nightly(issuer: &TokenIssuer, job: &Principal) -> Result<ServiceToken, IssueError>
    /// { issuer.issue_to_client(job).audience("invoices").scopes(["invoices:read"]).await }
    /// ```
    ///
    /// # Errors
    ///
    /// The future returns an error if the client does not have a scope, if the issuer issues no
    /// tokens for the audience, if the claims closure rejects the client, or if the store, the keys
    /// or the claims closure is unavailable.
    ///
    /// # Security
    ///
    /// - The client must be authenticated, for example with an API key or a password.
    /// - A client must not have the id of a user: services would mistake it for this user (RFC 9068
    ///   §5). A token of a client has no `auth_time`.
    /// - The token of a client ends like those of a user, with
    ///   [`logout_everywhere`](Self::logout_everywhere), but the client can get another one until
    ///   its key or its password is withdrawn.
    pub fn issue_to_client(&self, client: &Principal) -> ClientToken {
        let (state, client) = (Arc::clone(&self.0), client.clone());
        ClientToken { state, client, audience: None, scopes: None, confirmation: None }
    }
}

/// A request for a token of a client, which starts when it is awaited.
///
/// Created by [`TokenIssuer::issue_to_client`].
#[must_use = "no token is issued unless this is awaited"]
pub struct ClientToken {
    state: Arc<State>,
    client: Principal,
    audience: Option<String>,
    scopes: Option<Vec<String>>,
    confirmation: Option<Cnf>,
}

impl ClientToken {
    /// Asks for a token for this service only: an
    /// [`audience`](super::TokenIssuerBuilder::audience) or one of the
    /// [`service_audiences`](super::TokenIssuerBuilder::service_audiences) of the issuer.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Asks for a token with these scopes only.
    pub fn scopes<K>(mut self, scopes: impl OneOrMany<str, K>) -> Self {
        self.scopes = Some(scopes.values().map(|scope| scope.as_ref().to_owned()).collect());
        self
    }

    /// Binds the token to a key of the client (`cnf`, RFC 7800), like
    /// [`Grant::confirmation`](super::Grant::confirmation).
    pub fn confirmation(mut self, cnf: Cnf) -> Self {
        self.confirmation = Some(cnf);
        self
    }

    /// Issues the token for this request, if it is known.
    pub(super) async fn run(
        self,
        sent_with: Option<RequestSummary<'_>>,
    ) -> Result<ServiceToken, IssueError> {
        let Self { state, client, audience, scopes, confirmation } = self;
        let client_id = client.subject();
        if client_id.is_empty() {
            return Err(IssueError::Invalid("a client needs an id"));
        }
        if audience.as_ref().is_some_and(|audience| !state.has_audience(audience)) {
            return Err(IssueError::InvalidTarget);
        }
        let audience = audience.as_ref().map_or(&*state.audience, slice::from_ref);
        let granted = client.scopes().iter().map(ToOwned::to_owned).collect();
        let scopes = requested(granted, scopes).ok_or(IssueError::InvalidScope)?;
        let request = || ClaimsRequest {
            subject: client_id.to_owned(),
            issuer: state.issuer.to_string(),
            client_id: client_id.to_owned(),
            audience: audience.to_vec(),
            scopes: scopes.clone(),
            is_refresh: false,
            is_exchange: false,
            is_client: true,
        };
        let claims = state.claims_for(request).await?.ok_or(IssueError::NotAllowed)?;
        let scopes = claims.limit(&scopes);
        let custom = claims.custom.map_err(IssueError::Invalid)?;
        let (started_at, _) = state.start_of_family(client_id).await?;
        let content = AccessContent {
            subject: client_id,
            client_id,
            audience,
            started_at,
            // The credential of the client can end soon, and its token must not be valid longer.
            ends_at: client.expires_at().map_or(u64::MAX, seconds),
            scopes: &scopes,
            confirmation,
            form: state.form,
            details: Map::new(),
            custom,
        };
        let keys = state.keys.current().await?;
        let issued = ServiceToken::new(state.issue_access_token(&keys, content).await?);
        let (request, issuer) = (sent_with, &*state.issuer);
        state.observer.observe(&Event::ClientTokenIssued { request, issuer, client_id });
        Ok(issued)
    }
}

impl IntoFuture for ClientToken {
    type Output = Result<ServiceToken, IssueError>;
    type IntoFuture = Later<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Later::pending(self.run(None))
    }
}

impl fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientToken")
            .field("client", &self.client)
            .field("audience", &self.audience)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
