//! The endpoint for all grants (RFC 6749 §3.2).

use http::{StatusCode, request::Parts};

use super::{
    clients::Clients,
    failure::Failure,
    parameters::Parameters,
    reply::{self, Reply},
    token_routes::RoutesState,
};
use crate::issue::{error::IssueError, issuer_metadata::TOKEN_EXCHANGE};

impl RoutesState {
    /// Issues tokens for the grant that the request names.
    pub(super) async fn token(
        &self,
        head: &Parts,
        mut parameters: Parameters,
    ) -> Result<Reply, Failure> {
        match parameters.get("grant_type") {
            None => Err(Failure::invalid_request("the request has no grant_type")),
            Some("refresh_token") => {
                self.authenticate_refresh(head, &mut parameters).await?;
                self.refresh(head, parameters).await
            }
            Some("client_credentials") => self.issue_to_client(head, parameters).await,
            Some(TOKEN_EXCHANGE) => self.exchange(head, parameters).await,
            Some(_) => Err(unsupported_grant_type()),
        }
    }

    /// Authenticates the client of a refresh, if it sends credentials (RFC 6749 §6). The refresh
    /// token must then be its own.
    async fn authenticate_refresh(
        &self,
        head: &Parts,
        parameters: &mut Parameters,
    ) -> Result<(), Failure> {
        if let Some(clients) = &self.clients
            && let Some(client) = clients.authenticate_if_sent(head, parameters).await?
        {
            parameters.set_client_id(client.subject());
        }
        Ok(())
    }

    /// Issues a token to a client for itself (RFC 6749 §4.4).
    async fn issue_to_client(
        &self,
        head: &Parts,
        mut parameters: Parameters,
    ) -> Result<Reply, Failure> {
        let client = self.clients()?.authenticate(head, &mut parameters).await?;
        let mut request = self.issuer.issue_to_client(&client);
        if let Some(audience) = parameters.take_audience()? {
            request = request.audience(&**audience);
        }
        if let Some(scopes) = parameters.take_scopes() {
            if scopes.is_empty() {
                return Err(client_failure(IssueError::InvalidScope));
            }
            request = request.scopes(scopes);
        }
        let token = request.run(self.summary(head)).await.map_err(client_failure)?;
        Ok(reply::json(StatusCode::OK, &token.to_json()))
    }

    /// Returns the clients that are configured. Without any, the grants for services do not exist.
    pub(super) fn clients(&self) -> Result<&Clients, Failure> {
        self.clients.as_ref().ok_or_else(unsupported_grant_type)
    }
}

pub(super) fn unsupported_grant_type() -> Failure {
    Failure::invalid_request("the grant_type is not supported").error("unsupported_grant_type")
}

fn client_failure(error: IssueError) -> Failure {
    let name = match error {
        IssueError::InvalidScope => "invalid_scope",
        IssueError::InvalidTarget => "invalid_target",
        IssueError::NotAllowed => "unauthorized_client",
        _ => return error.into(),
    };
    Failure::from(error).status(StatusCode::BAD_REQUEST).error(name)
}
