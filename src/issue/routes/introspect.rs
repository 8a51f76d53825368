//! Information about a token for the service that accepts it (RFC 7662).

use http::{StatusCode, request::Parts};
use serde_json::{Map, Value, json};

use super::{
    clients::Clients,
    failure::Failure,
    parameters::Parameters,
    reply::{self, Reply},
    token_routes::RoutesState,
};
use crate::{
    bearer::verifier::TokenVerifier as _,
    issue::access_token::token_type,
    jwt::claims::List,
    principal::{Principal, claims_set::ClaimsSet},
    rejection::{Rejection, RejectionKind},
};

impl RoutesState {
    /// Tells a service what a token says, or that it is not active. The `token_type_hint` is not
    /// needed.
    pub(super) async fn introspect(
        &self,
        head: &Parts,
        mut parameters: Parameters,
    ) -> Result<Reply, Failure> {
        let Some(clients) = &self.clients else { return Ok(reply::empty(StatusCode::NOT_FOUND)) };
        let client = clients.authenticate(head, &mut parameters).await?;
        let token = parameters.take("token");
        let token = token.ok_or_else(|| Failure::invalid_request("the request has no token"))?;
        let body = match self.own_tokens.verify_unconfirmed(&token).await {
            Ok(caller) if clients.may_introspect(client.subject(), &caller) => {
                self.description_of(&caller)?
            }
            Err(rejection) if rejection.kind().status().is_server_error() => {
                return Err(rejection.into());
            }
            // One answer for all others, which must not tell why (§2.2).
            Ok(_) | Err(_) => None,
        };
        let inactive = || json!({ "active": false });
        Ok(reply::json(StatusCode::OK, &body.unwrap_or_else(inactive)))
    }

    /// Returns the claims of a token, or `None` if it has expired.
    fn description_of(&self, caller: &Principal) -> Result<Option<Value>, Failure> {
        // Without the leeway of a verifier: clients apply their own.
        if caller.expires_at().is_none_or(|expires_at| expires_at <= self.issuer.0.clock.now()) {
            return Ok(None);
        }
        let claims = caller.as_verified().claims.as_ref().map(ClaimsSet::as_json);
        let claims = claims.and_then(|json| serde_json::from_str::<Map<_, _>>(json).ok());
        let mut members = claims.ok_or_else(|| Rejection::new(RejectionKind::Misconfigured))?;
        members.insert("active".into(), true.into());
        members.insert("token_type".into(), token_type(caller.confirmation()).into());
        Ok(Some(members.into()))
    }
}

impl Clients {
    /// Returns whether the client is a service that accepts this token.
    fn may_introspect(&self, client: &str, caller: &Principal) -> bool {
        let audience = caller.claim_json("aud").and_then(|json| List::parse(json).ok());
        let served = self.resource_servers.get(client);
        audience.is_some_and(|audience| {
            audience.any(|name| {
                name == client || served.is_some_and(|all| all.iter().any(|one| one == name))
            })
        })
    }
}
