use http::{StatusCode, request::Parts};

use super::{
    failure::Failure,
    parameters::Parameters,
    reply::{self, Reply},
    token_routes::RoutesState,
};
use crate::rejection::Rejection;

impl RoutesState {
    /// Revokes a token (RFC 7009), also one for another service. The `token_type_hint` is not
    /// needed.
    pub(super) async fn revoke(
        &self,
        head: &Parts,
        mut parameters: Parameters,
    ) -> Result<Reply, Failure> {
        let token = parameters.take("token");
        let token = token.ok_or_else(|| Failure::invalid_request("the request has no token"))?;
        if is_access_token(&token) {
            match self.own_tokens.verify(&token).await {
                Ok(caller) => {
                    let revoked = self.issuer.revocations().token(&caller).await;
                    revoked.map_err(Rejection::from)?;
                }
                Err(rejection) if rejection.kind().status().is_server_error() => {
                    return Err(rejection.into());
                }
                // An invalid token needs no revocation (§2.2).
                Err(_) => {}
            }
        } else {
            self.issuer.logout_for(&token, self.summary(head)).await?;
        }
        Ok(reply::empty(StatusCode::OK))
    }
}

/// Returns whether this can be a JWT, which has three parts. A refresh token has four.
fn is_access_token(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}
