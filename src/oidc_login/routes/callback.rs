use std::{error::Error, time::Duration};

use http::{header::SET_COOKIE, request::Parts};
use http_body::Body;
use tokio::time::timeout;

use super::{
    error_page,
    parameters::Parameters,
    reply::{self, Reply},
};
use crate::{
    oidc_login::{
        callback::{CallbackParameters, Completed},
        login_error::{LoginError, LoginErrorKind},
        oidc_login::State,
        step_up::StepUp,
    },
    request_body::{BodyError, FORM, media_type, read},
    session::record::ProviderSession,
};

/// The longest authorization response in a form, in bytes. A URL is limited by the server.
const MAX_BYTES: usize = 64 * 1024;

/// How long the closure of `then` may take.
const THEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The account of a user who has logged in, and the rest of the login.
pub(super) struct LoggedIn {
    pub(super) principal: crate::principal::Principal,
    pub(super) provider: Option<ProviderSession>,
    pub(super) step_up: StepUp,
    pub(super) replaces: Option<String>,
}

impl State {
    /// Completes a login, and removes its cookie, whatever the result.
    pub(super) async fn call_back<B>(&self, head: &Parts, body: B) -> Reply
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let parameters = self.callback_parameters(head, body).await;
        let state = parameters.as_ref().ok().and_then(|parameters| parameters.state.clone());
        let result = match parameters {
            Ok(parameters) => self.log_in_with(parameters, head).await,
            Err(error) => Err(error),
        };
        let mut reply = match result {
            Ok(reply) => reply,
            Err(error) => error_page::login_failed(self, &error, head),
        };
        let expired = self.expired_cookies(state.as_deref(), head);
        for cookie in expired {
            reply.headers_mut().append(SET_COOKIE, cookie);
        }
        reply
    }

    async fn log_in_with(
        &self,
        parameters: CallbackParameters,
        head: &Parts,
    ) -> Result<Reply, LoginError> {
        let Completed { login, return_to, step_up, replaces, provider } =
            self.complete(parameters, head).await?;
        let principal = timeout(THEN_TIMEOUT, (self.routes.then)(login)).await;
        let principal = principal.map_err(|_| {
            LoginError::new(LoginErrorKind::Unavailable)
                .because("the closure of `then` took longer than 10 s")
        })??;
        // Before the session starts: nothing can fail after it.
        let invalid = || LoginError::new(LoginErrorKind::Misconfigured);
        let mut reply = reply::see_other(return_to.as_str()).ok_or_else(invalid)?;
        let logged_in = LoggedIn { principal, provider, step_up, replaces };
        self.finish(logged_in, head, reply.headers_mut()).await?;
        Ok(reply)
    }

    /// Reads the authorization response, which is in the query or, with `form_post`, in the body.
    async fn callback_parameters<B>(
        &self,
        head: &Parts,
        body: B,
    ) -> Result<CallbackParameters, LoginError>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let query = head.uri.query().unwrap_or_default().as_bytes();
        if !self.form_post {
            return parse(query);
        }
        if media_type(head).as_deref() != Some(FORM) {
            return Err(invalid("the response of the provider is not a form"));
        }
        parse(&read(body, MAX_BYTES).await?)
    }
}

fn parse(text: &[u8]) -> Result<CallbackParameters, LoginError> {
    let names = ["code", "state", "iss", "error", "error_description", "error_uri"];
    let values = Parameters::parse(text, names).strict();
    let repeated = || invalid("a parameter of the response is sent twice");
    let [code, state, iss, error, error_description, error_uri] = values.ok_or_else(repeated)?;
    Ok(CallbackParameters { code, state, iss, error, error_description, error_uri })
}

fn invalid(reason: &'static str) -> LoginError {
    LoginError::new(LoginErrorKind::InvalidState).because(reason)
}

impl From<BodyError> for LoginError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLong => invalid("the response of the provider is too long"),
            BodyError::TooSlow => invalid("the response of the provider took longer than 10 s"),
            BodyError::Failed(error) => Self::new(LoginErrorKind::InvalidState).because(error),
            BodyError::NoRuntime => Self::new(LoginErrorKind::Misconfigured)
                .because("the login routes need a tokio runtime, and none is running"),
        }
    }
}
