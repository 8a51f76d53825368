//! The exchange of a token of another service (RFC 8693 §2).

use http::{StatusCode, request::Parts};
use zeroize::Zeroizing;

use super::{
    failure::Failure,
    parameters::Parameters,
    reply::{self, Reply},
    token::unsupported_grant_type,
    token_routes::RoutesState,
};
use crate::{
    issue::{exchange::Exchange, exchange_error::ExchangeError, issuer_metadata::TOKEN_EXCHANGE},
    jwt::claims::List,
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The parameters of an exchange.
struct ExchangeRequest {
    subject_token: Zeroizing<String>,
    audience: Zeroizing<String>,
    scopes: Option<Vec<String>>,
    issued_type: &'static str,
}

impl RoutesState {
    /// Exchanges a token, at an endpoint where the `grant_type` is optional.
    pub(super) async fn exchange_only(
        &self,
        head: &Parts,
        parameters: Parameters,
    ) -> Result<Reply, Failure> {
        match parameters.get("grant_type") {
            None | Some(TOKEN_EXCHANGE) => self.exchange(head, parameters).await,
            Some(_) => Err(unsupported_grant_type()),
        }
    }

    /// Exchanges the token of a user for the client that sends it.
    pub(super) async fn exchange(
        &self,
        head: &Parts,
        mut parameters: Parameters,
    ) -> Result<Reply, Failure> {
        let clients = self.clients()?;
        let client = clients.authenticate(head, &mut parameters).await?;
        let request = ExchangeRequest::take_from(&mut parameters)?;
        let verified = clients.subject_tokens.verify(&request.subject_token).await;
        let user = verified.map_err(subject_failure)?;
        if !was_issued_to(&user, client.subject(), &self.issuer.0.issuer) {
            let rejection = Rejection::new(RejectionKind::Forbidden)
                .because("the subject_token was not issued to this client");
            return Err(subject_failure(rejection));
        }
        let ExchangeRequest { audience, scopes, issued_type, .. } = request;
        let exchange = Exchange::new(&self.issuer, &user, audience.to_string(), scopes);
        let exchange = if issued_type == JWT { exchange.asking_for_jwt() } else { exchange };
        let token = exchange.actor(&client).run(self.summary(head)).await?;
        let mut body = token.to_json();
        if let Some(members) = body.as_object_mut() {
            members.insert("issued_token_type".into(), issued_type.into());
        }
        Ok(reply::json(StatusCode::OK, &body))
    }
}

impl ExchangeRequest {
    fn take_from(parameters: &mut Parameters) -> Result<Self, Failure> {
        let invalid = Failure::invalid_request;
        if ["actor_token", "actor_token_type"].iter().any(|name| parameters.get(name).is_some()) {
            return Err(invalid("an actor_token is not supported: the client is the actor"));
        }
        let token_type = parameters.get("subject_token_type").and_then(known_type);
        if token_type.is_none() {
            return Err(invalid("the subject_token_type is neither access_token nor jwt"));
        }
        let issued_type = match parameters.get("requested_token_type") {
            Some(requested) => known_type(requested)
                .ok_or_else(|| invalid("the requested_token_type is not supported"))?,
            None => ACCESS_TOKEN,
        };
        let audience = parameters.take_audience()?;
        let audience = audience.ok_or_else(|| invalid("the request has no audience"))?;
        let subject_token = parameters.take("subject_token");
        let subject_token =
            subject_token.ok_or_else(|| invalid("the request has no subject_token"))?;
        let scopes = parameters.take_scopes();
        if scopes.as_ref().is_some_and(Vec::is_empty) {
            return Err(ExchangeError::InvalidScope.into());
        }
        Ok(Self { subject_token, audience, scopes, issued_type })
    }
}

/// Returns the type of tokens if it is supported.
fn known_type(name: &str) -> Option<&'static str> {
    [ACCESS_TOKEN, JWT].into_iter().find(|known| *known == name)
}

/// Returns whether a client can have got this token: it accepts the token, it is the client to
/// which the token was issued, or the token is its own. A token that has leaked from another
/// service cannot be exchanged.
///
/// The `client_id` and the `sub` of another issuer are those of other clients and users.
fn was_issued_to(user: &Principal, client: &str, issuer: &str) -> bool {
    let Some(claims) = &user.as_verified().claims else { return false };
    let names = |name, expected: &str| {
        let list = claims.get(name).and_then(|json| List::parse(json).ok());
        list.is_some_and(|list| list.any(|value| value == expected))
    };
    names("aud", client)
        || (names("iss", issuer) && (names("client_id", client) || names("sub", client)))
}

/// 400 without a challenge for a token that is not valid (RFC 8693 §2.2.2).
fn subject_failure(rejection: Rejection) -> Failure {
    match rejection.kind().status().is_server_error() {
        true => rejection.into(),
        false => Failure::from(rejection)
            .status(StatusCode::BAD_REQUEST)
            .error("invalid_request")
            .with_bearer_challenge(),
    }
}
