//! The exchange of an access token for one of another service (RFC 8693).

use std::{collections::HashSet, fmt, future::IntoFuture, slice, sync::Arc};

use super::{
    access_token::{AccessContent, TokenForm},
    claims::ClaimsRequest,
    error::Unavailable,
    exchange_error::ExchangeError,
    original_token::OriginalToken,
    service_token::ServiceToken,
    token_issuer::{State, TokenIssuer},
};
use crate::{
    binding::cnf::Cnf,
    header::grammar::is_scope_token,
    later::Later,
    observe::{event::Event, request_summary::RequestSummary},
    one_or_many::OneOrMany,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

impl TokenIssuer {
    /// Exchanges the access token of a caller for one with which this service calls another one, in
    /// the name of the caller.
    ///
    /// The other service accepts tokens with the audience `audience`, which must be an
    /// [`audience`](super::TokenIssuerBuilder::audience) or one of the
    /// [`service_audiences`](super::TokenIssuerBuilder::service_audiences) of the issuer. The new
    /// token has exactly these scopes, which the caller must have; without any, it has no scope.
    ///
    /// ```
    /// use tower_auth::{Principal, issue::{ExchangeError, TokenIssuer}};
    ///
    /// /// Returns the token with which the service `orders` asks `invoices` for those of a user.
    /// async fn token_for_invoices(
    ///     issuer: &TokenIssuer,
    ///     caller: &Principal,
    /// ) -> Result<String, ExchangeError> {
    ///     let token = issuer.exchange(caller, "invoices", ["invoices:read"]).await?;
    ///     Ok(token.access_token().to_owned())
    /// }
    /// ```
    ///
    /// The new token has the `sub` of the caller, and names the service in `act` (RFC 8693 §4.1)
    /// and `client_id`: the [`client_id`](super::TokenIssuerBuilder::client_id) of the issuer, or
    /// [`actor`](Exchange::actor). If the token has been exchanged before, the earlier services
    /// follow in `act`, up to 8 in total. The claims closure is called, and can limit the scopes.
    ///
    /// The new token expires when the original does, or earlier. It has no refresh token. A token
    /// of this issuer passes on its login (`sid`, `fst`, `auth_time`, `acr`, `amr`), so a logout
    /// ends all tokens that it was exchanged for.
    ///
    /// # Errors
    ///
    /// The future returns an error if the caller has no token that can be exchanged, or if the
    /// store, the keys or the claims closure is unavailable. See [`ExchangeError`].
    ///
    /// # Security
    ///
    /// - Only a token whose claims were verified is exchanged. What a closure has changed in the
    ///   principal counts only if it takes rights away.
    /// - A token that is bound to a key is rejected, because the new one would not be bound, unless
    ///   the service has a key of its own: see [`confirmation`](Exchange::confirmation).
    /// - The caller must be one whose token was sent to this service. To exchange a token that
    ///   another service sends in a request, use [`TokenRoutes`](super::TokenRoutes), which check
    ///   that it was issued to this service.
    pub fn exchange<K>(
        &self,
        caller: &Principal,
        audience: impl Into<String>,
        scopes: impl OneOrMany<str, K>,
    ) -> Exchange {
        let scopes = scopes.values().map(|scope| scope.as_ref().to_owned()).collect();
        Exchange::new(self, caller, audience.into(), Some(scopes))
    }
}

/// An exchange of a token, which starts when it is awaited.
///
/// Created by [`TokenIssuer::exchange`].
#[must_use = "an exchange does nothing unless it is awaited"]
pub struct Exchange {
    state: Arc<State>,
    caller: Principal,
    audience: String,
    /// `None` stands for all scopes of the caller.
    scopes: Option<Vec<String>>,
    actor: Option<String>,
    confirmation: Option<Cnf>,
    /// `None` stands for the form of the other tokens of the issuer.
    form: Option<TokenForm>,
}

impl Exchange {
    /// Creates an exchange. `None` asks for all scopes of the caller.
    pub(super) fn new(
        issuer: &TokenIssuer,
        caller: &Principal,
        audience: String,
        scopes: Option<Vec<String>>,
    ) -> Self {
        let (state, caller) = (Arc::clone(&issuer.0), caller.clone());
        Self { state, caller, audience, scopes, actor: None, confirmation: None, form: None }
    }

    /// Sets the service that acts for the caller: a client of this issuer. The default is the
    /// service in whose process the issuer runs.
    ///
    /// ```
    /// use tower_auth::{
    ///     Principal,
    ///     issue::{ExchangeError, ServiceToken, TokenIssuer},
    /// };
    ///
    /// async fn exchanged(
    ///     issuer: &TokenIssuer,
    ///     user: &Principal,
    ///     client: &Principal,
    /// ) -> Result<ServiceToken, ExchangeError> {
    ///     issuer.exchange(user, "invoices", ["invoices:read"]).actor(client).await
    /// }
    /// ```
    ///
    /// # Security
    ///
    /// The client must be authenticated, for example with an API key. A subject of another issuer
    /// is not a client of this one.
    pub fn actor(mut self, client: &Principal) -> Self {
        self.actor = Some(client.subject().to_owned());
        self
    }

    /// Binds the new token to this key (`cnf`, RFC 7800): one of the service that acts for the
    /// caller. A token that is bound to a key can then be exchanged as well.
    ///
    /// # Security
    ///
    /// The principal must come from an authenticator whose [`Binding`](crate::binding::Binding) has
    /// confirmed the key of the caller, and the service must have the other key: the issuer checks
    /// neither.
    pub fn confirmation(mut self, cnf: Cnf) -> Self {
        self.confirmation = Some(cnf);
        self
    }

    /// Asks for a JWT, whatever the form of the other tokens of the issuer is.
    pub(super) fn asking_for_jwt(mut self) -> Self {
        self.form = Some(TokenForm::Jwt);
        self
    }

    /// Exchanges the token for this request, if it is known.
    pub(super) async fn run(
        self,
        sent_with: Option<RequestSummary<'_>>,
    ) -> Result<ServiceToken, ExchangeError> {
        let Self { state, caller, audience, scopes, actor, confirmation, form } = self;
        let actor = actor.unwrap_or_else(|| state.client_id.clone());
        if actor.is_empty() {
            return Err(ExchangeError::Invalid("the actor of an exchange needs an id"));
        }
        let token = OriginalToken::read(&state, &caller, &actor, confirmation.is_some())?;
        if !state.has_audience(&audience) {
            return Err(ExchangeError::InvalidTarget);
        }
        let scopes = requested(token.scopes, scopes).ok_or(ExchangeError::InvalidScope)?;
        // Again, because the principal can be that of a long connection.
        state.revocations.check(&caller).await.map_err(revocation_error)?;
        let request = || ClaimsRequest {
            subject: token.subject.clone(),
            issuer: token.issuer.clone(),
            client_id: actor.clone(),
            audience: vec![audience.clone()],
            scopes: scopes.clone(),
            is_refresh: false,
            is_exchange: true,
            is_client: false,
        };
        let claims = state.claims_for(request).await?.ok_or(ExchangeError::NotAllowed)?;
        let scopes = claims.limit(&scopes);
        let custom = claims.custom.map_err(ExchangeError::Invalid)?;
        let started_at = match token.started_at {
            Some(started_at) => started_at,
            // A login at another issuer starts here with the exchange.
            None => state.start_of_family(&token.subject).await?.0,
        };
        let content = AccessContent {
            subject: &token.subject,
            client_id: &actor,
            audience: slice::from_ref(&audience),
            started_at,
            ends_at: token.ends_at,
            scopes: &scopes,
            confirmation,
            form: form.unwrap_or(state.form),
            details: token.details,
            custom,
        };
        let keys = state.keys.current().await?;
        let issued = ServiceToken::new(state.issue_access_token(&keys, content).await?);
        let (subject, actor, audience) = (&*token.subject, &*actor, &*audience);
        let (request, issuer) = (sent_with, &*state.issuer);
        let event = Event::TokenExchanged { request, issuer, subject, actor, audience };
        state.observer.observe(&event);
        Ok(issued)
    }
}

impl IntoFuture for Exchange {
    type Output = Result<ServiceToken, ExchangeError>;
    type IntoFuture = Later<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Later::pending(self.run(None))
    }
}

