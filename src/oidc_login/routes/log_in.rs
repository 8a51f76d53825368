use http::{HeaderValue, StatusCode, header::CONTENT_TYPE, header::SET_COOKIE, request::Parts};

use super::{
    parameters::Parameters,
    reply::{self, Reply},
};
use crate::{
    oidc_login::{
        authorization_request::LoginRequest,
        login_error::{LoginError, LoginErrorKind},
        oidc_login::State,
        step_up::StepUp,
    },
    respond::navigation::Navigation,
    session::return_to::ReturnTo,
};

impl State {
    /// Redirects to the login page of the provider.
    pub(super) async fn log_in(&self, head: &Parts) -> Result<Reply, LoginError> {
        if Navigation::is_excluded(head) {
            return Ok(not_a_navigation());
        }
        let mut request = self.login_request(head);
        if let Some(sessions) = &self.routes.sessions {
            let session = sessions.of_request(head).await.map_err(|error| {
                // Without the store, the login could not be completed.
                LoginError::new(LoginErrorKind::Unavailable).because(error)
            })?;
            request.replaces = session.map(|(handle, _)| handle.to_string());
        }
        let begun = self.begin(request, head).await?;
        let invalid = || {
            LoginError::new(LoginErrorKind::Provider)
                .because("the authorization endpoint is not a URL")
        };
        let mut reply = reply::see_other(&begun.location).ok_or_else(invalid)?;
        reply.headers_mut().extend(begun.cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
        Ok(reply)
    }

    /// Reads the query. What is not valid is left out, also by [`begin`](Self::begin): the policies
    /// of the page check the login again.
    fn login_request(&self, head: &Parts) -> LoginRequest {
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let names = ["return_to", "acr_values", "max_age", "login_hint"];
        let [return_to, acr_values, max_age, login_hint] =
            Parameters::parse(query, names).lenient();
        // Other forms of a number, such as `+1`, are not defined.
        let is_number = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit());
        LoginRequest {
            return_to: self.return_to(return_to.as_deref()),
            step_up: StepUp {
                acr_values,
                max_age: max_age
                    .filter(is_number)
                    .and_then(|age| age.parse().ok())
                    .map(|age: u32| age.into()),
            },
            login_hint,
            replaces: None,
        }
    }

    /// Returns the page to go to after the login: the requested one if it is a page of the
    /// application, and none of these routes, which would log the user in again.
    fn return_to(&self, requested: Option<&str>) -> ReturnTo {
        let routes = &self.routes;
        let own = [&routes.login_path, &routes.callback_path, &routes.logout_path];
        let requested = requested.and_then(ReturnTo::parse);
        requested
            .filter(|page| own.iter().all(|path| **path != page.path()))
            .or_else(|| ReturnTo::parse(&routes.after_login))
            .unwrap_or_default()
    }
}

/// Rejects the request of a script or a frame, which cannot show the page of a provider.
fn not_a_navigation() -> Reply {
    let text = "open the login page in a window: scripts and frames cannot log in\n";
    let mut reply = reply::with_body(StatusCode::FORBIDDEN, text);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, plain);
    reply
}
