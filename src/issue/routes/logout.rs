use http::{StatusCode, header::SET_COOKIE, request::Parts};

use super::{
    failure::Failure,
    parameters::Parameters,
    reply::{self, Reply},
    token_routes::RoutesState,
};
use crate::{
    authenticate::Authenticator,
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
            Some(token) => self.issuer.logout(&token).await?,
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
            None => Err(Rejection::new(RejectionKind::MissingCredentials)),
        };
        let caller = result.map_err(|rejection| {
            let rejection = rejection.with_scheme_challenges(&verifier.challenges(head));
            let is_invalid = rejection.kind().status() == StatusCode::UNAUTHORIZED;
            let failure = Failure::from(rejection);
            if is_invalid { failure.error("invalid_token") } else { failure }
        })?;
        self.issuer.logout_everywhere(caller.subject()).await?;
        Ok(self.logged_out())
    }

    fn logged_out(&self) -> Reply {
        let mut reply = reply::empty(StatusCode::NO_CONTENT);
        if let Some(cookie) = &self.cookie {
            reply.headers_mut().insert(SET_COOKIE, cookie.expired());
        }
        reply
    }
}