/// Returns the scopes of a new token, or `None` if the caller does not have one of them. Without a
/// request, these are all that it has.
pub(super) fn requested(
    granted: Vec<String>,
    requested: Option<Vec<String>>,
) -> Option<Vec<String>> {
    let Some(mut requested) = requested else {
        // A token that another issuer has issued can have others.
        return Some(granted.into_iter().filter(|scope| is_scope_token(scope)).collect());
    };
    // A request can name thousands of scopes, so lists are not searched.
    let granted: HashSet<_> = granted.into_iter().collect();
    let is_granted = |scope: &String| is_scope_token(scope) && granted.contains(scope);
    if !requested.iter().all(is_granted) {
        return None;
    }
    let mut seen = HashSet::new();
    requested.retain(|scope| seen.insert(scope.clone()));
    Some(requested)
}

fn revocation_error(rejection: Rejection) -> ExchangeError {
    match rejection.kind() {
        RejectionKind::InvalidCredentials => ExchangeError::Revoked,
        _ => ExchangeError::Unavailable(Unavailable::new(rejection)),
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("caller", &self.caller)
            .field("audience", &self.audience)
            .field("scopes", &self.scopes)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn time_for_many_scopes_is_not_quadratic() {
        let scopes: Vec<_> = (0..100_000).map(|number| format!("scope-{number}")).collect();
        let twice = [&scopes[..], &scopes[..]].concat();
        let start = Instant::now();
        assert_eq!(requested(scopes.clone(), Some(twice)), Some(scopes));
        // Comparing each scope with each other one takes minutes.
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
