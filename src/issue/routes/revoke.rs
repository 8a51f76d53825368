use http::{StatusCode, request::Parts};

use super::{
    failure::Failure,
    parameters::Parameters,
    reply::{self, Reply},
    token_routes::RoutesState,
};
use crate::{
    bearer::verifier::TokenVerifier as _, issue::opaque_tokens::is_opaque, rejection::Rejection,
};

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
            // A thief could not use a token that is bound to a key, so the key is not confirmed.
            match self.own_tokens.verify_unconfirmed(&token).await {
                Ok(caller) => {
                    let revoked = self.issuer.revocations().token(&caller).await;
                    revoked.map_err(Rejection::from)?;
                    self.issuer.0.opaque_tokens.remove(&token).await.map_err(Rejection::from)?;
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

/// Returns whether this can be an access token: a JWT has three parts, an opaque token one, and a
/// refresh token four.
fn is_access_token(token: &str) -> bool {
    is_opaque(token.as_bytes()) || token.bytes().filter(|byte| *byte == b'.').count() == 2
}
