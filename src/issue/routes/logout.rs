use http::{StatusCode, header::SET_COOKIE, request::Parts};
#[cfg(feature = "api-key")]
use serde_json::json;

use super::{
    failure::Failure,
    parameters::Parameters,
    reply::{self, Reply},
    token_routes::RoutesState,
};
#[cfg(feature = "api-key")]
use crate::{api_key::ApiKeyInfo, issue::access_token::seconds};
use crate::{
    authenticate::Authenticator,
    credentials::authorization::missing_credentials,
    issue::remaining_access::RemainingAccess,
    rejection::{Rejection, RejectionKind},
};

impl RoutesState {
    /// Ends the login of a refresh token.
    pub(super) async fn log_out(
        &self,
        head: &Parts,
        mut parameters: Parameters,
    ) -> Result<Reply, Failure> {
        if let (Some(cookie), Err(error)) = (&self.cookie, self.token_in_cookie(head)) {
            // Two cookies with this name. Otherwise, the user could never log out.
            return Err(Failure::from(error).header(SET_COOKIE, cookie.expired()));
        }
        match self.refresh_token(head, &mut parameters)? {
            Some(token) => self.issuer.logout_for(&token, self.summary(head)).await?,
            // The user has no login any more.
            None if self.cookie.is_some() => {}
            None => return Err(Failure::invalid_request("the request has no refresh token")),
        }
        Ok(self.logged_out())
    }

    /// Ends all logins of the caller.
    pub(super) async fn log_out_everywhere(&self, head: &Parts) -> Result<Reply, Failure> {
        let verifier = self.issuer.verifier();
        let result = match verifier.authenticate(head) {
            Some(authentication) => authentication.await.into_result(),
            None => Err(missing_credentials(&head.headers)),
        };
        let caller = result.map_err(|rejection| {
            let rejection = rejection.with_scheme_challenges(&verifier.challenges(head));
            let is_invalid = rejection.kind().status() == StatusCode::UNAUTHORIZED;
            let failure = Failure::from(rejection);
            if is_invalid { failure.error("invalid_token") } else { failure }
        })?;
        // Otherwise, an API key could end the logins of its owner with a token that it got.
        let has = |name| caller.claim_json(name).is_some();
        if !has("sid") || has("act") {
            return Err(Rejection::new(RejectionKind::Forbidden)
                .because("the token is not from a login of the user")
                .into());
        }
        let remaining =
            self.issuer.0.log_out_everywhere(caller.subject(), self.summary(head)).await?;
        Ok(self.logged_out_everywhere(&remaining))
    }

    /// Lists the API keys that remain valid, if the issuer knows the keys.
    #[cfg(feature = "api-key")]
    fn logged_out_everywhere(&self, remaining: &RemainingAccess) -> Reply {
        if self.issuer.0.api_keys.is_none() {
            return self.logged_out();
        }
        let describe = |key: &ApiKeyInfo| {
            let expires_at = seconds(key.expires_at);
            json!({ "id": &*key.id, "name": &*key.name, "expires_at": expires_at })
        };
        let keys: Vec<_> = remaining.api_keys().iter().map(describe).collect();
        self.without_cookie(reply::json(StatusCode::OK, &json!({ "api_keys": keys })))
    }

    #[cfg(not(feature = "api-key"))]
    fn logged_out_everywhere(&self, _: &RemainingAccess) -> Reply {
        self.logged_out()
    }

    fn logged_out(&self) -> Reply {
        self.without_cookie(reply::empty(StatusCode::NO_CONTENT))
    }

    /// Removes the cookie of the refresh token.
    fn without_cookie(&self, mut reply: Reply) -> Reply {
        if let Some(cookie) = &self.cookie {
            reply.headers_mut().insert(SET_COOKIE, cookie.expired());
        }
        reply
    }
}
