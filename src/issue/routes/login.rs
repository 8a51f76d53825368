use http::{StatusCode, header::SET_COOKIE, request::Parts};

use super::{
    attempt::LoginAttempt,
    failure::Failure,
    parameters::Parameters,
    reply::{self, Reply},
    second_factor::{AuthenticationInfo, SecondFactor, SecondFactorFn},
    token_routes::RoutesState,
};
use crate::{
    basic::login::StepResult,
    issue::{grant::Grant, token_pair::TokenPair},
    principal::Principal,
    rejection::{Rejection, RejectionKind},
};

/// What is known after the password and the second factor were checked.
pub(super) enum CheckedLogin {
    Accepted(Principal, AuthenticationInfo),
    /// The user needs one of these methods.
    Incomplete(Vec<String>),
}

impl RoutesState {
    pub(super) async fn log_in(
        &self,
        head: &Parts,
        mut parameters: Parameters,
    ) -> Result<Reply, Failure> {
        let Some(passwords) = &self.passwords else {
            return Ok(reply::empty(StatusCode::NOT_FOUND));
        };
        let missing = || Failure::invalid_request("the request has no username or no password");
        let username = parameters.take("username").ok_or_else(missing)?;
        let password = parameters.take("password").ok_or_else(missing)?;
        let client_id = parameters.take_client_id()?;
        let scopes = parameters.take_scopes();
        let second_factor = self.second_factor.clone();
        let attempt = {
            let client_id = client_id.clone();
            let client_address = self.cross_site.forwarded().info(head).client_address();
            move |user| LoginAttempt { user, parameters, client_id, client_address }
        };
        let next = Box::new(move |user| Box::pin(check(second_factor, attempt(user))) as _);
        let checked = passwords.verify_then(&username, &password, head, next).await;
        drop(password);
        let (user, info) = match checked.map_err(password_failure)? {
            CheckedLogin::Accepted(user, info) => (user, info),
            CheckedLogin::Incomplete(methods) => {
                return Err(Failure::second_factor_required(methods).with_bearer_challenge());
            }
        };
        let mut grant = info.apply_to(Grant::new(&user));
        if let Some(scopes) = scopes {
            check_scopes(&user, &scopes)?;
            grant = grant.scopes(scopes);
        }
        if let Some(client_id) = client_id {
            grant = grant.client_id(client_id);
        }
        let tokens = self.issuer.issue_for(grant, self.summary(head)).await?;
        self.tokens_reply(&tokens, true)
    }

    /// Creates the response with tokens (RFC 6749 §5.1).
    pub(super) fn tokens_reply(
        &self,
        tokens: &TokenPair,
        sends_cookie: bool,
    ) -> Result<Reply, Failure> {
        let Some(cookie) = &self.cookie else {
            return Ok(reply::json(StatusCode::OK, &tokens.to_json()));
        };
        let mut reply = reply::json(StatusCode::OK, &tokens.to_json_without_refresh_token());
        if sends_cookie {
            let value = cookie.header(tokens.refresh_token(), tokens.refresh_expires_at());
            // The clocks of this process and of the store differ by days.
            let value = value
                .map_err(|error| Rejection::new(RejectionKind::Unavailable).with_source(error))?;
            reply.headers_mut().insert(SET_COOKIE, value);
        }
        Ok(reply)
    }
}

/// Checks the second factor, if there is one.
async fn check(
    second_factor: Option<SecondFactorFn>,
    attempt: LoginAttempt,
) -> StepResult<CheckedLogin> {
    let user = attempt.user.clone();
    let result = match second_factor {
        Some(check) => check(attempt).await,
        None => SecondFactor::Accepted(AuthenticationInfo::new()),
    };
    match result {
        SecondFactor::Accepted(info) => StepResult::Completed(CheckedLogin::Accepted(user, info)),
        SecondFactor::Required(methods) => StepResult::Completed(CheckedLogin::Incomplete(methods)),
        SecondFactor::Rejected => StepResult::Failed(
            Rejection::new(RejectionKind::InvalidCredentials).because("wrong second factor"),
        ),
        SecondFactor::Unavailable(reason) => {
            StepResult::Rejected(Rejection::new(RejectionKind::Unavailable).with_source(reason))
        }
    }
}

fn password_failure(rejection: Rejection) -> Failure {
    let is_too_large = rejection.kind() == RejectionKind::CredentialsTooLarge;
    let failure = Failure::from(rejection).with_bearer_challenge();
    // 431 is for header fields, and these credentials are in the body.
    if is_too_large { failure.status(StatusCode::BAD_REQUEST) } else { failure }
}

/// Checks that the user has all requested scopes.
fn check_scopes(user: &Principal, requested: &[String]) -> Result<(), Failure> {
    if !requested.is_empty() && requested.iter().all(|scope| user.scopes().contains(scope)) {
        return Ok(());
    }
    Err(Failure::invalid_request("the user does not have a requested scope").error("invalid_scope"))
}
